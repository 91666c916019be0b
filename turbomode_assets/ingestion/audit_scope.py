"""What an audit knows when it begins, and which sessions it has to look at."""

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from turbomode_assets.completeness import reasons
from turbomode_assets.completeness.stretches import cells_of_stretches
from turbomode_assets.config.loader import digest_of
from turbomode_assets.contracts.quality_log import LATE_ACTION, log_rows
from turbomode_assets.contracts.tables import AUDITS, CANDLES, CELL, DATA_QUALITY_LOG
from turbomode_assets.curation import late_actions, usable_dividends
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.sessions import SessionSpan, offset_session, session_opens, sessions_between
from turbomode_assets.stores import TableReader
from turbomode_assets.stores.changes import GONE, changed_groups, rows_where

CALLER = "audit"
_TABLES = ("candles", "symbol_metadata", "splits", "dividends", "data_quality_log")
_LISTING = ["symbol", "calendar", "first_session", "last_session"]


@dataclass(frozen=True)
class MasterState:
    """The master store as an audit found it: every table at the version it had then."""

    master: TableReader
    versions: dict[str, int]
    rules_digest: str
    last_audit: dict[str, object] | None
    audited_through: dt.date | None
    """Last session that an audit looked at which was not broken off."""

    @classmethod
    def read(cls, tools: IngestionTools) -> "MasterState":
        """Pin the versions of what there is, and find the last audit."""
        master = tools.master
        versions = {name: master.version(name) for name in _TABLES if master.exists(name)}
        audits = AUDITS.empty()
        if master.exists("audits"):
            audits = master.read("audits", caller=CALLER).rows
        last = audits.tail(1).row(0, named=True) if audits.height else None
        rules = f"{digest_of(tools.data_quality)}/{','.join(tools.fetch.timeframes)}"
        through = audits.select(pl.col("session").max()).item()
        return cls(master, versions, rules, last, through)

    @cached_property
    def instruments(self) -> pl.DataFrame:
        """What is listed."""
        return self.at("symbol_metadata")

    @cached_property
    def splits(self) -> pl.DataFrame:
        """Every split."""
        return self.at("splits")

    @cached_property
    def dividends(self) -> pl.DataFrame:
        """Every dividend."""
        return self.at("dividends")

    def at(self, table: str, versions: dict[str, int] | None = None) -> pl.DataFrame:
        """Rows of a whole table at a pinned version; none where it did not exist then."""
        version = (self.versions if versions is None else versions).get(table)
        if version is None:
            return self.master.contract(table).empty()
        return self.master.read(table, caller=CALLER, version=version).rows

    def candles(self, span: SessionSpan, timeframe: str) -> pl.DataFrame:
        """Candles of a span in one timeframe."""
        if "candles" not in self.versions:
            return CANDLES.empty()
        return self.master.read(
            "candles",
            caller=CALLER,
            span=span,
            timeframes=[timeframe],
            version=self.versions["candles"],
        ).rows

    def log(self, span: SessionSpan, timeframe: str) -> pl.DataFrame:
        """What was noticed about sessions of a span in one timeframe."""
        if "data_quality_log" not in self.versions:
            return DATA_QUALITY_LOG.empty()
        # An entry is stored under its last session: one that begins in the span may end after it.
        last = max(span.last, self.last_noticed)
        rows = self.master.read(
            "data_quality_log",
            caller=CALLER,
            span=SessionSpan(span.first, last),
            timeframes=[timeframe],
            version=self.versions["data_quality_log"],
        ).rows
        return rows.filter(pl.col("first_session") <= span.last)

    @cached_property
    def last_noticed(self) -> dt.date:
        """Last session that the log speaks of."""
        found = self.master.stored_span("data_quality_log")
        return found.last if found else dt.date.min

    @cached_property
    def versions_then(self) -> dict[str, int]:
        """Versions that the last audit read; none before the first."""
        if self.last_audit is None:
            return {}
        versions: dict[str, int] = json.loads(str(self.last_audit["store_versions"]))
        return versions

    @cached_property
    def then(self) -> "PreviousAuditState | None":
        """What the last audit knew of symbols and events; None if that was cleaned away."""
        names = ("symbol_metadata", "splits", "dividends")
        try:
            return PreviousAuditState(*(self.at(name, self.versions_then) for name in names))
        except GONE:
            return None


@dataclass(frozen=True)
class PreviousAuditState:
    """Symbols and events as the last audit knew them."""

    instruments: pl.DataFrame
    splits: pl.DataFrame
    dividends: pl.DataFrame


def sessions_to_audit(
    tools: IngestionTools, known: MasterState, asked_for: SessionSpan
) -> tuple[list[SessionSpan], pl.DataFrame]:
    """Stretches to look at, and log rows for corporate actions that came late.

    After the first audit these are the sessions asked for; those between the ledger and later ones
    asked for; those of which something was not due yet; and those whose candles, notes, events or
    failed work changed, with the sessions after them whose screening looks back on them. Other
    rules, timeframes or listings, a history too old to compare with, or a first audit that was
    broken off mean every session of the ledger.
    """
    ledger = tools.master.stored_span("partition_status")
    if ledger is None:
        return [asked_for], DATA_QUALITY_LOG.empty()
    everything = SessionSpan(min(ledger.first, asked_for.first), max(ledger.last, asked_for.last))
    if known.last_audit is None or known.audited_through is None or known.then is None:
        return [everything], DATA_QUALITY_LOG.empty()
    late = _late_actions(known, known.then, ledger.last, tools.now())
    changed = None if _judged_otherwise(known, known.then) else _changed_sessions(tools, known)
    if changed is None:
        return [everything], late
    changed |= _sessions_of_events(tools, known, known.then, ledger)
    changed |= _sessions_told_otherwise(tools)
    inside = {session for session in changed if ledger.first <= session <= ledger.last}
    reached = min(ledger.last, known.audited_through, asked_for.first)
    return _stretches({*asked_for.sessions, *inside, *_between(reached, asked_for.first)}), late


def _judged_otherwise(known: MasterState, then: PreviousAuditState) -> bool:
    """Tell whether rules, timeframes or listings are not those of the last audit."""
    assert known.last_audit is not None
    same_listings = then.instruments.select(_LISTING).equals(known.instruments.select(_LISTING))
    return known.last_audit["rules_digest"] != known.rules_digest or not same_listings


def _changed_sessions(tools: IngestionTools, known: MasterState) -> set[dt.date] | None:
    """Sessions judged by candles or notes that the last audit read otherwise; None: who knows."""
    sessions: set[dt.date] = set()
    for table, first in (("candles", "session"), ("data_quality_log", "first_session")):
        if table not in known.versions:
            continue
        since = known.versions_then.get(table, 0)
        columns = list(dict.fromkeys([*CELL, first]))
        groups = changed_groups(
            tools.master, table, since, columns, timeframes=list(tools.fetch.timeframes)
        )
        if groups is None:
            return None
        for begin, end in groups.select(begin=first, end="session").unique().iter_rows():
            sessions |= _between(begin, end)
        if table == "candles":
            daily = groups.filter(pl.col("timeframe") == "1d")["session"].unique()
            sessions |= _with_screened_after(tools, daily)
    return sessions


def _sessions_of_events(
    tools: IngestionTools, known: MasterState, then: PreviousAuditState, ledger: SessionSpan
) -> set[dt.date]:
    """Sessions that are screened by a corporate action which the last audit did not know so."""
    rules = tools.data_quality.curation
    splits = _differing(then.splits, known.splits, ["symbol", "session", "ex_date", "ratio"])
    # An event decides which of the symbol's later dividends are believed.
    value = ["symbol", "session", "ex_date", "amount", "previous_close"]
    dividends = _differing(
        usable_dividends(then.dividends, rules)[0],
        usable_dividends(known.dividends, rules)[0],
        value,
    )
    sessions = {*splits["session"], *dividends["session"]}
    return _with_screened_after(tools, sessions) | _restated(known, splits, ledger)


def _restated(known: MasterState, splits: pl.DataFrame, ledger: SessionSpan) -> set[dt.date]:
    """Sessions before the ex-date whose candles were delivered with one of these splits applied."""
    if splits.is_empty() or "candles" not in known.versions:
        return set()
    adjusted = rows_where(
        known.master,
        "candles",
        (pl.col("timeframe") == "1d")
        & (pl.col("adjustment") == "split")
        & pl.col("symbol").is_in(splits["symbol"].unique().implode()),
        ["symbol", "session", "adjusted_as_of"],
        known.versions["candles"],
    )
    restated = adjusted.join_where(
        splits.select("ex_date", of="symbol"),
        pl.col("symbol") == pl.col("of"),
        pl.col("session") < pl.col("ex_date"),
        pl.col("adjusted_as_of") >= pl.col("ex_date"),
    )
    return set(restated["session"]) & set(ledger.sessions)


def _sessions_told_otherwise(tools: IngestionTools) -> set[dt.date]:
    """Sessions of cells that were not due yet, or of whose failed work the ledger says otherwise.

    Neither the hour nor the queue leaves a trace in the tables that are compared.
    """
    fetched = pl.col("timeframe").is_in(list(tools.fetch.timeframes))
    is_open = fetched & (pl.col("verdict") != reasons.GREEN)
    rows = rows_where(tools.master, "partition_status", is_open, [*CELL, "reasons"])
    said = rows.with_columns(pl.col("reasons").str.split(",")).with_columns(
        is_absent=pl.col("reasons").list.set_intersection([reasons.MISSING, reasons.ROWS_LOW]),
        has_failed=pl.col("reasons").list.contains(reasons.VENDOR_FAILURE),
    )
    queue = tools.operations.queued().filter((pl.col("attempts") > 0) | pl.col("is_dead"))
    failed = cells_of_stretches(queue, rows["session"].unique().sort())
    absent = said.filter(pl.col("is_absent").list.len() > 0)
    told = [
        said.filter(pl.col("reasons").list.contains(reasons.NOT_YET_DUE)),
        absent.filter("has_failed").join(failed, on=CELL, how="anti"),
        absent.filter(~pl.col("has_failed")).join(failed, on=CELL, how="semi"),
    ]
    return {session for each in told for session in each["session"].unique()}


def _differing(old: pl.DataFrame, new: pl.DataFrame, value: list[str]) -> pl.DataFrame:
    """Rows of which only one frame has the value."""
    old, new = old.select(value), new.select(value)
    return pl.concat([old.join(new, on=value, how="anti"), new.join(old, on=value, how="anti")])


def _with_screened_after(tools: IngestionTools, sessions: Iterable[dt.date]) -> set[dt.date]:
    """Sessions, and those after them whose screening looks back on them."""
    look_back = tools.data_quality.curation.look_back_sessions
    return {
        each
        for session in sessions
        for each in _between(session, offset_session(session, look_back))
    }


def _between(first: dt.date, last: dt.date) -> set[dt.date]:
    return set(sessions_between(first, last))


def _late_actions(
    known: MasterState, then: PreviousAuditState, known_through: dt.date, now: dt.datetime
) -> pl.DataFrame:
    """Log rows for events that were unknown, or known otherwise, when their session was judged."""
    found = late_actions(
        then.splits,
        then.dividends,
        known.splits,
        known.dividends,
        known_through=known_through,
    )
    if found.is_empty():
        return DATA_QUALITY_LOG.empty()
    events = (known.splits, known.dividends, then.splits, then.dividends)
    vendors = sorted({vendor for each in events for vendor in each["vendor"].unique()})
    return log_rows(
        found.select(
            "symbol",
            "session",
            "old_value",
            "new_value",
            timeframe=pl.lit("1d"),
            first_session="session",
            kind=pl.lit(LATE_ACTION),
            ts=session_opens(found["session"]),
            column="kind",
            vendor=pl.lit("+".join(vendors)),
            detail=pl.format("{} with ex-date {} became known late", "kind", "ex_date"),
            knowledge_ts=pl.lit(now),
        )
    )


def _stretches(sessions: set[dt.date]) -> list[SessionSpan]:
    """Sessions as runs of consecutive ones, in order."""
    stretches: list[SessionSpan] = []
    for session in sorted(sessions):
        if stretches and offset_session(stretches[-1].last, 1) == session:
            stretches[-1] = SessionSpan(stretches[-1].first, session)
        else:
            stretches.append(SessionSpan(session, session))
    return stretches
