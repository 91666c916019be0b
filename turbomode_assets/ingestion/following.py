"""What a tenant that does not ingest may not do, and what it waits for."""

import datetime as dt

import polars as pl

from turbomode_assets.completeness import measure_gate, sessions_below
from turbomode_assets.completeness.reasons import NOT_AUDITED
from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.sessions import SessionSpan, session_closes
from turbomode_assets.settings import INGESTS_VARIABLE, Settings
from turbomode_assets.stores import MasterReader

CALLER = "following"
TIMEFRAMES = ("1d",)
"""Bars, and all that comes of them, are made of daily candles."""


def require_ingestion(settings: Settings, what: str) -> None:
    """Refuse what only a tenant that ingests may do.

    Raises:
        ConfigurationError: this tenant does not ingest.
    """
    if not settings.ingests:
        raise ConfigurationError(
            f"tenant {settings.tenant_name} does not ingest: {what} is not for it",
            where=f"environment variable {INGESTS_VARIABLE}=no",
            fix="run it as the tenant that ingests; what is derived from the master store "
            "(turbomode run ingestion) is made here",
        )


def backfill_remedy(settings: Settings, span: SessionSpan) -> str:
    """Write the command that fetches what a span lacks, and whose it is."""
    command = f"turbomode backfill --from {span.first} --to {span.last}"
    return command if settings.ingests else f"{command}, run by the tenant that ingests"


def sessions_without_verdicts(
    master: MasterReader, rules: DataQualityConfig, span: SessionSpan
) -> list[dt.date]:
    """Sessions of a span that the tenant that ingests has not judged, in order.

    Judged is a session that an audit looked at which began after its close and was not broken off,
    and of which every expected daily candle has a verdict.
    """
    tables = ("audits", "partition_status", "symbol_metadata")
    if not all(master.exists(table) for table in tables):
        return span.sessions
    sessions = pl.Series("session", span.sessions, dtype=pl.Date)
    looked_at = pl.DataFrame([sessions, session_closes(sessions).alias("closes_at")]).join_where(
        master.read("audits", caller=CALLER).rows.select(
            "first_session", "audited_at", to="session"
        ),
        pl.col("first_session") <= pl.col("session"),
        pl.col("to") >= pl.col("session"),
        pl.col("audited_at") >= pl.col("closes_at"),
    )
    judged = set(looked_at["session"])
    if judged:
        ledger = master.read("partition_status", caller=CALLER, span=span).rows
        instruments = master.read("symbol_metadata", caller=CALLER).rows
        cells = measure_gate(ledger, instruments, span, TIMEFRAMES, rules.ledger).not_green
        judged -= set(cells.filter(pl.col("reasons") == NOT_AUDITED)["session"])
    return [session for session in span.sessions if session not in judged]


def why_not_followed(
    master: MasterReader, rules: DataQualityConfig, session: dt.date
) -> str | None:
    """Say why nothing can be derived from a session of the master yet; None if it can."""
    span = SessionSpan(session, session)
    if sessions_without_verdicts(master, rules, span):
        return f"the master has no verdicts of {session} yet"
    ledger = master.read("partition_status", caller=CALLER, span=span).rows
    floor = rules.gate.session_green_share
    for share in sessions_below(ledger, floor)["green_share"]:
        return f"{share:.1%} of {session} is GREEN in the master, {floor:.1%} are needed"
    return None
