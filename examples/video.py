"""A video page: what to play next, for a person and for somebody without an account."""

from __future__ import annotations

from marketplace import busiest, model, show


def main() -> None:
    """Up next by history, by the session alone, and like the video on the page."""
    videos = model()
    viewer = busiest(videos, "view", "video")
    up_next = videos.recommend([viewer], 5, scenario="video", reasons=True)
    why = [one.reasons[0].text if one.reasons else "" for one in up_next]
    show(f"up next for {viewer}", videos, [one.item_id for one in up_next], why)

    recommender = videos.recommender
    kinds = recommender.trained.item_table["kind"].to_pylist()
    clips = recommender.trained.items.ids(
        [row for row, kind in enumerate(kinds) if kind == "video"]
    )
    watched = clips[:3]
    show("a stranger has watched", videos, watched)
    after = [one.item_id for one in videos.session(watched, 40) if one.item_id in set(clips)]
    show("and gets", videos, after[:5])

    near = [one for one in videos.similar(watched[-1], 40) if one["item_id"] in set(clips)][:5]
    notes = [f"cosine {one['similarity']:.2f}" for one in near]
    show("like the last one", videos, [one["item_id"] for one in near], notes)


if __name__ == "__main__":
    main()
