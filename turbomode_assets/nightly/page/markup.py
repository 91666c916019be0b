"""HTML that is escaped by construction: only what this module built is taken as it is."""

import datetime as dt
import html


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Build an element; every child and attribute that is no `Markup` is escaped.

    A child that is None is left out. Of an attribute's name, a last underscore is dropped and
    others are hyphens: `class_`, `stroke_width`. Attributes that are None or False are left out.
    """
    given = {
        key: value for key, value in attributes.items() if value is not None and value is not False
    }
    written = "".join(f' {_attribute(key)}="{_escaped(given[key])}"' for key in given)
    return Markup(f"<{name}{written}>{joined(*children)}</{name}>")


def void(name: str, /, **attributes: object) -> Markup:
    """Build an element that has no content and no end, such as `meta`."""
    return Markup(tag(name, **attributes).removesuffix(f"</{name}>"))


def joined(*children: object) -> Markup:
    """Put children one after the other."""
    return Markup("".join(_escaped(child) for child in children if child is not None))


def figure(value: object, text: str, **attributes: object) -> Markup:
    """Write a figure for people, and beside it for machines as it stands in the JSON."""
    return tag("data", text, value=_machine(value), **attributes)


def _machine(value: object) -> str:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="seconds")
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)


def _attribute(name: str) -> str:
    return name.removesuffix("_").replace("_", "-")


def _escaped(value: object) -> str:
    return value if isinstance(value, Markup) else html.escape(str(value))
