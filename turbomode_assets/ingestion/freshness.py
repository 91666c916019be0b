"""Which of the latest sessions are late: each is judged by itself, against its own deadline."""

import datetime as dt

import polars as pl

from turbomode_assets.completeness import measure_gate
from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.contracts.tables import PARTITION_STATUS
from turbomode_assets.sessions import SessionSpan, last_closed_session, session_close
from turbomode_assets.settings import Settings
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.operations import utc_now

WATCHED = pl.Schema(
    {
        "session": pl.Date(),
        "deadline": pl.Datetime("us", "UTC"),
        "green_share": pl.Float64(),
        "is_late": pl.Boolean(),
    }
)
CALLER = "freshness"
SESSIONS_ARE_FRESH = "sessions_are_fresh"
"""Name of the check that says so in the UI."""


def watched_now(settings: Settings, master: MasterReader) -> pl.DataFrame:
    """Rows of WATCHED as the configuration says and the ledger stands now."""
    timeframes: list[str] = list(settings.vendors().fetch.timeframes)
    return watched_sessions(master, settings.data_quality(), timeframes, utc_now())


def watched_sessions(
    master: MasterReader, rules: DataQualityConfig, timeframes: list[str], now: dt.datetime
) -> pl.DataFrame:
    """Rows of WATCHED for the latest sessions; late is what is not GREEN enough by its deadline.

    A session that no audit looked at is late as well once its deadline has passed.
    """
    if not master.exists("symbol_metadata"):
        return WATCHED.to_frame()
    instruments = master.read("symbol_metadata", caller=CALLER).rows
    newest = last_closed_session(now)
    span = SessionSpan(newest, newest).trailing(rules.freshness.sessions - 1)
    ledger = PARTITION_STATUS.empty()
    if master.exists("partition_status"):
        ledger = master.read("partition_status", caller=CALLER, span=span).rows
    rows = []
    for session in span.sessions:
        one = SessionSpan(session, session)
        share = measure_gate(ledger, instruments, one, timeframes, rules.ledger).green_share
        deadline = session_close(session) + dt.timedelta(hours=rules.freshness.deadline_hours)
        is_late = now >= deadline and share < rules.freshness.green_share
        rows.append((session, deadline, share, is_late))
    return pl.DataFrame(rows, schema=WATCHED, orient="row")
