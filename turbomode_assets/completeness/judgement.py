"""The verdict on each cell: what should exist against what does, and every reason why."""

import datetime as dt
from collections.abc import Iterator

import polars as pl

from turbomode_assets.completeness import reasons as codes
from turbomode_assets.completeness.expected import DAILY, require_within_a_day
from turbomode_assets.completeness.numbering import cell_number, vocabulary
from turbomode_assets.completeness.observed import DEFECTS, observe
from turbomode_assets.completeness.stretches import cells_of_stretches
from turbomode_assets.completeness.wording import SILENCE, Told, with_verdicts
from turbomode_assets.config.completeness import LedgerConfig
from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.contracts.ordering import sort_rows
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import CELL, CELL_SCHEMA, PARTITION_STATUS

ROWS_AT_ONCE = 1_000_000
"""How many candles and cells are judged together: what keeps memory bounded."""

NOTICED = {
    "no_data": codes.NO_DATA,
    "revision": codes.REVISED,
    "disagreement": codes.DISAGREEMENT,
    "late_candles": codes.LATE,
}
"""Kinds of `data_quality_log` that bear on a cell, and the reason that they give."""


def judge(
    grid: pl.DataFrame,
    candles: pl.DataFrame,
    findings: pl.DataFrame | None,
    log: pl.DataFrame,
    queue: pl.DataFrame,
    *,
    now: dt.datetime,
    config: LedgerConfig,
    store_version: int,
    checked_at: dt.datetime,
) -> pl.DataFrame:
    """Rows of `partition_status`: one for each cell of the grid, and each other that has candles.

    `grid` comes from `expected_grid`; `candles` and `log` (data_quality_log) are those of its
    symbols, timeframes and sessions, `findings` are FINDINGS about them (None: nobody looked), and
    `queue` lists work with symbol, timeframe, first_session, last_session, attempts (failed ones)
    and is_dead. A cell's row follows from what is handed in about that cell alone. Its verdict is
    the worst of its reasons'; the meanings are in `reasons.REASONS`, other codes are curation's.

    Raises:
        InputError: candles of a timeframe that is longer than a day.
        ContractError: a finding names an action that there is not.
    """
    require_within_a_day(candles["timeframe"].unique().sort().to_list(), where="judge")
    calendars = grid.select("symbol", "calendar").unique()
    symbols = vocabulary([grid, candles])
    told, meanings = _told(findings)
    judged = [PARTITION_STATUS.empty()]
    for block, stored in _blocks(sort_rows(grid, PARTITION_STATUS.sort_by), candles):
        cells = _cells(
            block.with_columns(cell_number(symbols)), observe(stored, calendars, symbols)
        )
        found = _with_news(cells, told, log, queue)
        verdicts = with_verdicts(found, _rules(now, config), meanings).with_columns(
            checked_at=pl.lit(checked_at).cast(PARTITION_STATUS.schema["checked_at"]),
            store_version=pl.lit(store_version, dtype=pl.Int64),
        )
        judged.append(verdicts.select(PARTITION_STATUS.column_names))
    return sort_rows(pl.concat(judged), PARTITION_STATUS.sort_by)


def _blocks(
    grid: pl.DataFrame, candles: pl.DataFrame
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Cut both along symbols into pieces of about ROWS_AT_ONCE rows; the grid is sorted."""
    pieces = -(-max(grid.height, candles.height) // ROWS_AT_ONCE)
    names = pl.concat([frame["symbol"].unique() for frame in (grid, candles)]).unique().sort()
    if pieces <= 1 or len(names) == 1:
        yield grid, candles
        return
    count = -(-len(names) // pieces)
    for start in range(0, len(names), count):
        part = names[start : start + count]
        within = pl.col("symbol").is_between(pl.lit(part[0]), pl.lit(part[-1]))
        yield grid.filter(within), candles.filter(within)


def _cells(grid: pl.DataFrame, observed: pl.DataFrame) -> pl.DataFrame:
    """The cells of the grid and all others that have candles, with what is there."""
    cells = grid.drop("calendar").join(
        observed.drop(CELL), on="cell", how="left", maintain_order="left", validate="1:1"
    )
    unexpected = observed.join(grid, on="cell", how="anti")
    return pl.concat([cells, unexpected], how="diagonal").with_columns(
        pl.col("actual_rows", "bars", "sound_bars").fill_null(0),
        pl.col(DEFECTS).fill_null(False),
        pl.col("expected_rows").fill_null(0),
    )


def _with_news(
    cells: pl.DataFrame, told: pl.DataFrame, log: pl.DataFrame, queue: pl.DataFrame
) -> pl.DataFrame:
    """Mark the cells of which curation or vendors said something, or for which these failed."""
    sessions = cells["session"].unique().sort()
    failed = queue.filter((pl.col("attempts") > 0) | pl.col("is_dead"))
    news = {
        reason: log.filter(pl.col("kind") == kind).rename({"session": "last_session"})
        for kind, reason in NOTICED.items()
    }
    for reason, rows in (*news.items(), (codes.VENDOR_FAILURE, failed)):
        marked = cells_of_stretches(rows, sessions).with_columns(pl.lit(True).alias(reason))
        cells = _joined(cells, marked, reason, False)
    return _joined(cells, told, "told", 0)


def _joined(
    cells: pl.DataFrame, marked: pl.DataFrame, column: str, otherwise: bool | int
) -> pl.DataFrame:
    """Add a column that few cells have, if any."""
    if marked.is_empty():
        return cells.with_columns(pl.lit(otherwise).alias(column))
    return cells.join(
        marked, on=CELL, how="left", validate="1:1", maintain_order="left"
    ).with_columns(pl.col(column).fill_null(otherwise))


def _told(findings: pl.DataFrame | None) -> tuple[pl.DataFrame, list[Told]]:
    """Number what findings say of each cell, and list what each number means; 0 is nothing."""
    if findings is None or findings.is_empty():
        return CELL_SCHEMA.to_frame().with_columns(told=pl.lit(0, dtype=pl.Int64)), [SILENCE]
    strangers = findings.filter(~pl.col("action").is_in(list(codes.ACTION_VERDICTS)))
    if strangers.height:
        raise ContractError(
            f"findings whose action is unknown: {describe_rows(strangers, [*CELL, 'action'])}",
            where="judge",
            fix=f"say one of {', '.join(codes.ACTION_VERDICTS)}",
        )
    by_action = {
        action: codes.VERDICT_RANKS[verdict] for action, verdict in codes.ACTION_VERDICTS.items()
    }
    own = {code: codes.VERDICT_RANKS[reason.verdict] for code, reason in codes.REASONS.items()}
    rank = pl.max_horizontal(
        pl.col("action").replace_strict(by_action, return_dtype=pl.Int64),
        pl.col("reason").replace_strict(own, default=0, return_dtype=pl.Int64),
    )
    cells = findings.group_by(CELL).agg(
        codes=pl.col("reason").unique().sort().str.join(","), rank=rank.max()
    )
    kinds = cells.select("codes", "rank").unique().sort("codes", "rank")
    numbers = kinds.with_columns(told=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    numbered = cells.join(numbers, on=["codes", "rank"], validate="m:1")
    return numbered.select(*CELL, "told"), [SILENCE, *kinds.iter_rows()]


def _rules(now: dt.datetime, config: LedgerConfig) -> dict[tuple[str, str], pl.Expr]:
    """When each reason holds, and the verdict it then gives, in the columns of `_with_news`.

    Absence has one reason: not due yet, said to be none, or missing; an intraday cell may lack
    (1 - amber_rows_share) of its bars, a daily one none.
    """
    expected, bars, sound = pl.col("expected_rows"), pl.col("bars"), pl.col("sound_bars")
    is_due = pl.col("due_at") <= now
    is_empty = (expected > 0) & (bars == 0)
    tolerated = pl.when(pl.col("timeframe") == DAILY).then(1.0).otherwise(config.amber_rows_share)
    is_low = (expected > 0) & (bars > 0) & (sound < expected * tolerated)
    is_very_low = is_low & ((sound < expected * config.red_rows_share) | (sound == 0))
    absent = is_empty & ~pl.col(codes.NO_DATA)
    listed = pl.col("due_at").is_not_null()
    closed = pl.col(codes.NO_SESSION) | ((expected == 0) & (pl.col("actual_rows") > 0))
    failed = is_due & (absent | is_low) & pl.col(codes.VENDOR_FAILURE)
    rules = {
        (codes.MISSING, codes.RED): is_due & absent,
        (codes.ROWS_LOW, codes.AMBER): is_due & is_low & ~is_very_low,
        (codes.ROWS_LOW, codes.RED): is_due & is_very_low,
        (codes.NOT_YET_DUE, codes.AMBER): ~is_due & (absent | is_low),
        (codes.NO_DATA, codes.AMBER): is_empty & pl.col(codes.NO_DATA),
        (codes.ROWS_HIGH, codes.AMBER): (expected > 0) & (bars > expected),
        (codes.VENDOR_FAILURE, codes.RED): failed,
        (codes.NO_SESSION, codes.AMBER): closed,
        (codes.HALTED, codes.GREEN): listed & (expected == 0),
    }
    plain = [code for code in (*DEFECTS, *NOTICED.values()) if (code, codes.AMBER) not in rules]
    return rules | {(code, codes.REASONS[code].verdict): pl.col(code) for code in plain}
