"""What alerts are made of: conditions that hold, and news of them that a human is to read."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""From the mildest to the worst."""

Happened = Literal["new", "worse", "lasts", "over"]
"""What is news of a condition: it began, became worse, still holds, or holds no more."""

PROMOTION, NIGHT = "decision", "night"
EVENTS = frozenset({PROMOTION, NIGHT})
"""Kinds that happen rather than last: told once, never again, and never declared over."""
DELIVERY = "delivery"
"""A receiver that takes no messages; known only once something was sent to it."""


@dataclass(frozen=True)
class Condition:
    """Something that a human should know of.

    The fingerprint names it for as long as it lasts, whatever becomes of its words; it is what
    a person types to acknowledge it.
    """

    fingerprint: str
    kind: str
    severity: Severity
    title: str
    detail: str
    remedy: str


@dataclass(frozen=True)
class News:
    """What is to be told of a condition, and since when it holds."""

    happened: Happened
    condition: Condition
    first_seen: dt.datetime
