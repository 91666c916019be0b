"""The alert book: what was wrong since when, who was told, and who takes care of it.

A condition has one row for each time it began. Rows are ended, never deleted. News are claimed by
whoever is about to send them, so that of two who look at once only one tells; a claim lapses, so
that what a killed process never sent is told by the next.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

import polars as pl

from turbomode_assets.alerts.conditions import EVENTS, SEVERITIES, Condition, Happened, News
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.stores.memory import ModelMemory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

CLAIM = dt.timedelta(minutes=5)
"""How long news belong to the one who is sending them."""

_SEEN = pl.Schema(
    dict.fromkeys(("fingerprint", "kind", "severity", "title", "detail", "remedy"), pl.String())
)
_RANKED = f"list_position({list(SEVERITIES)!r}, {{}})"
_BECAME_WORSE = f"{_RANKED.format('seen.severity')} > {_RANKED.format('alerts.severity')}"
_WORSE_THAN_TOLD = f"{_RANKED.format('severity')} > {_RANKED.format('sent_severity')}"

_NEVER_DECLARED_OVER = """
UPDATE alerts SET ended_at = NULL
WHERE ended_at IS NOT NULL AND sent_at IS NOT NULL AND over_sent_at IS NULL
    AND (claimed_until IS NULL OR claimed_until <= $now) AND NOT list_contains($events, kind)
    AND fingerprint IN (SELECT fingerprint FROM seen)
"""
_STILL_THERE = f"""
UPDATE alerts SET
    title = seen.title, detail = seen.detail, remedy = seen.remedy, severity = seen.severity,
    last_seen = $now, times = times + 1,
    acknowledged_at = CASE WHEN {_BECAME_WORSE} THEN NULL ELSE acknowledged_at END,
    acknowledged_by = CASE WHEN {_BECAME_WORSE} THEN NULL ELSE acknowledged_by END
FROM seen WHERE alerts.fingerprint = seen.fingerprint AND alerts.ended_at IS NULL
"""
_BEGUN = """
INSERT INTO alerts BY NAME
SELECT seen.*, $now AS first_seen, $now AS last_seen, 1 AS times FROM seen
WHERE NOT EXISTS (
    FROM alerts WHERE alerts.fingerprint = seen.fingerprint
        AND (alerts.ended_at IS NULL OR list_contains($events, seen.kind))
)
ON CONFLICT (fingerprint, first_seen) DO UPDATE SET ended_at = NULL, over_sent_at = NULL
"""
_ENDED = """
UPDATE alerts SET ended_at = $now
WHERE ended_at IS NULL AND last_seen <= $settled AND NOT list_contains($unjudged, kind)
    AND fingerprint NOT IN (SELECT fingerprint FROM seen)
"""
_NEWS = f"""
SELECT fingerprint, kind, severity, title, detail, remedy, first_seen,
    CASE
        WHEN ended_at IS NOT NULL THEN 'over'
        WHEN sent_at IS NULL THEN 'new'
        WHEN {_WORSE_THAN_TOLD} THEN 'worse'
        ELSE 'lasts'
    END AS happened
FROM alerts
WHERE (claimed_until IS NULL OR claimed_until <= $now) AND CASE
    WHEN ended_at IS NOT NULL
        THEN sent_at IS NOT NULL AND over_sent_at IS NULL AND NOT list_contains($events, kind)
    WHEN acknowledged_at IS NOT NULL
        OR (last_seen < $now AND NOT list_contains($unjudged, kind)) THEN false
    ELSE sent_at IS NULL OR {_WORSE_THAN_TOLD}
        OR (sent_at <= $repeat AND NOT list_contains($events, kind))
END
ORDER BY {_RANKED.format("severity")} DESC, first_seen, fingerprint
"""
_OURS = "fingerprint = ? AND first_seen = ?"


def compare(
    memory: ModelMemory,
    conditions: Iterable[Condition],
    now: dt.datetime,
    *,
    repeat_after: dt.timedelta,
    over_after: dt.timedelta,
    unjudged: Collection[str] = (),
    claim: bool,
) -> list[News]:
    """Write down what holds now, in one transaction; return what is to be told, claimed.

    Told is what began, became worse (which undoes an acknowledgement), lasts unacknowledged for
    `repeat_after`, or was told and is over. It is over once it was not there for `over_after`;
    of the kinds in `unjudged` nothing is known now, and nothing of them ends. Without `claim`
    nobody is there to be told: nothing is returned.
    """
    with memory.transaction() as connection:
        _write_down(connection, conditions, now, over_after, unjudged)
        if not claim:
            return []
        rows = connection.sql(
            _NEWS,
            params={
                "now": now,
                "repeat": now - repeat_after,
                "events": sorted(EVENTS),
                "unjudged": sorted(unjudged),
            },
        ).pl()
        news = [_news_of(row) for row in rows.iter_rows(named=True)]
        _stamp(connection, news, "claimed_until = ?", [now + CLAIM])
    return news


def mark_told(memory: ModelMemory, news: Sequence[News], now: dt.datetime) -> None:
    """Note that these went out; only now do they count as told."""
    over = [each for each in news if each.happened == "over"]
    lasting = [each for each in news if each.happened != "over"]
    with memory.transaction() as connection:
        _stamp(connection, over, "claimed_until = NULL, over_sent_at = ?", [now])
        for each in lasting:
            told = "claimed_until = NULL, sent_at = ?, sent_severity = ?"
            _stamp(connection, [each], told, [now, each.condition.severity])


def release(memory: ModelMemory, news: Sequence[News]) -> None:
    """Give back news that could not be sent: the next look tells them."""
    with memory.transaction() as connection:
        _stamp(connection, news, "claimed_until = NULL", [])


def claim_event(memory: ModelMemory, event: Condition, now: dt.datetime) -> News | None:
    """Claim something that happens once, and is over at once; None if it was told or is claimed."""
    with memory.transaction() as connection:
        connection.register("seen", pl.DataFrame([asdict(event)], schema=_SEEN))
        connection.execute(_BEGUN, {"now": now, "events": sorted(EVENTS)})
        connection.execute(
            "UPDATE alerts SET ended_at = first_seen WHERE fingerprint = ? AND ended_at IS NULL",
            [event.fingerprint],
        )
        free = connection.sql(
            "FROM alerts WHERE fingerprint = $fingerprint AND sent_at IS NULL"
            " AND (claimed_until IS NULL OR claimed_until <= $now)",
            params={"fingerprint": event.fingerprint, "now": now},
        ).pl()
        if free.is_empty():
            return None
        news = News("new", event, free.item(0, "first_seen"))
        _stamp(connection, [news], "claimed_until = ?", [now + CLAIM])
    return news


def acknowledge(
    memory: ModelMemory, fingerprints: Sequence[str], *, by: str, now: dt.datetime
) -> None:
    """Note who takes care of open alerts: while they last they are not told again.

    Raises:
        InputError: one of them is not open; none is acknowledged then.
    """
    with memory.transaction() as connection:
        rows = connection.execute("SELECT fingerprint FROM alerts WHERE ended_at IS NULL")
        known = {name for (name,) in rows.fetchall()}
        if strangers := [name for name in fingerprints if name not in known]:
            raise InputError(
                f"no open alert is called {first_few(strangers)}",
                where=str(memory.path),
                fix="turbomode alerts list shows what is open, each with its name",
            )
        connection.execute(
            "UPDATE alerts SET acknowledged_at = ?, acknowledged_by = ?"
            " WHERE ended_at IS NULL AND list_contains(?, fingerprint)",
            [now, by, list(fingerprints)],
        )


def open_alerts(memory: ModelMemory) -> pl.DataFrame:
    """Alerts that have not ended, the worst first."""
    worst_first = f"{_RANKED.format('severity')} DESC, first_seen, fingerprint"
    return memory.query(f"FROM alerts WHERE ended_at IS NULL ORDER BY {worst_first}")


def ended_alerts(memory: ModelMemory, *, limit: int) -> pl.DataFrame:
    """Alerts that have ended, the latest first."""
    return memory.query(
        "FROM alerts WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, fingerprint LIMIT ?",
        [limit],
    )


def _write_down(
    connection: Connection,
    conditions: Iterable[Condition],
    now: dt.datetime,
    over_after: dt.timedelta,
    unjudged: Collection[str],
) -> None:
    once = {condition.fingerprint: asdict(condition) for condition in conditions}
    connection.register("seen", pl.DataFrame(list(once.values()), schema=_SEEN))
    connection.execute(_NEVER_DECLARED_OVER, {"now": now, "events": sorted(EVENTS)})
    connection.execute(_STILL_THERE, {"now": now})
    connection.execute(_BEGUN, {"now": now, "events": sorted(EVENTS)})
    settled = {"now": now, "settled": now - over_after, "unjudged": sorted(unjudged)}
    connection.execute(_ENDED, settled)


def _stamp(
    connection: Connection, news: Iterable[News], assignment: str, values: list[object]
) -> None:
    for each in news:
        connection.execute(
            f"UPDATE alerts SET {assignment} WHERE {_OURS}",
            [*values, each.condition.fingerprint, each.first_seen],
        )


def _news_of(row: dict[str, object]) -> News:
    words = {name: row[name] for name in _SEEN.names()}
    return News(
        cast("Happened", row["happened"]),
        Condition(**words),  # type: ignore[arg-type]  # the table's CHECK names the severities
        cast("dt.datetime", row["first_seen"]),
    )
