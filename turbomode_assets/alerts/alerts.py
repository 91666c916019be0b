"""Alerts in words: the message that goes out, and what the terminal shows."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence

import polars as pl

from turbomode_assets.alerts.conditions import SEVERITIES, News, Severity

LONGEST_LINE = 600
MOST_LINES = 25
"""A message is read on a phone; the rest is where its last line says."""

_WORDS = {"new": "", "worse": " (worse)", "lasts": " (still)"}


def message_of(
    news: Sequence[News], *, tenant: str, simulated: bool
) -> tuple[str, str, Severity | None]:
    """Title, body and severity of the one message that tells all of this, the worst first.

    The severity is None where everything is over.
    """
    lasting = sorted(
        (each for each in news if each.happened != "over"),
        key=lambda each: (-SEVERITIES.index(each.condition.severity), each.first_seen),
    )
    over = [each for each in news if each.happened == "over"]
    counts = Counter(each.condition.severity for each in lasting)
    parts = [f"{counts[name]} {name}" for name in reversed(SEVERITIES) if counts[name]]
    parts += [f"{len(over)} over"] * bool(over)
    stamp = " [vendor=simulated]" if simulated else ""
    lines = [_line(each) for each in [*lasting, *over]]
    if len(lines) > MOST_LINES:
        left = len(lines) - MOST_LINES
        lines = [*lines[:MOST_LINES], f"... and {left} more: turbomode alerts list"]
    worst = lasting[0].condition.severity if lasting else None
    return f"turbomode {tenant}: {', '.join(parts)}{stamp}", "\n".join(lines), worst


def alert_lines(alerts: pl.DataFrame) -> list[str]:
    """Four lines for each alert: its severity and name, what, where, and the remedy."""
    return [
        line
        for row in alerts.iter_rows(named=True)
        for line in (
            f"{row['severity'].upper():<9}{row['fingerprint']}  {_history(row)}",
            f"         {row['title']}",
            f"         {row['detail']}",
            f"         fix: {row['remedy']}",
        )
    ]


def _line(news: News) -> str:
    condition = news.condition
    if news.happened == "over":
        since = f"{news.first_seen.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
        return _shortened(f"OVER: {condition.title} (since {since})")
    return _shortened(
        f"{condition.severity.upper()}{_WORDS[news.happened]}: {condition.title}. "
        f"{condition.detail}. Fix: {condition.remedy} [{condition.fingerprint}]"
    )


def _shortened(line: str) -> str:
    flat = " ".join(line.split())
    return flat if len(flat) <= LONGEST_LINE else f"{flat[: LONGEST_LINE - 3]}..."


def _history(row: dict[str, object]) -> str:
    told = f"told {_time(row['sent_at'])}" if row["sent_at"] else "nobody was told"
    parts = [f"since {_time(row['first_seen'])}", told]
    if row["ended_at"]:
        parts.append(f"ended {_time(row['ended_at'])}")
    if row["acknowledged_at"]:
        parts.append(f"acknowledged by {row['acknowledged_by']} {_time(row['acknowledged_at'])}")
    return ", ".join(parts)


def _time(moment: object) -> str:
    assert isinstance(moment, dt.datetime)
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
