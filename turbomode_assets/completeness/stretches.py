"""Stretches of sessions of one symbol and timeframe: taken apart into cells, and put together."""

import polars as pl

from turbomode_assets.sessions import session_indices

LANE = ("symbol", "timeframe")


def cells_of_stretches(stretches: pl.DataFrame, sessions: pl.Series) -> pl.DataFrame:
    """Cells on these sessions (ascending) that a stretch from first to last session covers."""
    found = (
        stretches.select(
            *LANE,
            begin=sessions.search_sorted(stretches["first_session"], "left"),
            end=sessions.search_sorted(stretches["last_session"], "right"),
        )
        .filter(pl.col("begin") < pl.col("end"))
        .with_columns(number=pl.int_ranges("begin", "end"))
        .explode("number")
    )
    return found.select(*LANE, session=sessions.gather(found["number"])).unique()


def stretches_of_cells(cells: pl.DataFrame, longest: int) -> pl.DataFrame:
    """Join cells of consecutive sessions, `longest` at most counted back from the newest.

    `cells` have a column `reasons` (codes, comma-separated); a stretch has the sorted codes of all
    of its cells. Returns symbol, timeframe, first_session, last_session, reason.
    """
    ordered = cells.sort(*LANE, "session", descending=[False, False, True])
    position = session_indices(ordered["session"])
    follows = (
        (pl.col("symbol") == pl.col("symbol").shift())
        & (pl.col("timeframe") == pl.col("timeframe").shift())
        & (pl.col("position") == pl.col("position").shift() - 1)
    ).fill_null(False)
    numbered = ordered.with_columns(position=position).with_columns(run=(~follows).cum_sum())
    back = pl.col("position").max().over("run") - pl.col("position")
    return (
        numbered.with_columns(part=back // longest)
        .group_by("run", "part", maintain_order=True)
        .agg(
            pl.col(*LANE).first(),
            first_session=pl.col("session").min(),
            last_session=pl.col("session").max(),
            reason=pl.col("reasons").unique(),
        )
        .with_columns(
            reason=pl.col("reason").list.join(",").str.split(",").list.unique().list.sort()
        )
        .select(*LANE, "first_session", "last_session", reason=pl.col("reason").list.join(","))
    )
