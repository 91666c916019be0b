"""Backtest: what trading the stored signals would have earned, costs and limits included."""

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

import dagster as dg
import numpy as np
import polars as pl

from turbomode_assets.backtest import (
    BacktestResult,
    OutcomeComparison,
    backtest_overfitting,
    compare_outcomes,
    equity_curve,
    require_live_signals,
    simulate,
    survivorship_note,
)
from turbomode_assets.config.backtest import BacktestFile
from turbomode_assets.config.learning import LONGEST_TRAINING
from turbomode_assets.config.loader import digest_of
from turbomode_assets.modelling.backtest_inputs import (
    BacktestInputs,
    labels_of,
    read_backtest_inputs,
    sessions_without_signals,
)
from turbomode_assets.orchestration.assets.metadata import OWNERS, picture_metadata
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.reports import preview_markdown
from turbomode_assets.reports.backtest import backtest_picture
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Artifacts, ModelMemory
from turbomode_assets.stores.backtest_book import outcomes_known, record_backtest
from turbomode_assets.stores.model_registry import champions_over, trial_sharpes

SHOWN_ROWS = 20
_TEN_YEARS = trailing_sessions(LONGEST_TRAINING)
"""All that is stored is read; the graph draws the last ten years of it."""


@dg.asset(
    group_name="signals",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="2",
    kinds={"polars", "duckdb"},
    owners=OWNERS,
    deps=[
        *(
            dg.AssetDep(name, partition_mapping=_TEN_YEARS)
            for name in ("signals", "labels", "bars", "outcomes")
        ),
        "splits",
        "dividends",
        "symbol_metadata",
    ],
)
@explained
def backtest(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    master: MasterReaderResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
    lake_store: LakeResource,
) -> dg.MaterializeResult[None]:
    """Trades, equity and figures of all stored signals, as of the last session of the run.

    Nothing that became known after that session is read. Tables trades and backtest_equity hold the
    newest backtest ever run; one as of an older session leaves them and writes its figures alone.
    """
    last, book, file = session_span(context).last, memory.open(), settings.backtest()
    inputs = read_backtest_inputs(
        last, file.sessions, settings, master.open(), lake_store.open(), book
    )
    require_live_signals(inputs.predictions, inputs.said)
    trials = _trials(book, last)
    result = _trade(inputs.predictions, inputs, file, last, trials=trials)
    comparison = compare_outcomes(result.trades, outcomes_known(book, inputs.span))
    figures = _figures(result, inputs, comparison, trials) | _overfitting(inputs, file, book)
    is_newest = record_backtest(
        book,
        result.trades,
        result.equity,
        figures,
        as_of=last,
        config_digest=digest_of(file),
        store_versions=inputs.versions,
    )
    facts = _metadata(result, figures, comparison) | {"is_newest": is_newest}
    picture = _picture(result, inputs, figures, artifacts.open())
    return dg.MaterializeResult(metadata=facts | {"reads": inputs.versions} | picture)


def _trials(memory: ModelMemory, as_of: dt.date) -> list[float]:
    """Per-session Sharpe ratios of all that was tried in training by then.

    Sorted: the last digits must not depend on the order in which they were recorded.
    """
    return sorted(trial_sharpes(memory, as_of).values())


def _trade(
    signals: pl.DataFrame,
    inputs: BacktestInputs,
    file: BacktestFile,
    last: dt.date,
    *,
    trials: list[float] | None = None,
) -> BacktestResult:
    """Trade some signals up to a session."""
    sharpes = trials or []
    return simulate(
        signals,
        labels_of(signals, inputs),
        inputs.bars.filter(pl.col("session") <= last),
        file.trading,
        rule=inputs.rules,
        trials=max(len(sharpes), 1),
        trial_sharpe_variance=float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else 0.0,
    )


def _figures(
    result: BacktestResult,
    inputs: BacktestInputs,
    comparison: OutcomeComparison,
    trials: list[float],
) -> dict[str, object]:
    return result.figures.row(0, named=True) | {
        "first_session": inputs.span.first,
        "trials": len(trials),
        "sessions_without_signals": sessions_without_signals(inputs),
        "signals": dict(result.signals.iter_rows()),
        "outcomes_compared": comparison.compared,
        "outcomes_differing": comparison.differing.height,
        "survivorship": survivorship_note(inputs.universe, inputs.span),
    }


def _overfitting(
    inputs: BacktestInputs, file: BacktestFile, memory: ModelMemory
) -> dict[str, object]:
    """How far choosing between champion and newest challenger by their backtests overfits.

    Both are traded over the challenger's time in shadow, each with all that it said.
    """
    name, shadow = "overfitting_probability", inputs.said.filter(role="challenger")
    if shadow.is_empty():
        return {name: None, "overfitting_note": "no challenger signalled in shadow"}
    rival = shadow["model_version"][-1]
    tried = shadow.filter(model_version=rival)
    span, needed = (
        SessionSpan(tried["session"][0], tried["session"][-1]),
        2 * file.overfitting_blocks,
    )
    told = f"{rival} in shadow in {span}, {len(span.sessions)} sessions"
    if len(span.sessions) < needed:
        return {name: None, "overfitting_note": f"{told}; {needed} are needed"}
    backtests = [
        _trade(rows, inputs, file, span.last).equity
        for rows in (_live(inputs, span, memory), tried)
    ]
    measured = backtest_overfitting(
        backtests, file.trading.initial_capital_usd, blocks=file.overfitting_blocks
    )
    return {name: measured.probability, "overfitting_note": f"{told}, against the champion"}


def _live(inputs: BacktestInputs, span: SessionSpan, memory: ModelMemory) -> pl.DataFrame:
    """All that the champions of a span said, sent or not.

    A session that was signalled by two champions, one after the other, is that of the champion in
    force, if it spoke: one that was promoted for sessions long past did not.
    """
    held = pl.DataFrame(
        [
            {"session": session, "in_force": champion.model_version}
            for champion, reign in champions_over(memory, span)
            for session in reign.sessions
        ]
    )
    said = inputs.said.filter(
        pl.col("role") == "champion", pl.col("session").is_between(span.first, span.last)
    ).join(held, on="session", how="left", validate="m:1")
    is_in_force = pl.col("model_version") == pl.col("in_force")
    chosen = pl.col("model_version").sort_by(is_in_force, "model_version").last().over("session")
    return said.filter(pl.col("model_version") == chosen)


def _metadata(
    result: BacktestResult, figures: Mapping[str, object], comparison: OutcomeComparison
) -> dict[str, Any]:
    told = {
        name: str(value) if isinstance(value, dt.date) else value
        for name, value in figures.items()
        if isinstance(value, int | str | dt.date)
        or (isinstance(value, float) and math.isfinite(value))
    }
    trades = result.trades.reverse().drop("quoted_entry_price", "quoted_exit_price")
    facts = told | {
        "fates_of_signals": dg.MetadataValue.md(
            preview_markdown(result.signals, rows=result.signals.height)
        ),
        "newest_trades": dg.MetadataValue.md(preview_markdown(trades, rows=SHOWN_ROWS)),
    }
    if comparison.differing.height:
        shown = preview_markdown(comparison.differing, rows=SHOWN_ROWS)
        facts["differing_outcomes"] = dg.MetadataValue.md(shown)
    return facts


def _picture(
    result: BacktestResult,
    inputs: BacktestInputs,
    figures: Mapping[str, object],
    artifacts: Artifacts,
) -> dict[str, Any]:
    """Equity and drawdown, with the survivorship bias of the universe printed below them."""
    note, last = str(figures["survivorship"]), inputs.span.last
    return picture_metadata(
        lambda: backtest_picture(equity_curve(result.equity), vendors=inputs.vendors, note=note),
        artifacts.reports,
        "backtest",
        SessionSpan(last, last),
    )
