"""A search box: words find, history ranks, and a sponsored result stands where it is sold."""

from __future__ import annotations

import numpy as np
from marketplace import busiest, model, show
from sklearn.feature_extraction.text import TfidfVectorizer

from quintet.serve.slate.rules import RuleSet
from quintet.serve.slate.slate import PLAIN, compose

QUERY = "coffee beans"


def main() -> None:
    """One query by two people, then with a sponsored result on the second place."""
    shop = model()
    recommender = shop.recommender
    items, table = recommender.trained.items, recommender.trained.item_table
    words = [
        f"{a} {b}"
        for a, b in zip(table["title"].to_pylist(), table["subcategory"].to_pylist(), strict=True)
    ]
    vectorizer = TfidfVectorizer()
    match = (vectorizer.fit_transform(words) @ vectorizer.transform([QUERY]).T).toarray()[:, 0]
    goods = np.array([kind == "goods" for kind in table["kind"].to_pylist()])
    found = np.flatnonzero((match > 0) & goods)
    order = found[np.argsort(-match[found], kind="stable")]
    show(f"{QUERY!r} by its words alone", shop, items.ids(order[:5]))

    buyer = busiest(shop, "buy")
    for person in (buyer, "a stranger"):
        ranked = shop.recommend([person], 5, candidates=items.ids(found), exclude_seen=False)
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
