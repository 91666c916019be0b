"""What a bar is judged by: the bars before it, brought into its own shares."""

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.contracts.columns import PRICES

FAR_STEP = 3.0
"""A step this large somewhere in the window makes every later bar of it worth a look."""

_DAYS = 10_000_000
"""More days than any calendar has: keys of different symbols cannot meet."""
_Floats = NDArray[np.float64]


def split_product(rows: pl.DataFrame, splits: pl.DataFrame) -> pl.Series:
    """Product of the ratios of the splits in (day, split_through] of each row, else 1.

    `rows` are sorted by symbol and day.
    """
    symbols = rows["symbol"].rle_id().to_numpy().astype(np.int64)
    codes = rows.select("symbol", code=pl.Series(symbols)).unique("symbol")
    events = splits.join(codes, on="symbol").sort("code", "ex_date")
    keys = events["code"].to_numpy() * _DAYS + _ordinals(events["ex_date"])
    cumulative = events.select(pl.col("ratio").cum_prod().over("code"))["ratio"].to_numpy()
    firsts = np.searchsorted(keys, np.arange(len(codes)) * _DAYS)

    def shares_on(days: NDArray[np.int64]) -> _Floats:
        found = np.searchsorted(keys, symbols * _DAYS + days, side="right")
        started = found > firsts[symbols]
        return np.where(started, np.append(cumulative, 1.0)[found - 1], 1.0)

    days = _ordinals(rows["day"])
    through = np.maximum(days, _ordinals(rows["split_through"].fill_null(rows["day"])))
    return pl.Series("split_product", shares_on(through) / shares_on(days))


def _ordinals(days: pl.Series) -> NDArray[np.int64]:
    return days.cast(pl.Date).to_physical().to_numpy().astype(np.int64)


def with_previous(
    rows: pl.DataFrame, splits: pl.DataFrame, dividends: pl.DataFrame, config: CurationConfig
) -> pl.DataFrame:
    """Add each row's number, the events that take effect on it, and the row before it.

    `rows` are as `screening.screen` takes them. `previous_*` is null where no row lies in the
    look-back. `split_ratio` and `kept_share` are 1 without an event; an event on a day without a
    row takes effect on the next one.
    """
    numbered = rows.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    ratio, kept = _events_on(numbered, splits, dividends)
    gap = pl.col("position") - pl.col("position").shift(1)
    follows = (pl.col("symbol") == pl.col("symbol").shift(1)) & (gap <= config.look_back_sessions)
    return numbered.with_columns(
        pl.Series("split_ratio", ratio),
        pl.Series("kept_share", kept),
        *(
            pl.when(follows).then(pl.col(name).shift(1)).alias(f"previous_{name}")
            for name in (*PRICES, "volume", "split_product")
        ),
    )


def _events_on(
    numbered: pl.DataFrame, splits: pl.DataFrame, dividends: pl.DataFrame
) -> tuple[_Floats, _Floats]:
    """Split ratio and kept share of each row.

    No event up to `no_event_through` moves a row: those are already in the vendor's prices.
    """
    kept_share = 1 - pl.col("amount") / pl.col("previous_close")
    events = pl.concat(
        [
            splits.select("symbol", "ex_date", share="ratio", kept=pl.lit(1.0)),
            dividends.select("symbol", "ex_date", share=pl.lit(1.0), kept=kept_share),
        ]
    )
    targets = numbered.select("symbol", "day", "row", "no_event_through")
    effective = (
        events.sort("ex_date")
        .join_asof(
            targets,
            left_on="ex_date",
            right_on="day",
            by="symbol",
            strategy="forward",
            check_sortedness=False,  # `screen` asks for rows by symbol and day
        )
        .filter(
            pl.col("row").is_not_null()
            & (pl.col("ex_date") > pl.col("no_event_through").fill_null(dt.date.min))
        )
        .sort("row", "ex_date", "share")
        .group_by("row", maintain_order=True)
        .agg(pl.col("share", "kept").product())
    )
    ratio, kept = np.ones(numbered.height), np.ones(numbered.height)
    at = effective["row"].to_numpy()
    ratio[at], kept[at] = effective["share"].to_numpy(), effective["kept"].to_numpy()
    return ratio, kept


def suspects(rows: pl.DataFrame, config: CurationConfig) -> pl.DataFrame:
    """Rows that some rule may speak of, with the references that the rules compare with.

    A cheap superset of the few rows that matter: windows are gathered for these alone. Added are
    `reference` (lower median close of the window, in the row's shares), `volume_reference`,
    `sessions` (rows in the window), `support` (share of them near the reference), `flat_before`
    (share with four equal prices) and `recent_ratio` (splits in the window and on the row's day).
    """
    beside = pl.col("previous_close") * pl.col("previous_split_product") / pl.col("split_ratio")
    highest = pl.max_horizontal(PRICES) * pl.col("split_product") / beside
    lowest = pl.min_horizontal(PRICES) * pl.col("split_product") / beside
    kept = pl.col("kept_share")
    step = pl.max_horizontal(highest, 1 / lowest, highest / kept, kept / lowest)
    delivered_unsplit = pl.max_horizontal("split_product", 1 / pl.col("split_product"))
    window = config.look_back_sessions + 1
    recently_far = (step > FAR_STEP).fill_null(False).cast(pl.Int8)
    recently_stepped = (step > config.jump).fill_null(False).cast(pl.Int8)
    recently_split = (pl.col("split_ratio") != 1).cast(pl.Int8)
    flat = pl.col("high") == pl.col("low")
    was_flat = pl.col("previous_high") == pl.col("previous_low")
    worth_a_look = (
        (step > config.jump)
        | (recently_far.rolling_max(window, min_samples=1) > 0)
        | (recently_split.rolling_max(window, min_samples=1) > 0)
        | (
            (delivered_unsplit > config.smallest_split)
            & (recently_stepped.rolling_max(window, min_samples=1) > 0)
        )
        | (flat & ~was_flat & (pl.col("volume") > 0))
    )
    return _with_references(rows, rows.filter(worth_a_look), config)


def _with_references(
    rows: pl.DataFrame, chosen: pl.DataFrame, config: CurationConfig
) -> pl.DataFrame:
    at = chosen["row"].to_numpy()
    back = np.arange(1, config.look_back_sessions + 1)
    reached = at[:, None] - back
    before = np.maximum(reached, 0)
    symbol = rows["symbol"].rle_id().to_numpy()
    position = rows["position"].to_numpy()
    inside = (reached >= 0) & (symbol[before] == symbol[at][:, None])
    inside &= position[at][:, None] - position[before] <= config.look_back_sessions

    ratio = rows["split_ratio"].to_numpy()
    after = np.minimum(before + 1, rows.height - 1)
    onward = np.where(inside, ratio[after], 1.0).cumprod(axis=1)
    product = rows["split_product"].to_numpy()
    close = _gather(rows["close"].to_numpy() * product, before, inside) / onward
    volume = _gather(rows["volume"].cast(pl.Float64).to_numpy() / product, before, inside) * onward
    flat = (rows["high"] == rows["low"]).to_numpy()
    reference = _lower_median(close)
    count = inside.sum(axis=1)
    near = np.maximum(close / reference[:, None], reference[:, None] / close) <= config.agreement
    counted = np.maximum(count, 1)
    first_ratio = np.where(count == 0, ratio[at], 1.0)
    return chosen.with_columns(
        pl.Series("reference", reference, nan_to_null=True),
        pl.Series("volume_reference", _lower_median(volume), nan_to_null=True),
        pl.Series("sessions", count),
        pl.Series("support", near.sum(axis=1) / counted),
        pl.Series("flat_before", (flat[before] & inside).sum(axis=1) / counted),
        pl.Series("recent_ratio", onward[:, -1] * first_ratio),
    )


def _gather(values: _Floats, before: NDArray[np.int64], inside: NDArray[np.bool_]) -> _Floats:
    return np.where(inside, values[before], np.nan)


def _lower_median(windows: _Floats) -> _Floats:
    """Median of each row's numbers; the lower one of two, never a mean of two levels."""
    ordered = np.sort(windows, axis=1)  # missing values go last
    count = (~np.isnan(ordered)).sum(axis=1)
    middle = np.maximum(count - 1, 0) // 2
    return ordered[np.arange(len(ordered)), middle] if len(ordered) else np.empty(0)
