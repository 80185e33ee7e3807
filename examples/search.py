"""A search box: words find, history ranks, and a sponsored result stands where it is sold."""

from __future__ import annotations

import numpy as np
from marketplace import busiest, model, show

from quintet.serve.asking import offered
from quintet.serve.slate.rules import RuleSet
from quintet.serve.slate.slate import PLAIN, compose

QUERY = "coffee beans"


def main() -> None:
    """One query by two people, then with a sponsored result on the second place."""
    shop = model()
    recommender = shop.recommender
    items, index = recommender.trained.items, recommender.trained.text_index
    match = index.match(QUERY)
    found = np.flatnonzero((match > 0) & offered(recommender.trained, "search"))
    order = found[np.argsort(-match[found], kind="stable")]
    show(f"{QUERY!r} by its words alone", shop, items.ids(order[:5]))

    buyer = busiest(shop, "buy")
    for person in (buyer, "a stranger"):
        ranked = shop.recommend([person], 5, scenario="search", query=QUERY, exclude_seen=False)
        show(f"{QUERY!r} for {person}", shop, [one.item_id for one in ranked])

    sponsored = items.ids([int(found[-1])])[0]
    rules = RuleSet.of(
        {"rule": [{"name": "sponsored", "kind": "pin", "item": sponsored, "position": 2}]}
    )
    allowed = np.isin(np.arange(len(items)), found)
    request = recommender.slates.request(
        recommender.histories([buyer]), 5, rules, PLAIN, allowed_I=allowed, exclude_seen=False
    )
    slate = compose(request, account=True)
    notes = [", ".join(move.rule for move in slate.moved(int(row))) for row in slate.item_K]
    show("with a sponsored result", shop, items.ids(slate.item_K), notes)


if __name__ == "__main__":
    main()
