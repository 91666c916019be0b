"""The GREEN gate: what share of the cells that a run depends on is complete, and what is not."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from turbomode_assets.completeness.expected import expected_grid
from turbomode_assets.completeness.numbering import cell_number, vocabulary
from turbomode_assets.completeness.reasons import FETCHABLE, GREEN, NOT_AUDITED, RED
from turbomode_assets.config.completeness import LedgerConfig
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import CELL
from turbomode_assets.sessions import SessionSpan

SYMBOLS_IN_COMMAND = 20
"""A command that fills more symbols than this names none, and so fills all."""


@dataclass(frozen=True)
class GateResult:
    """How much of what is expected over a span is GREEN.

    `not_green` has symbol, timeframe, session, verdict and reasons of all other expected cells,
    the newest first.
    """

    span: SessionSpan
    cells: int
    not_green: pl.DataFrame

    @property
    def green(self) -> int:
        """Expected cells that are GREEN."""
        return self.cells - self.not_green.height

    @property
    def green_share(self) -> float:
        """GREEN cells among the expected ones; 1 where nothing is expected."""
        return self.green / self.cells if self.cells else 1.0

    @property
    def reason_counts(self) -> dict[str, int]:
        """How many cells that are not GREEN have each reason, most frequent first."""
        kinds = self.not_green.group_by("reasons").len()
        counts = (
            kinds.with_columns(pl.col("reasons").str.split(","))
            .explode("reasons")
            .group_by("reasons")
            .agg(pl.col("len").sum())
            .sort("len", "reasons", descending=[True, False])
        )
        return dict(counts.iter_rows())


def measure_gate(
    ledger: pl.DataFrame,
    instruments: pl.DataFrame,
    span: SessionSpan,
    timeframes: Sequence[str],
    config: LedgerConfig,
) -> GateResult:
    """Compare the ledger (rows of `partition_status`) with exactly the cells that are expected.

    Rows of other cells are passed over. A cell of which the ledger says nothing is RED, with
    reason `not_audited`.

    Raises:
        MissingDataError: there is no instrument.
        InputError: a timeframe is longer than a day or unknown.
    """
    if instruments.is_empty():
        raise MissingDataError(
            "no instrument, so nothing is known to be expected",
            where=f"GREEN gate, {span}",
            fix="materialize symbol_metadata, or select symbols that it has",
        )
    grid = expected_grid(instruments, span, timeframes, config)
    number = cell_number(vocabulary([grid, ledger]))
    expected = grid.filter(pl.col("expected_rows") > 0).select(*CELL, number)
    audited = ledger.filter(pl.col("timeframe").is_in(list(timeframes)))
    said = audited.select(number, "verdict", "reasons")
    is_green = pl.col("verdict") == GREEN
    not_green = (
        expected.join(said.filter(is_green), on="cell", how="anti")
        .join(said.filter(~is_green), on="cell", how="left", validate="1:1")
        .with_columns(
            reasons=pl.when(pl.col("verdict").is_null())
            .then(pl.lit(NOT_AUDITED))
            .otherwise("reasons"),
            verdict=pl.col("verdict").fill_null(RED),
        )
        .select(*CELL, "verdict", "reasons")
        .sort("session", "symbol", "timeframe", descending=[True, False, False])
    )
    return GateResult(span, expected.height, not_green)


def fetchable(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells (with `reasons`) that fetching can cure."""
    return cells.filter(
        pl.col("reasons").str.split(",").list.set_intersection(list(FETCHABLE)).list.len() > 0
    )


def backfill_command(result: GateResult) -> str:
    """Write the command that fetches what can be fetched of the cells that are not GREEN.

    It names the symbols where they are few, and the result's whole span where there is no hole.
    """
    holes = fetchable(result.not_green)
    sessions = holes["session"].sort()
    ends = (sessions[0], sessions[-1]) if len(sessions) else (result.span.first, result.span.last)
    command = f"turbomode backfill --from {ends[0]} --to {ends[1]}"
    symbols = holes["symbol"].unique().sort().to_list()
    if 0 < len(symbols) <= SYMBOLS_IN_COMMAND:
        command = f"{command} --symbols {','.join(symbols)}"
    return command


def require_green(result: GateResult, threshold: float, *, needed_by: str, command: str) -> None:
    """Refuse to go on where fewer of the expected cells are GREEN than `threshold`.

    `command` is what fills the holes: `backfill_command`.

    Raises:
        MissingDataError: the share is below the threshold.
    """
    if result.green_share >= threshold:
        return
    curable = fetchable(result.not_green).height
    counts = ", ".join(f"{reason} {count:,}" for reason, count in result.reason_counts.items())
    rest = result.not_green.height - curable
    others = f"; {rest:,} cells are not GREEN for reasons that no fetch removes" if rest else ""
    remedy = f"run `{command}`" if curable else "look at these cells in the ledger"
    raise MissingDataError(
        f"{result.green:,} of {result.cells:,} expected cells are GREEN "
        f"({_percent(result.green_share)}), {_percent(threshold)} are needed; "
        f"by reason: {counts}; newest: {describe_rows(result.not_green, [*CELL, 'reasons'])}",
        where=f"{needed_by}, {result.span}, table partition_status",
        fix=f"{remedy}{others}",
    )


def _percent(share: float) -> str:
    """Write a share so that one that falls short never reads as the one it falls short of."""
    return f"{share * 100:.10g} %"
