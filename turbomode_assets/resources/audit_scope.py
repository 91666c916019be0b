"""What an audit knows when it begins, and which sessions it has to look at."""

import datetime as dt
import json
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from turbomode_assets.config.loader import digest_of
from turbomode_assets.contracts.quality_log import LATE_ACTION, log_rows
from turbomode_assets.contracts.tables import AUDITS, CANDLES, DATA_QUALITY_LOG
from turbomode_assets.curation.late_actions import late_actions
from turbomode_assets.resources.ingestion import IngestionTools
from turbomode_assets.sessions import SessionSpan, offset_session, session_opens, sessions_between
from turbomode_assets.stores import TableReader
from turbomode_assets.stores.changes import changed_groups

CALLER = "audit"
_TABLES = ("candles", "symbol_metadata", "splits", "dividends", "data_quality_log")
_LISTING = ["symbol", "calendar", "first_session", "last_session"]


@dataclass(frozen=True)
class Known:
    """The master store as an audit found it: every table at the version it had then."""

    master: TableReader
    versions: dict[str, int]
    rules_digest: str
    last_audit: dict[str, object] | None

    @classmethod
    def read(cls, tools: IngestionTools) -> "Known":
        """Pin the versions of what there is, and find the last audit."""
        master = tools.master
        versions = {name: master.version(name) for name in _TABLES if master.exists(name)}
        audits = AUDITS.empty()
        if master.exists("audits"):
            audits = master.read("audits", caller=CALLER).rows
        last = audits.tail(1).row(0, named=True) if audits.height else None
        rules = digest_of(tools.data_quality)
        return cls(master, versions, rules, last)

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

    @property
    def versions_then(self) -> dict[str, int]:
        """Versions that the last audit read; none before the first."""
        if self.last_audit is None:
            return {}
        versions: dict[str, int] = json.loads(str(self.last_audit["store_versions"]))
        return versions


def sessions_to_audit(
    tools: IngestionTools, known: Known, asked_for: SessionSpan
) -> tuple[list[SessionSpan], pl.DataFrame]:
    """Stretches to look at, and log rows for corporate actions that came late.

    After the first audit these are the sessions asked for; those between them and the ledger; the
    ledger's newest few, of which some were not due yet; and those whose candles, notes or events
    changed, with the sessions after them whose screening looks back on them. New rules or
    listings, or a history too old to compare with, mean every session of the ledger.
    """
    ledger = tools.master.stored_span("partition_status")
    if ledger is None or known.last_audit is None:
        return [asked_for], DATA_QUALITY_LOG.empty()
    late = _late_actions(known, ledger.last, tools.now())
    everything = SessionSpan(min(ledger.first, asked_for.first), max(ledger.last, asked_for.last))
    changed = None if _judged_otherwise(known) else _changed_sessions(tools, known)
    if changed is None:
        return [everything], late
    changed |= set(late["session"])
    look_back = tools.data_quality.curation.look_back_sessions
    inside = {
        session
        for first in changed
        if ledger.first <= first <= ledger.last
        for session in SessionSpan(
            first, min(ledger.last, offset_session(first, look_back))
        ).sessions
    }
    gap = sessions_between(min(ledger.last, asked_for.first), asked_for.first)
    newest = SessionSpan(ledger.last, ledger.last).trailing(tools.fetch.recheck_sessions)
    young = sessions_between(max(newest.first, ledger.first), ledger.last)
    return _stretches({*asked_for.sessions, *inside, *gap, *young}), late


def _judged_otherwise(known: Known) -> bool:
    """Tell whether rules or listings are not those of the last audit."""
    assert known.last_audit is not None
    listed_then = known.at("symbol_metadata", known.versions_then).select(_LISTING)
    same_listings = listed_then.equals(known.instruments.select(_LISTING))
    return known.last_audit["rules_digest"] != known.rules_digest or not same_listings


def _changed_sessions(tools: IngestionTools, known: Known) -> set[dt.date] | None:
    """Sessions whose candles or notes differ from what the last audit read; None: who knows."""
    sessions: set[dt.date] = set()
    for table, fingerprint in (("candles", "payload_sha256"), ("data_quality_log", "event")):
        if table not in known.versions:
            continue
        since = known.versions_then.get(table, 0)
        first = "first_session" if table == "data_quality_log" else "session"
        columns = list(dict.fromkeys(["symbol", "timeframe", "session", first]))
        groups = changed_groups(tools.master, table, since, columns, fingerprint)
        if groups is None:
            return None
        groups = groups.filter(pl.col("timeframe").is_in(list(tools.fetch.timeframes)))
        ends = groups.select(begin=first, end="session").unique()
        for begin, end in ends.iter_rows():
            sessions |= set(sessions_between(begin, end))
    return sessions


def _late_actions(known: Known, known_through: dt.date, now: dt.datetime) -> pl.DataFrame:
    """Log rows for events that were unknown, or known otherwise, when their session was judged."""
    then = known.versions_then
    found = late_actions(
        known.at("splits", then),
        known.at("dividends", then),
        known.splits,
        known.dividends,
        known_through=known_through,
    )
    if found.is_empty():
        return DATA_QUALITY_LOG.empty()
    vendors = sorted({*known.splits["vendor"], *known.dividends["vendor"]})
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
