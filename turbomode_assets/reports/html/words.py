"""How figures are written: for people, and beside it for machines as they stand in the JSON."""

import datetime as dt

from markupsafe import Markup

ABSENT = Markup('<span class="soft">–</span>')


def figure(value: object, text: str) -> Markup:
    """Write a figure for people, and beside it for machines as it stands in the JSON."""
    return Markup('<data value="{}">{}</data>').format(_machine(value), text)


def count(value: int | None) -> Markup:
    """Write a whole number."""
    return ABSENT if value is None else figure(value, f"{value:,}")


def percent(value: float | None, digits: int = 1) -> Markup:
    """Write a share in percent."""
    return ABSENT if value is None else figure(value, f"{100 * value:.{digits}f} %")


def signed_percent(value: float | None) -> Markup:
    """Write a return in percent, with its sign."""
    return ABSENT if value is None else figure(value, f"{100 * value:+.2f} %")


def number(value: float | None, digits: int = 3) -> Markup:
    """Write a number with so many digits after the point."""
    return ABSENT if value is None else figure(value, f"{value:,.{digits}f}")


def price(value: float | None) -> Markup:
    """Write a price with cents; below a dollar, with four significant digits."""
    if value is None:
        return ABSENT
    return figure(value, f"{value:,.2f}" if abs(value) >= 1 else f"{value:.4g}")


def day(value: dt.date | None) -> Markup:
    """Write a session."""
    return ABSENT if value is None else figure(value, str(value))


def minute(value: dt.datetime | None) -> Markup:
    """Write a time in UTC."""
    if value is None:
        return ABSENT
    return figure(value, f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC")


def duration(seconds: float | None) -> Markup:
    """Write how long something took."""
    if seconds is None:
        return ABSENT
    if seconds < 120:
        return figure(seconds, f"{seconds:.1f} s")
    return figure(seconds, f"{seconds / 60:.0f} min")


def word(value: str | None) -> Markup:
    """Write a word in the colour of what it means: a side, an outcome, a status, a verdict."""
    if value is None:
        return ABSENT
    return Markup('<span class="side t-{}">{}</span>').format(value.lower(), value)


def between(low: Markup, separator: str, high: Markup) -> Markup:
    """Write two figures and what stands between them."""
    return Markup("{}{}{}").format(low, separator, high)


def _machine(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="seconds")
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)
