"""What a backfill of some sessions would fetch, and what it takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from turbomode_assets.completeness import expected_grid, plan_backfill
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.contracts.tables import CELL
from turbomode_assets.ingestion.backfilling import calls_by_vendor, cells_of, window_of
from turbomode_assets.ingestion.settled import SettledCells
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations import NewWork, WorkKey
from turbomode_assets.vendors import Request
from turbomode_assets.vendors.questions import plan_questions

NOBODY_TRADES = pl.DataFrame(schema={"symbol": pl.String(), "median_dollar_volume": pl.Float64()})
"""What is typed by hand is fetched newest first; the audit ranks what it queues by liquidity."""


@dataclass(frozen=True)
class BackfillPlan:
    """Stretches to fetch, and the calls that each vendor would be asked if it answered alone."""

    span: SessionSpan
    work: list[NewWork]
    calls: dict[str, int]
    by_year: pl.DataFrame
    """Year, timeframe, symbols, stretches, cells; newest year first."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to fetch."""
        return not self.work

    @property
    def cells(self) -> int:
        """Cells that are to be fetched."""
        return int(self.by_year["cells"].sum())

    @property
    def keys(self) -> list[WorkKey]:
        """What tells each stretch from the others."""
        return [each.key for each in self.work]


def plan_of(
    tools: IngestionTools,
    span: SessionSpan,
    symbols: Sequence[str] | None = None,
    timeframes: Sequence[str] | None = None,
) -> BackfillPlan:
    """Plan to fetch what is not stored, not known to be empty, or stored with a fault.

    Raises:
        InputError: a symbol or timeframe is not among those that are fetched.
    """
    instruments = tools.stored("symbol_metadata")
    instruments = _chosen(instruments, symbols)
    lengths = _chosen_timeframes(tools, timeframes)
    settled = SettledCells(tools, instruments, span)
    expected = expected_grid(instruments, span, lengths, tools.data_quality.ledger).filter(
        pl.col("expected_rows") > 0
    )
    missing = pl.concat([settled.missing_cells(name) for name in lengths]).join(
        expected, on=CELL, how="semi"
    )
    holes = missing.with_columns(verdict=pl.lit("RED"), reasons=pl.lit("missing"))
    faulty = _faulty(tools, span).join(instruments, on="symbol", how="semi")
    faulty = faulty.filter(pl.col("timeframe").is_in(lengths)).select(holes.columns)
    stretches = plan_backfill(
        pl.concat([holes, faulty]).unique(CELL, keep="first"),
        NOBODY_TRADES,
        window_sessions=tools.data_quality.backfill.window_sessions,
    )
    work = [
        NewWork(symbol, timeframe, SessionSpan(first, last), reason, importance)
        for symbol, timeframe, first, last, reason, importance in stretches.iter_rows()
    ]
    calls = calls_by_vendor(tools, _requests(tools, instruments, span, work))
    return BackfillPlan(span, work, calls, _by_year(work))


def _requests(
    tools: IngestionTools, instruments: pl.DataFrame, span: SessionSpan, work: Sequence[NewWork]
) -> list[Request]:
    """What vendors are asked when the work is done window by window: near holes in one question."""
    width = tools.data_quality.backfill.window_sessions
    left = sorted(work, key=lambda each: each.span.last, reverse=True)
    requests: list[Request] = []
    while left:
        window = window_of(left[0].span, width, span)
        cells = cells_of(each.key for each in left if each.span.first >= window.first)
        questions = plan_questions(cells, instruments, tools.fetch)
        requests += [question.request for question in questions]
        left = [each for each in left if each.span.first < window.first]
    return requests


def _chosen(instruments: pl.DataFrame, symbols: Sequence[str] | None) -> pl.DataFrame:
    if symbols is None:
        return instruments
    unknown = sorted(set(symbols) - set(instruments["symbol"]))
    if unknown:
        raise InputError(
            f"no such symbols: {first_few(unknown)}",
            where="--symbols",
            fix="name symbols of configs/universe.csv, and materialize symbol_metadata after a "
            "change of that file",
        )
    return instruments.filter(pl.col("symbol").is_in(list(symbols)))


def _chosen_timeframes(tools: IngestionTools, timeframes: Sequence[str] | None) -> list[str]:
    fetched: list[str] = list(tools.fetch.timeframes)
    unknown = sorted(set(timeframes or ()) - set(fetched))
    if unknown:
        raise InputError(
            f"timeframes that are not fetched: {first_few(unknown)}",
            where="--timeframes",
            fix=f"name some of {', '.join(fetched)} (vendors.json, fetch.timeframes); the others "
            "are derived from these",
        )
    return fetched if timeframes is None else list(timeframes)


def _faulty(tools: IngestionTools, span: SessionSpan) -> pl.DataFrame:
    """Cells of the ledger that have candles but are not GREEN."""
    ledger = tools.stored("partition_status", span)
    return ledger.filter((pl.col("actual_rows") > 0) & (pl.col("verdict") != "GREEN"))


def _by_year(work: Sequence[NewWork]) -> pl.DataFrame:
    rows = [(w.span.last.year, w.timeframe, w.symbol, len(w.span.sessions)) for w in work]
    schema = {"year": pl.Int64, "timeframe": pl.String, "symbol": pl.String, "cells": pl.Int64}
    return (
        pl.DataFrame(rows, schema=schema, orient="row")
        .group_by("year", "timeframe")
        .agg(
            symbols=pl.col("symbol").n_unique(),
            stretches=pl.len(),
            cells=pl.col("cells").sum(),
        )
        .sort("year", "timeframe", descending=[True, False])
    )
