"""People: friends to make, groups to join, and whom to follow, from edges between them."""

from __future__ import annotations

from marketplace import SIZE

import quintet
from quintet.data.dataset import join
from quintet.data.people import people_dataset

FAST = {"loop": {"epochs": 2}, "model": {"width": 16}}


def main() -> None:
    """One model a kind of edge; what people met in the log stands beside their edges."""
    market = quintet.open_dataset("market", SIZE)
    person = market.users.to_arrow()["user_id"][0].as_py()

    friends = quintet.Quintet(**FAST).fit(people_dataset(market))
    print(f"{person} may know")
    for one in friends.recommend([person], 5):
        print(f"  {one.rank} {one.item_id} ({one.basis})")

    following = quintet.Quintet(**FAST).fit(people_dataset(market, mutual=False))
    print("and may want to follow")
    for one in following.recommend([person], 5):
        print(f"  {one.rank} {one.item_id} ({one.basis})")

    log, items = market.log.to_arrow(), market.items.to_arrow()
    topic = dict(zip(items["item_id"].to_pylist(), items["category"].to_pylist(), strict=True))
    liked = zip(*(log[n].to_pylist() for n in ("user_id", "item_id", "behaviour")), strict=True)
    members = sorted({(user, f"{topic[item]} club") for user, item, how in liked if how == "like"})
    clubs = {
        "source_id": [user for user, _ in members],
        "target_id": [club for _, club in members],
        "kind": ["user-group"] * len(members),
    }
    social = join(market.log, users=market.users, relations=clubs)
    groups = quintet.Quintet(**FAST).fit(people_dataset(social, "user-group"))
    own = [club for user, club in members if user == person]
    print(f"is in {', '.join(own)}, and may join")
    for one in groups.recommend([person], 3, exclude_seen=True):
        print(f"  {one.rank} {one.item_id}")


if __name__ == "__main__":
    main()
