"""Which holes to fill, in what order, in windows of what length; and which old sessions to audit.

Who asks which vendor, and how often, is decided elsewhere.
"""

import datetime as dt
import math

import polars as pl

from turbomode_assets.completeness.gate import fetchable
from turbomode_assets.completeness.reasons import GREEN, NOT_YET_DUE
from turbomode_assets.completeness.stretches import LANE, cells_of_stretches, stretches_of_cells
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.tables import CELL
from turbomode_assets.sessions import SessionSpan, offset_session

DEPENDENCY = {"1d": 2.0, "1h": 1.0, "1m": 0.0}
"""How much hangs on a timeframe: days carry the whole graph. Derived ones follow their source."""

PLAN_SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "first_session": pl.Date(),
        "last_session": pl.Date(),
        "reason": pl.String(),
        "importance": pl.Float64(),
    }
)


def plan_backfill(
    ledger: pl.DataFrame,
    liquidity: pl.DataFrame,
    *,
    window_sessions: int,
    leave_out: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Rows of PLAN_SCHEMA: what to fetch of the ledger's cells, most urgent first.

    Taken are cells that are not GREEN for a reason that fetching can cure, and due; consecutive
    sessions are joined, `window_sessions` at most, counted back from the newest. `leave_out` are
    stretches (symbol, timeframe, first_session, last_session) not to be asked again: already
    queued, given up, or fetched before with the same result. Newest last session first, then
    importance, then symbol. `liquidity` has one row of symbol and median_dollar_volume for each.

    Formula: importance = dependency (1d 2, 1h 1, 1m 0) + rank of median dollar volume / (symbols
    + 1), where the rank of a symbol that is not there, or without volume, is 0

    Raises:
        InputError: the window is shorter than a session.
    """
    if window_sessions < 1:
        raise InputError(
            f"a window of {window_sessions} sessions",
            where="plan_backfill",
            fix="give 1 or more",
        )
    is_due = ~pl.col("reasons").str.split(",").list.contains(NOT_YET_DUE)
    holes = fetchable(ledger.filter((pl.col("verdict") != GREEN) & is_due))
    if leave_out is not None:
        sessions = holes["session"].unique().sort()
        holes = holes.join(cells_of_stretches(leave_out, sessions), on=CELL, how="anti")
    if holes.is_empty():
        return PLAN_SCHEMA.to_frame()
    stretches = stretches_of_cells(holes.select(*CELL, "reasons"), window_sessions)
    return (
        stretches.join(_liquidity_ranks(liquidity), on="symbol", how="left", validate="m:1")
        .with_columns(
            importance=pl.col("timeframe").replace_strict(
                DEPENDENCY, default=0.0, return_dtype=pl.Float64
            )
            + pl.col("rank").fill_null(0.0)
        )
        .sort(
            "last_session",
            "importance",
            *LANE,
            "first_session",
            descending=[True, True, False, False, False],
        )
        .select(PLAN_SCHEMA.names())
    )


def shrunk_window(window_sessions: int, pressure: float) -> int:
    """Sessions that a run may take on while this share of the vendors' budgets is in use.

    Formula: max(1, floor(window_sessions * (1 - pressure)))

    Raises:
        InputError: the pressure is no share, or the window shorter than a session.
    """
    if window_sessions < 1 or not 0 <= pressure <= 1:
        raise InputError(
            f"a window of {window_sessions} sessions under a pressure of {pressure}",
            where="shrunk_window",
            fix="give a window of 1 session or more and a pressure from 0 to 1",
        )
    return max(1, math.floor(window_sessions * (1 - pressure)))


def next_sweep(
    oldest: dt.date, newest: dt.date, cursor: dt.date | None, sweep_sessions: int
) -> SessionSpan | None:
    """Sessions to audit next when nothing else is to be done, going backwards for ever.

    `cursor` is the first session of the sweep before (None: there was none). The one after the
    oldest session begins at the newest again. None where there is no session to audit.

    Raises:
        InputError: an end is no session, or the sweep is shorter than one.
    """
    if sweep_sessions < 1:
        raise InputError(
            f"a sweep of {sweep_sessions} sessions", where="next_sweep", fix="give 1 or more"
        )
    if newest < oldest:
        return None
    goes_on = cursor is not None and oldest < cursor <= newest
    last = offset_session(cursor, -1) if cursor is not None and goes_on else newest
    reach = SessionSpan(oldest, last).sessions
    return SessionSpan(reach[-min(sweep_sessions, len(reach))], last)


def _liquidity_ranks(liquidity: pl.DataFrame) -> pl.DataFrame:
    """Rank of each symbol's median dollar volume, above 0 and below 1; ties share the lowest."""
    known = liquidity.drop_nulls("median_dollar_volume")
    rank = pl.col("median_dollar_volume").rank("min") / (pl.len() + 1)
    return known.select("symbol", rank=rank.cast(pl.Float64))
