"""A feed of all kinds: relevant, diverse, sometimes drawn, and every move accounted for."""

from __future__ import annotations

from marketplace import busiest, model, show

from quintet.serve.slate.rules import RuleSet
from quintet.serve.slate.settings import SlateConfig

RULES = RuleSet.of(
    {
        "rule": [
            {
                "name": "something to watch",
                "kind": "quota",
                "where": {"attribute": "kind", "any_of": ["video"]},
                "at_least": 2,
                "when_short": "relax",
            },
            {"name": "one of a shelf", "kind": "one_per", "attribute": "subcategory"},
        ]
    }
)


def main() -> None:
    """The same feed by relevance alone, diverse, and drawn."""
    feed = model()
    reader = busiest(feed, "like")
    profile = feed.profile(reader)
    print(
        f"{reader} is about to:",
        ", ".join(f"{s['name']} {s['weight']:.0%}" for s in profile["strategy"]),
    )

    plain = feed.recommend([reader], 8, scenario="feed")
    show("by relevance alone", feed, [one.item_id for one in plain])

    config = SlateConfig(policy={"mix": 0.5})
    (slate,) = feed.recommender.slate(
        [reader], 8, rules=RULES, config=config, scenario="feed", account=True
    )
    moved = [f"{i.strategy}; {', '.join(m['rule'] for m in i.moved_by)}" for i in slate.items]
    show("with diversity, strategy and rules", feed, [i.item_id for i in slate.items], moved)

    config = SlateConfig(policy={"temperature": 0.05, "exploring": 0.2})
    (drawn,) = feed.recommender.slate([reader], 8, config=config, scenario="feed", seed=1)
    chances = [f"chance here {i.propensity:.0%}, anywhere {i.inclusion:.0%}" for i in drawn.items]
    show("drawn, so that it can teach", feed, [i.item_id for i in drawn.items], chances)


if __name__ == "__main__":
    main()
