"""A shop: a personal page, what is new, what is like an item or bought with it, and refills."""

from __future__ import annotations

from marketplace import busiest, model, show

from quintet.serve.slate.rules import RuleSet

RULES = RuleSet.of(
    {
        "rule": [
            {
                "name": "not bought again for a month",
                "kind": "seen",
                "behaviours": ["buy"],
                "days": 30.0,
            },
            {"name": "two of a category", "kind": "one_per", "attribute": "category", "most": 2},
            {"name": "no bargain bin", "kind": "price", "least": 5.0},
        ]
    }
)


def main() -> None:
    """Five lists of one shop."""
    shop = model()
    recommender = shop.recommender
    customer = busiest(shop, "buy")

    (page,) = recommender.slate([customer], 6, scenario="shop", rules=RULES, account=True)
    moved = [", ".join(move["rule"] for move in item.moved_by) for item in page.items]
    show(f"for {customer}", shop, [item.item_id for item in page.items], moved)

    table = recommender.trained.item_table
    goods = [row for row, kind in enumerate(table["kind"].to_pylist()) if kind == "goods"]
    released = table["released"].to_pylist()
    newest = sorted(goods, key=lambda row: released[row], reverse=True)[:20]
    fresh = shop.recommend([customer], 5, candidates=recommender.trained.items.ids(newest))
    show("new, the most fitting first", shop, [one.item_id for one in fresh])

    basket = recommender.related.baskets()
    item = recommender.trained.items.ids([int(basket.count_I.argmax())])[0]
    title = recommender.describe([item])[0]["title"]
    show(f"like {title}", shop, [one["item_id"] for one in shop.similar(item, 5)])
    pairs = shop.bought_together(item, 5)
    notes = [f"{pair['baskets']} baskets, {pair['lift']:g} x chance" for pair in pairs]
    show(f"bought together with {title}", shop, [pair["item_id"] for pair in pairs], notes)

    refill = shop.next_basket(customer, 5)
    times = [f"had it {one['times']} times" if one["times"] else "new" for one in refill]
    show("the next basket", shop, [one["item_id"] for one in refill], times)


if __name__ == "__main__":
    main()
