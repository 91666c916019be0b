"""The state of the market data as lines for a terminal; every colour has its letter or shade."""

import datetime as dt
from collections.abc import Sequence

import polars as pl
from rich.text import Text

from turbomode_assets.completeness import (
    age_buckets,
    age_of_data,
    month_counts,
    reason_counts,
    vendors_of,
    verdict_counts,
)
from turbomode_assets.contracts.columns import SESSION, SYMBOL
from turbomode_assets.contracts.tables.master import VERDICTS
from turbomode_assets.reports.wording import counted, share_text, vendor_mark
from turbomode_assets.sessions import offset_session, require_session, sessions_between

STYLES = {"GREEN": "green", "AMBER": "yellow", "RED": "bold red"}
SHADES = ((1.0, "█", "green"), (0.99, "▓", "green"), (0.9, "▒", "yellow"), (0.0, "░", "bold red"))
"""Least share of GREEN, how a month with it is drawn, and its style."""

NOTHING = "·"
LAST_SESSIONS, SHOWN_REASONS, SHOWN_OLDEST, SHOWN_DEAD = 10, 8, 5, 5
MONTH_INITIALS = "JFMAMJJASOND"
NARROWEST = 80


def status_lines(
    ledger: pl.DataFrame,
    audits: pl.DataFrame,
    queue: pl.DataFrame | None,
    *,
    as_of: dt.date,
    now: dt.datetime | None = None,
    width: int = 80,
) -> list[Text]:
    """Return lines of at most `width` characters (`NARROWEST` at least): shares, why, age, queue.

    `ledger` and `audits` are the tables partition_status and audits, `queue` the backfill queue;
    each may be empty, and without a queue to speak of it is None. Queued work waits while its
    not_before is later than `now`; without `now`, as long as it has one.

    Raises:
        InputError: `as_of` is not a session.
    """
    require_session(as_of, where="status")
    width = max(width, NARROWEST)
    mark = vendor_mark(ledger, vendors_of(ledger))
    lines = [Text(f"Completeness as of {as_of}  {mark}", style="bold"), _audit_line(audits)]
    if ledger.is_empty():
        lines += [Text("The ledger is empty: nothing was audited yet.", style=STYLES["RED"])]
    else:
        counts = verdict_counts(ledger)
        by_session = counts.group_by(SESSION).agg(pl.col(*VERDICTS, "cells").sum())
        lines += [
            *_section("Shares", _share_lines(counts)),
            *_section(f"Last {LAST_SESSIONS} sessions", _session_lines(by_session, as_of, width)),
            *_section(_month_title(), _month_lines(month_counts(counts), width)),
            *_section("Reasons (share of all cells)", _reason_lines(ledger)),
            *_section("Age of the last GREEN candle", _age_lines(ledger, as_of)),
        ]
    if queue is not None:
        lines += _section("Backfill queue", _queue_lines(queue, now))
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _section(title: str, lines: Sequence[Text]) -> list[Text]:
    return [Text(), Text(title, style="bold"), *lines]


def _audit_line(audits: pl.DataFrame) -> Text:
    if audits.is_empty():
        return Text("no audit is recorded")
    last = audits.sort("audited_at").row(-1, named=True)
    return Text(
        f"last audit {last['audited_at']:%Y-%m-%d %H:%M} UTC:"
        f" {counted(last['cells'], 'cell')} from {last['first_session']} on,"
        f" {last['changed']:,} changed"
    )


def _share_lines(counts: pl.DataFrame) -> list[Text]:
    lines = [Text(f"  {'':<5}{'cells':>12}" + "".join(f"{verdict:>20}" for verdict in VERDICTS))]
    summed = counts.group_by("timeframe").agg(pl.col(*VERDICTS, "cells").sum()).sort("timeframe")
    for row in summed.iter_rows(named=True):
        line = Text(f"  {row['timeframe']:<5}{row['cells']:>12,}")
        for verdict in VERDICTS:
            text = f"{row[verdict]:,}  {share_text(row[verdict], row['cells']):>8}"
            line.append(f"{text:>20}", style=STYLES[verdict] if row[verdict] else None)
        lines.append(line)
    return lines


def _session_lines(by_session: pl.DataFrame, as_of: dt.date, width: int) -> list[Text]:
    found = {row[SESSION]: row for row in by_session.iter_rows(named=True)}
    lines = []
    for session in sessions_between(offset_session(as_of, 1 - LAST_SESSIONS), as_of):
        line = Text(f"  {session:%Y-%m-%d %a}  ")
        if session not in found:
            lines.append(line.append("not audited", style=STYLES["RED"]))
            continue
        counts = [found[session][verdict] for verdict in VERDICTS]
        written = "".join(
            f"  {verdict[0]} {count:,}"
            for verdict, count in zip(VERDICTS, counts, strict=True)
            if count
        )
        lengths = _lengths(counts, width - len(line) - 30)
        for verdict, length in zip(VERDICTS, lengths, strict=True):
            line.append(verdict[0] * length, style=STYLES[verdict])
        lines.append(line.append(written))
    return lines


def _lengths(counts: Sequence[int], length: int) -> list[int]:
    """Divide a strip among the verdicts; none that occurs is left out."""
    total = sum(counts)
    worse = [max(1, round(length * count / total)) if count else 0 for count in counts[1:]]
    longest = length - 1 if counts[0] else length
    while sum(worse) > longest:
        worse[worse.index(max(worse))] -= 1
    return [length - sum(worse) if counts[0] else 0, *worse]


def _month_title() -> str:
    all_green, nearly, mostly, less = (sign for _, sign, _ in SHADES)
    return (
        f"GREEN by month ({all_green} all, {nearly} 99 %, {mostly} 90 %, {less} less,"
        f" {NOTHING} nothing expected)"
    )


def _month_lines(months: pl.DataFrame, width: int) -> list[Text]:
    summed = months.group_by("month").agg(pl.col("GREEN", "cells").sum())
    found = {(m.year, m.month): (green, cells) for m, green, cells in summed.iter_rows()}
    years = sorted({year for year, _ in found})
    abreast = max(1, min((width - 2) // 28, len(years)))
    deep = -(-len(years) // abreast)
    lines = [Text("  " + f"     {MONTH_INITIALS}           " * abreast)]
    for line_number in range(deep):
        line = Text("  ")
        for year in years[line_number::deep]:
            line.append(_year(year, found))
        lines.append(line)
    for line in lines:
        line.rstrip()
    return lines


def _year(year: int, found: dict[tuple[int, int], tuple[int, int]]) -> Text:
    text = Text(f"{year} ")
    greens = cells = 0
    for month in range(1, 13):
        green, expected = found.get((year, month), (0, 0))
        greens, cells = greens + green, cells + expected
        if not expected:
            text.append(NOTHING)
            continue
        _, sign, style = next(step for step in SHADES if green / expected >= step[0])
        text.append(sign, style=style)
    return text.append(f" {share_text(greens, cells):<10}")


def _reason_lines(ledger: pl.DataFrame) -> list[Text]:
    counts = reason_counts(ledger)
    if counts.is_empty():
        return [Text("  none")]
    lines = []
    for reason, verdict, cells, _ in counts.head(SHOWN_REASONS).iter_rows():
        line = Text(f"  {reason:<24}")
        line.append(f"{verdict:<7}", style=STYLES[verdict])
        lines.append(line.append(f"{cells:>12,}  {share_text(cells, ledger.height):>8}"))
    if counts.height > SHOWN_REASONS:
        lines.append(Text(f"  ... {counts.height - SHOWN_REASONS} more"))
    return lines


def _age_lines(ledger: pl.DataFrame, as_of: dt.date) -> list[Text]:
    ages = age_of_data(ledger, as_of)
    lines = []
    for (timeframe,), buckets in age_buckets(ages).partition_by("timeframe", as_dict=True).items():
        counts = dict(buckets.select("bucket", "symbols").iter_rows())
        said = [f"{bucket}: {n:,}" for bucket, n in counts.items()]
        lines.append(Text(f"  {timeframe:<5}symbols by sessions behind  {', '.join(said)}"))
    oldest = ages.filter(pl.col("sessions_behind") > 0).sort(
        ["sessions_behind", "timeframe", SYMBOL], descending=[True, False, False]
    )
    for symbol, timeframe, last, behind in oldest.head(SHOWN_OLDEST).iter_rows():
        since = f"last GREEN {last}" if last else "never GREEN"
        lines.append(
            Text(f"  {symbol:<10}{timeframe:<5}{since:<22}  {counted(behind, 'session')} behind")
        )
    return lines


def _queue_lines(queue: pl.DataFrame, now: dt.datetime | None) -> list[Text]:
    if queue.is_empty():
        return [Text("  empty")]
    later = pl.col("not_before").is_not_null()
    if now is not None:
        later &= pl.col("not_before") > now
    dead, alive = queue.filter("is_dead"), queue.filter(~pl.col("is_dead"))
    waiting = alive.filter(later).height
    line = Text(f"  {alive.height - waiting:,} live, {waiting:,} waiting to be tried again, ")
    line.append(counted(dead.height, "dead letter"), style=STYLES["RED"] if dead.height else None)
    lines = [line]
    shown = dead.sort(
        ["importance", "last_session", SYMBOL, "timeframe"], descending=[True, True, False, False]
    )
    columns = (SYMBOL, "timeframe", "first_session", "last_session", "attempts", "reason")
    for symbol, timeframe, first, last, attempts, reason in (
        shown.head(SHOWN_DEAD).select(columns).iter_rows()
    ):
        tried = counted(attempts, "attempt")
        lines.append(Text(f"  {symbol:<10}{timeframe:<5}{first}...{last} dead after {tried}:"))
        lines.append(Text(f"    {reason}"))
    if dead.height > SHOWN_DEAD:
        lines.append(Text(f"  ... {dead.height - SHOWN_DEAD} more dead letters"))
    return lines
