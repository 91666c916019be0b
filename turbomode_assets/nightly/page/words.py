"""How figures of the nightly page are written, and the parts that its sections are built of."""

import datetime as dt
from collections.abc import Iterable, Sequence

from turbomode_assets.nightly.page.markup import Markup, figure, tag

ABSENT = "–"


def count(value: int | None) -> Markup:
    """Write a whole number."""
    return _absent() if value is None else figure(value, f"{value:,}")


def percent(value: float | None, digits: int = 1) -> Markup:
    """Write a share in percent."""
    return _absent() if value is None else figure(value, f"{100 * value:.{digits}f} %")


def signed_percent(value: float | None) -> Markup:
    """Write a return in percent, with its sign."""
    return _absent() if value is None else figure(value, f"{100 * value:+.2f} %")


def number(value: float | None, digits: int = 3) -> Markup:
    """Write a number with so many digits after the point."""
    return _absent() if value is None else figure(value, f"{value:,.{digits}f}")


def price(value: float | None) -> Markup:
    """Write a price with cents; below a dollar, with four significant digits."""
    if value is None:
        return _absent()
    return figure(value, f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}")


def day(value: dt.date | None) -> Markup:
    """Write a session."""
    return _absent() if value is None else figure(value, str(value))


def minute(value: dt.datetime | None) -> Markup:
    """Write a time in UTC."""
    if value is None:
        return _absent()
    return figure(value, f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC")


def duration(seconds: float | None) -> Markup:
    """Write how long something took."""
    if seconds is None:
        return _absent()
    if seconds < 120:
        return figure(seconds, f"{seconds:.1f} s")
    return figure(seconds, f"{seconds / 60:.0f} min")


def word(value: str | None) -> Markup:
    """Write a word in the colour of what it means: a side, an outcome, a status, a verdict."""
    if value is None:
        return _absent()
    return tag("span", value, class_=f"side t-{value.lower()}")


def percent_tick(value: float) -> str:
    """Write a tick of shares with no more digits than it needs."""
    return f"{100 * value:.10g} %"


def amount_tick(value: float) -> str:
    """Write a tick of amounts shortly: 1.25M, 104.5k, 950."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{suffix}"
    return f"{value:.6g}"


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numeric: Sequence[int] = (),
    wide: Sequence[int] = (),
    notes: Sequence[str | None] = (),
) -> Markup:
    """Lay out rows in a table that scrolls inside itself where a screen is narrow.

    Columns in `numeric` are aligned right, text in those of `wide` is folded. A note stands under
    its row.
    """
    kinds = {**dict.fromkeys(numeric, "n"), **dict.fromkeys(wide, "wide")}
    head = (tag("th", name, class_=kinds.get(at), scope="col") for at, name in enumerate(headings))
    body = []
    for place, row in enumerate(rows):
        cells = (tag("td", cell, class_=kinds.get(at)) for at, cell in enumerate(row))
        body.append(tag("tr", *cells))
        note = notes[place] if notes else None
        if note is not None:
            wide_cell = tag("td", tag("div", note), colspan=len(headings))
            body.append(tag("tr", wide_cell, class_="note"))
    # Who tabs through the page must be able to scroll it too.
    inner = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *body))
    return tag("div", inner, class_="scroll", tabindex="0")


def behind(title: str, content: Markup) -> Markup:
    """Fold away the numbers behind a chart."""
    return tag("details", tag("summary", title), content)


def tile(value: Markup, *says: object) -> Markup:
    """One figure that is seen at a glance, and what it says."""
    return tag("div", tag("b", value), tag("span", *says), class_="tile")


def tiles(*each: Markup | None) -> Markup:
    """Lay figures out side by side."""
    return tag("div", *each, class_="tiles")


def section(name: str, title: str, why_none: str | None, *content: object) -> Markup:
    """One section of the page; where there is nothing, it says why instead."""
    said = [tag("p", why_none, class_="empty")] if why_none is not None else []
    return tag("section", tag("h2", title), *said, *content, id=name)


def _absent() -> Markup:
    return tag("span", ABSENT, class_="soft")
