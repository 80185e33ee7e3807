"""A news page: what is hot, what is fresh, and what the reader's own topics bring."""

from __future__ import annotations

import numpy as np
from marketplace import busiest, model, show

from quintet.serve.slate.rules import RuleSet
from quintet.serve.slate.settings import SlateConfig

DAY = 86_400_000_000
FRESH = {"name": "of the last weeks", "kind": "fresh", "days": 21.0, "attribute": "released"}


def main() -> None:
    """Hot, fresh, subscribed."""
    news = model()
    trained = news.recommender.trained
    events, table = trained.events, trained.item_table
    reader = busiest(news, "view", "news")

    lately = events.time > events.time.max() - 7 * DAY
    article = np.array([kind == "article" for kind in table["kind"].to_pylist()])
    reads = np.bincount(events.item[lately], minlength=len(article)) * article
    hot = np.argsort(-reads, kind="stable")[:5]
    show("hot this week", news, trained.items.ids(hot), [f"{reads[row]} events" for row in hot])

    (fresh,) = news.recommender.slate(
        [reader], 5, rules=RuleSet.of({"rule": [FRESH]}), scenario="news"
    )
    show(f"fresh for {reader}", news, [item.item_id for item in fresh.items])

    topics = [one["name"] for one in news.profile(reader)["interests"][:2]]
    mine = {"attribute": "category", "any_of": topics}
    subscribed = RuleSet.of({"rule": [{"name": "my topics", "kind": "filter", "where": mine}]})
    (slate,) = news.recommender.slate(
        [reader], 5, rules=subscribed, config=SlateConfig(diversity="none"), scenario="news"
    )
    show(f"subscribed: {', '.join(topics)}", news, [item.item_id for item in slate.items])


if __name__ == "__main__":
    main()
