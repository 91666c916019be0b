"""Charts as values: where lines, dots and cells lie. How they look is `templates/charts.html`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1_000, 100
ROW_PIXELS = 12
BAR_PIXELS = 20
SMALLEST_SPAN = 1e-9
NAMED_PLACES = 4
MOST_TICKS = 7
"""Distances between ticks; their locator may draw a step or two more."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A label of the upright axis, in percent from the top, and its place in the drawing."""

    label: str
    top: float


@dataclass(frozen=True)
class Line:
    """A path through points, and the class that says what it is."""

    kind: str
    path: str


@dataclass(frozen=True)
class LineChart:
    """Values over evenly spaced places."""

    kind: str
    ticks: list[Tick]
    names: list[str]
    area: str
    lines: list[Line]
    height: int
    described: str


@dataclass(frozen=True)
class Reliability:
    """How often each side came true over what was said."""

    sides: list[str]
    lines: list[Line]
    dots: list[Line]


@dataclass(frozen=True)
class Stretch:
    """Neighbouring cells of one kind in a row of a heat map."""

    kind: str
    start: int
    row: int
    length: int


@dataclass(frozen=True)
class HeatMap:
    """A row for each name and a column for each place."""

    rows: Sequence[tuple[str, str]]
    columns: int
    stretches: list[Stretch]
    names: list[str]
    height: int


@dataclass(frozen=True)
class Bar:
    """A bar from the middle: percent of the width it begins at and is long, and its sense."""

    name: str
    left: float
    length: float
    kind: str
    label: str


def line_chart(
    values: Sequence[float],
    names: Sequence[str],
    written: Callable[[float], str],
    *,
    kind: str,
    height: int = 160,
    limit: float | None = None,
    from_zero: bool = False,
    described: str,
) -> LineChart:
    """Lay out values, of which the first, last and some between are named.

    `written` writes a tick. `limit` is a dashed line. `kind` is the line's class.
    """
    known = [*values, *([] if limit is None else [limit]), *([0.0] if from_zero else [])]
    ticks = nice_ticks(min(known), max(known))
    low, high = ticks[0], ticks[-1]
    step = WIDTH / max(len(values) - 1, 1)
    points = [(n * step, _down(value, low, high)) for n, value in enumerate(values)]
    if len(points) == 1:
        points = [(0.0, points[0][1]), (float(WIDTH), points[0][1])]
    floor = _down(min(max(0.0, low), high), low, high)
    lines = [_across("grid", _down(tick, low, high)) for tick in ticks]
    lines.append(Line(kind, _path(points)))
    if limit is not None:
        lines.append(_across("limit", _down(limit, low, high)))
    return LineChart(
        kind=kind,
        ticks=[Tick(written(tick), _down(tick, low, high)) for tick in ticks],
        names=_some(names),
        area=f"{_path(points)}V{floor:.4g}H0Z",
        lines=lines,
        height=height,
        described=described,
    )


def reliability(points: Mapping[str, Sequence[tuple[float, float]]]) -> Reliability:
    """Lay out, for each side, the share that came true over the probability that was given."""
    lines = [_across("grid", 100 - share, 100) for share in (0, 25, 50, 75, 100)]
    lines.append(Line("limit", _path([(0, 100), (100, 0)])))
    dots = []
    for side, pairs in points.items():
        places = [(100 * said, 100 - 100 * observed) for said, observed in pairs]
        lines.append(Line(side.lower(), _path(places)))
        dots.append(Line(side.lower(), "".join(f"M{x:.4g} {y:.4g}h0" for x, y in places)))
    return Reliability(list(points), lines, dots)


def heat_map(
    rows: Sequence[tuple[str, str]], places: Sequence[str], kinds: Mapping[str, str]
) -> HeatMap:
    """Lay out rows of letters: neighbours that are equal are one rectangle."""
    stretches = [
        Stretch(kinds[letter], start, number, length)
        for number, (_, letters) in enumerate(rows)
        for letter, start, length in _stretches(letters)
        if letter in kinds
    ]
    return HeatMap(rows, len(places), stretches, _some(places), ROW_PIXELS * len(rows))


def bars(named: Sequence[tuple[str, float, str]]) -> list[Bar]:
    """Lay out values as bars to both sides of zero: name, value, and the value as written."""
    reach = max((abs(value) for _, value, _ in named), default=0.0) or 1.0
    return [
        Bar(
            name,
            left=50 - 50 * max(-value, 0.0) / reach,
            length=50 * abs(value) / reach,
            kind="fall" if value < 0 else "rise",
            label=label,
        )
        for name, value, label in named
    ]


def nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers at even distances that span a range: ten at most."""
    from matplotlib.ticker import MaxNLocator

    largest = max(abs(low), abs(high))
    # What differs by less than a float can tell is drawn as one value.
    if high - low <= SMALLEST_SPAN * largest:
        low, high = low - largest / 2, high + (largest / 2 or 1.0)
    locator = MaxNLocator(nbins=MOST_TICKS, steps=[1, 2, 5, 10])
    return [float(tick) for tick in locator.tick_values(low, high)]


def _down(value: float, low: float, high: float) -> float:
    """Percent from the top."""
    return 100 * (high - value) / (high - low)


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.5g} {y:.4g}" for x, y in points)


def _across(kind: str, down: float, width: int = WIDTH) -> Line:
    return Line(kind, _path([(0, down), (width, down)]))


def _some(names: Sequence[str]) -> list[str]:
    """Name the first, the last, and places at even distances between them."""
    most = min(NAMED_PLACES, len(names))
    places = [n * (len(names) - 1) // max(most - 1, 1) for n in range(most)]
    return [names[place] for place in dict.fromkeys(places)]


def _stretches(letters: str) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    for place, letter in enumerate(letters):
        if found and found[-1][0] == letter:
            found[-1] = (letter, found[-1][1], found[-1][2] + 1)
        else:
            found.append((letter, place, 1))
    return found
