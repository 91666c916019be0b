"""Charts of the nightly page: SVG that stretches with the screen, under labels that do not."""

from collections.abc import Callable, Sequence

from matplotlib.ticker import MaxNLocator

from turbomode_assets.nightly.figures import CalibrationPoint, Coverage
from turbomode_assets.nightly.page.markup import Markup, joined, tag

WIDTH, HEIGHT = 1_000, 100
ROW_PIXELS = 12
SMALLEST_SPAN = 1e-9
CLASS_NAMES = {"G": "green", "A": "amber", "R": "red"}
NAMED_SESSIONS = 4
# It may draw a step or two more than its bins.
TICKS = MaxNLocator(nbins=7, steps=[1, 2, 5, 10])


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
) -> Markup:
    """Draw values over evenly spaced places, of which the first, last and some between are named.

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
    shapes = [
        *(_line([(0, _down(t, low, high)), (WIDTH, _down(t, low, high))], "grid") for t in ticks),
        tag("path", class_=f"area {kind}", d=f"{_path(points)}V{floor:.4g}H0Z"),
        _line(points, kind),
    ]
    if limit is not None:
        across = _down(limit, low, high)
        shapes.append(_line([(0, across), (WIDTH, across)], "limit"))
    return tag(
        "div",
        tag(
            "div",
            *(tag("span", written(t), style=f"top:{_down(t, low, high):.4g}%") for t in ticks),
            class_="y",
        ),
        _svg(shapes, described, f"0 0 {WIDTH} {HEIGHT}", f"height:{height}px"),
        tag("div", *(tag("span", name) for name in _some(names)), class_="x"),
        class_="chart",
    )


def reliability_chart(points: Sequence[CalibrationPoint]) -> Markup:
    """Draw how often each side came true over what was said; on the diagonal, both are the same."""
    shapes = [_line([(0, 100 - v), (100, 100 - v)], "grid") for v in (0, 25, 50, 75, 100)]
    shapes.append(_line([(0, 100), (100, 0)], "limit"))
    sides = list(dict.fromkeys(point.side for point in points))
    for side in sides:
        places = [
            (100 * point.mean_probability, 100 - 100 * point.observed_share)
            for point in points
            if point.side == side
        ]
        shapes.append(_line(places, side.lower()))
        dots = "".join(f"M{x:.4g} {y:.4g}h0" for x, y in places)
        shapes.append(tag("path", class_=f"dot {side.lower()}", d=dots))
    ticks = (0, 25, 50, 75, 100)
    return tag(
        "div",
        tag("div", *(tag("span", f"{t} %", style=f"top:{100 - t}%") for t in ticks), class_="y"),
        _svg(shapes, "Share that came true over the probability that was given", "0 0 100 100", ""),
        tag("div", *(tag("span", f"{t} %") for t in ticks), class_="x"),
        class_="chart square",
    )


def legend(names: dict[str, str]) -> Markup:
    """Explain colours: class of the colour, and what it stands for."""
    return tag(
        "p",
        *(tag("span", tag("i", class_=f"key {kind}"), name) for kind, name in names.items()),
        class_="legend",
    )


def heatmap(coverage: Coverage) -> Markup:
    """Draw a row for each symbol and a column for each session, in the colours of the ledger."""
    columns = len(coverage.sessions)
    rects = [
        tag("rect", class_=CLASS_NAMES[letter], x=start, y=number, width=length, height=1)
        for number, row in enumerate(coverage.rows)
        for letter, start, length in _stretches(row.verdicts)
        if letter in CLASS_NAMES
    ]
    gaps = "".join(f"M0 {n}H{columns}" for n in range(1, len(coverage.rows)))
    height = ROW_PIXELS * len(coverage.rows)
    described = "Verdict of every symbol and session; the counts stand in the table"
    picture = _svg(
        [*rects, tag("path", class_="gap", d=gaps or "M0 0")],
        described,
        f"0 0 {columns} {len(coverage.rows)}",
        f"height:{height}px",
    )
    names = (tag("data", row.symbol, value=row.verdicts, title=row.symbol) for row in coverage.rows)
    days = [str(each.session) for each in coverage.sessions]
    return tag(
        "div",
        tag("div", *names, class_="y"),
        picture,
        tag("div", *(tag("span", name) for name in _some(days)), class_="x"),
        class_="chart map",
    )


def probability_bar(p_sell: float, p_hold: float, p_buy: float) -> Markup:
    """Draw three probabilities as parts of one bar; the numbers stand beside it."""
    parts = (("sell", p_sell), ("hold", p_hold), ("buy", p_buy))
    return tag(
        "span",
        *(tag("i", class_=kind, style=f"width:{100 * share:.3g}%") for kind, share in parts),
        class_="bar",
        aria_hidden="true",
    )


def nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers at even distances that span a range: ten at most."""
    largest = max(abs(low), abs(high))
    # What differs by less than a float can tell is drawn as one value.
    if high - low <= SMALLEST_SPAN * largest:
        low, high = low - largest / 2, high + (largest / 2 or 1.0)
    return [float(tick) for tick in TICKS.tick_values(low, high)]


def _down(value: float, low: float, high: float) -> float:
    """Percent from the top."""
    return 100 * (high - value) / (high - low)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.5g} {y:.4g}" for x, y in points)


def _line(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    return tag("path", class_=f"line {kind}", d=_path(points))


def _svg(shapes: Sequence[Markup], described: str, box: str, style: str) -> Markup:
    return tag(
        "svg",
        joined(*shapes),
        viewBox=box,
        preserveAspectRatio="none",
        role="img",
        aria_label=described,
        style=style or None,
    )


def _some(names: Sequence[str]) -> list[str]:
    """Name the first, the last, and places at even distances between them."""
    most = min(NAMED_SESSIONS, len(names))
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
