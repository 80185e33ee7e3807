"""Online courses: the next course of a track, and never one whose foundations are missing."""

from __future__ import annotations

import numpy as np

import quintet
from quintet.serve.slate.rules import RuleSet

TRACKS = {
    "data": ["Numbers with Python", "Statistics", "Machine learning", "Deep learning"],
    "web": ["Pages with HTML", "JavaScript", "React", "Servers with Node"],
    "design": ["Drawing", "Colour and type", "Interfaces", "Motion"],
}
COURSES = [
    {"item_id": f"{track}-{level}", "title": title, "track": track, "level": level}
    for track, titles in TRACKS.items()
    for level, title in enumerate(titles, 1)
]


def log(learners: int = 150, seed: int = 0) -> list[dict[str, object]]:
    """Learners climb one track, level by level, and look into another now and then."""
    rng = np.random.default_rng(seed)
    rows = []
    for learner in range(learners):
        own, other = rng.choice(list(TRACKS), 2, replace=False)
        taken = [f"{own}-{level}" for level in range(1, rng.integers(2, 5) + 1)]
        if rng.random() < 0.4:
            taken.insert(int(rng.integers(1, len(taken) + 1)), f"{other}-1")
        start = int(rng.integers(0, 200))
        rows += [
            {
                "user_id": f"learner {learner}",
                "item_id": course,
                "timestamp": 86_400 * (start + 30 * step),
            }
            for step, course in enumerate(taken)
        ]
    return rows


def main() -> None:
    """What three learners should take next."""
    school = quintet.Quintet(loop={"epochs": 5}, model={"width": 16}).fit(log(), items=COURSES)
    title = {course["item_id"]: course["title"] for course in COURSES}
    for taken in (["data-1"], ["data-1", "data-2"], ["web-1", "design-1"]):
        ready = {f"{track}-1" for track in TRACKS}
        for course in taken:
            track, level = course.split("-")
            ready.add(f"{track}-{int(level) + 1}")
        best = school.session(taken, len(COURSES), exclude_seen=True)
        allowed = [one.item_id for one in best if one.item_id in ready]
        print(f"\nafter {', '.join(title[course] for course in taken)}")
        for rank, course in enumerate(allowed[:3], 1):
            print(f"  {rank} {title[course]}")

    rules = RuleSet.of(
        {
            "rule": [
                {
                    "name": "beginners",
                    "kind": "filter",
                    "where": {"attribute": "level", "most": 1.0},
                }
            ]
        }
    )
    (first,) = school.recommender.slate(["somebody new"], 3, rules=rules)
    print("\nsomebody new:", ", ".join(title[item.item_id] for item in first.items))


if __name__ == "__main__":
    main()
