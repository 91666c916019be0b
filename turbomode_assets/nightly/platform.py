"""Data, drift and backtest of a session, as the nightly page tells them."""

import datetime as dt
import json
from collections.abc import Iterator

import numpy as np
import polars as pl

from turbomode_assets.backtest import equity_curve
from turbomode_assets.completeness import ledger_grid, reason_counts, verdict_counts
from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.contracts.columns import SESSION, SYMBOL
from turbomode_assets.contracts.tables.master import VERDICTS
from turbomode_assets.drift import rank_drift
from turbomode_assets.nightly.figures import (
    Backtest,
    Coverage,
    CoverageReason,
    CoverageRow,
    CoverageSession,
    Drift,
    DriftedFeature,
    DriftLevel,
    DriftPoint,
    EquityPoint,
    Green,
    NamedFigure,
    finite,
)
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import MasterReader, ModelMemory

SHOWN_SESSIONS = 60
SHOWN_FEATURES = 10
SHOWN_ROWS = 120
SHOWN_REASONS = 10
LETTERS = ".GAR"
"""A letter for each code of the ledger's grid."""
DAILY = "1d"
"""Bars, and so all that follows, are made of daily candles."""
_CALLER = "nightly_page"


def read_ledger(master: MasterReader, session: dt.date) -> pl.DataFrame:
    """Daily cells that something is expected in, of the last sessions up to one."""
    wanted = (SYMBOL, "timeframe", SESSION, "verdict", "reasons", "delivered_by", "expected_rows")
    if not master.exists("partition_status"):
        return pl.DataFrame(schema=master.contract("partition_status").schema).select(wanted)
    span = _last_sessions(session)
    rows = master.read("partition_status", caller=_CALLER, span=span, timeframes=[DAILY]).rows
    return rows.filter(pl.col("expected_rows") > 0).select(wanted)


def gather_green(ledger: pl.DataFrame, session: dt.date, quality: DataQualityConfig) -> Green:
    """Count the session's cells by verdict."""
    tonight = verdict_counts(ledger).filter(pl.col(SESSION) == session).sum()
    expected, green, amber, red = tonight.select("cells", *VERDICTS).row(0)
    limits = quality.freshness.green_share, quality.gate.session_green_share
    return Green(expected, green, amber, red, *limits)


def gather_coverage(ledger: pl.DataFrame, session: dt.date) -> Coverage:
    """Spread the ledger as symbol x session."""
    if ledger.is_empty():
        span = _last_sessions(session)
        return Coverage(why_none=f"The ledger has no daily candle of {span}: nothing was audited.")
    codes, symbols, sessions = ledger_grid(ledger)
    counts = pl.DataFrame({SESSION: sessions}).join(
        verdict_counts(ledger), on=SESSION, how="left", validate="1:1", maintain_order="left"
    )
    is_bad = codes > LETTERS.index("G")
    # Stable: of symbols that are as bad, the first by name.
    shown = np.sort(np.argsort(-is_bad.sum(axis=1), kind="stable")[:SHOWN_ROWS])
    reasons = reason_counts(ledger).drop("share").head(SHOWN_REASONS)
    return Coverage(
        sessions=tuple(
            CoverageSession(*row) for row in counts.select(SESSION, *VERDICTS).fill_null(0).rows()
        ),
        rows=tuple(
            CoverageRow(symbols[place], "".join(LETTERS[code] for code in codes[place]))
            for place in shown
        ),
        left_out=len(symbols) - len(shown),
        reasons=tuple(CoverageReason(**row) for row in reasons.iter_rows(named=True)),
    )


def gather_drift(memory: ModelMemory | None, session: dt.date, alarm_share: float) -> Drift:
    """Verdict of the session, what is furthest from its reference, and the sessions before."""
    if memory is None:
        return Drift(alarm_share, why_none="Nothing was trained, so there is no reference yet.")
    span = _last_sessions(session)
    trend = memory.query(
        "FROM drift_verdicts WHERE session BETWEEN ? AND ? ORDER BY session",
        [span.first, span.last],
    )
    points = tuple(
        DriftPoint(**row)
        for row in trend.select(list(DriftPoint.__dataclass_fields__)).iter_rows(named=True)
    )
    tonight = trend.filter(pl.col(SESSION) == session)
    if tonight.is_empty():
        return Drift(
            alarm_share,
            trend=points,
            why_none="Drift was not measured for this session. To measure it: dagster asset "
            f"materialize -m turbomode_assets --select drift_metrics --partition {session}",
        )
    verdict = tonight.row(0, named=True)
    del verdict[SESSION]
    return Drift(
        alarm_share,
        **verdict,
        worst=_worst(memory, session),
        levels=_levels(memory, session),
        trend=points,
    )


def gather_backtest(memory: ModelMemory | None, session: dt.date) -> Backtest:
    """Figures and equity curve of the last backtest by then."""
    nothing = Backtest(why_none=f"There is no backtest as of {session} or earlier yet.")
    if memory is None:
        return nothing
    equity = memory.query(
        "SELECT session, equity, drawdown FROM backtest_equity WHERE session <= ?", [session]
    )
    figures = memory.query(
        "SELECT session, figures FROM backtest_figures WHERE session <= ?"
        " ORDER BY session DESC LIMIT 1",
        [session],
    )
    if equity.is_empty():
        return nothing
    as_of, told = figures.row(0) if figures.height else (equity.get_column(SESSION).max(), "{}")
    points = tuple(EquityPoint(*row) for row in equity_curve(equity).iter_rows())
    return Backtest(as_of, tuple(_named(json.loads(told))), points)


def _last_sessions(session: dt.date) -> SessionSpan:
    return SessionSpan(session, session).trailing(SHOWN_SESSIONS - 1)


def _worst(memory: ModelMemory, session: dt.date) -> tuple[DriftedFeature, ...]:
    """What is first of the session's drift: of many features, how many exceed is told beside."""
    rows = memory.query(
        "SELECT * REPLACE (coalesce(subject, 'feature') AS subject) FROM drift_monitoring"
        " WHERE session = ?",
        [session],
    )
    shown = rank_drift(rows).head(SHOWN_FEATURES).select(list(DriftedFeature.__dataclass_fields__))
    numbers = ("psi", "psi_maximum", "kl", "ks")
    return tuple(
        DriftedFeature(**{**row, **{name: finite(row[name]) for name in numbers}})
        for row in shown.iter_rows(named=True)
    )


def _levels(memory: ModelMemory, session: dt.date) -> tuple[DriftLevel, ...]:
    """How the probabilities stand of which the champion's reference knows the levels."""
    rows = memory.query(
        f"SELECT {', '.join(DriftLevel.__dataclass_fields__)} FROM drift_monitoring"
        " WHERE session = ? AND moved IS NOT NULL ORDER BY feature",
        [session],
    )
    return tuple(DriftLevel(**row) for row in rows.iter_rows(named=True))


def _named(figures: dict[str, object], prefix: str = "") -> Iterator[NamedFigure]:
    """Figures one by one; those that are figures themselves get their name before theirs."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _named(value, f"{prefix}{name}: ")
        elif value is None or isinstance(value, float | int | str):
            yield NamedFigure(f"{prefix}{name}", value)
        else:
            yield NamedFigure(f"{prefix}{name}", json.dumps(value))
