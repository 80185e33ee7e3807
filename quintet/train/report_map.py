"""The report's map of the catalogue: one point an item, as inline SVG; titles show on hovering."""

from __future__ import annotations

from collections import Counter

from quintet.train.catalogue_map import OTHER
from quintet.train.markup import Html, join, tag
from quintet.train.report_sections import note
from quintet.train.results import MapPoint, Results

WIDTH, HEIGHT, MARGIN = 960, 620, 24
LEAST_RADIUS, MOST_RADIUS = 2.5, 9.0
#: titles written beside their points: of the items met most, where there is room
MOST_LABELS = 14
LABEL_WIDTH, LABEL_HEIGHT, LETTER = 8.0, 16.0, 6.2
LONGEST_LABEL = 28


def catalogue(results: Results) -> Html | None:
    """The map with its legend; None where there are no points."""
    points = results.catalogue
    if not points:
        return None
    sizes = Counter(point.group for point in points)
    named = [group for group, _ in sizes.most_common() if group != OTHER]
    colour = {group: index for index, group in enumerate(named, 1)} | {OTHER: 8}
    largest = max(point.events for point in points) or 1
    # the small ones last, so that none is hidden
    ordered = sorted(points, key=lambda point: -point.events)
    drawn = [_circle(point, colour[point.group], largest) for point in ordered]
    what = f"Map of {len(points)} items; near ones are alike to the model"
    picture = tag(
        "svg",
        tag("title", what),
        *drawn,
        *_labels(ordered),
        class_="map",
        role="img",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
    )
    legend = [
        tag("li", tag("i", style=f"background:var(--group-{colour[group]})"), f"{group} ({count})")
        for group, count in [*((g, sizes[g]) for g in named), (OTHER, sizes[OTHER])]
        if count
    ]
    words = note(
        f"The {len(points)} items met most; the larger, the more often. Near points are alike to "
        "the model, by use and content; how far groups lie apart says little (t-SNE). Point at "
        "one for its title."
    )
    shown = tag("ul", *legend, class_="legend") if len(legend) > 1 else None
    return join([words, picture, shown])


def _place(point: MapPoint) -> tuple[float, float]:
    return (
        round(MARGIN + point.x * (WIDTH - 2 * MARGIN), 1),
        round(MARGIN + point.y * (HEIGHT - 2 * MARGIN), 1),
    )


def _circle(point: MapPoint, colour: int, largest: int) -> Html:
    x, y = _place(point)
    radius = LEAST_RADIUS + (MOST_RADIUS - LEAST_RADIUS) * (point.events / largest) ** 0.5
    title = f"{point.title}: {point.group}, {point.events:,} events"
    style = f"fill:var(--group-{colour})"
    return tag("circle", tag("title", title), cx=x, cy=y, r=round(radius, 1), style=style)


def _labels(ordered: list[MapPoint]) -> list[Html]:
    """Titles of the first items, those left out that would stand on another."""
    taken: list[tuple[float, float, float]] = []
    labels = []
    for point in ordered:
        x, y = _place(point)
        name = point.title
        if len(name) > LONGEST_LABEL:
            name = f"{name[: LONGEST_LABEL - 1]}…"
        width = LABEL_WIDTH + LETTER * len(name)
        left = x + LABEL_WIDTH if x + LABEL_WIDTH + width < WIDTH else x - LABEL_WIDTH - width
        free = all(
            abs(y - other) > LABEL_HEIGHT or left > end or left + width < start
            for start, end, other in taken
        )
        if free:
            taken.append((left, left + width, y))
            labels.append(tag("text", name, x=round(left, 1), y=round(y + 4, 1)))
        if len(labels) == MOST_LABELS:
            break
    return labels
