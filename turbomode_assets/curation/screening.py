"""Screening of bars against the bars before them: what is repaired, left out or only flagged.

Point in time: a bar is judged by itself, the sessions of its look-back and announced events; never
by a later bar, so that a range gives what its sessions give one by one.
"""

from functools import reduce

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.curation import reasons
from turbomode_assets.curation.screening_context import split_product, suspects, with_previous
from turbomode_assets.curation.screening_rules import (
    between,
    field_scale,
    jump_reason,
    move,
    split_elsewhere,
    whole_bar_verdict,
)

VERDICT = pl.Schema(
    {
        "row": pl.Int64(),
        "reason": pl.String(),
        "column": pl.String(),
        "old_value": pl.Float64(),
        "new_value": pl.Float64(),
        "action": pl.String(),
    }
)
_REACH = 1.1
"""How far beyond the other prices a mended one may lie."""


def screen_bars(
    bars: pl.DataFrame, splits: pl.DataFrame, dividends: pl.DataFrame, config: CurationConfig
) -> pl.DataFrame:
    """Findings in any bars of one length: symbol, day (a date or time), prices and volume.

    Bars without four positive prices are passed over; the look-back counts a symbol's own bars, so
    no calendar is needed. `adjusted_as_of` (null or absent: as traded) says up to which day splits
    were already applied to a row's prices. Returned: symbol, day, reason, column, old_value,
    new_value, action, by symbol and day.
    """
    sound = pl.all_horizontal(pl.col(name) > 0 for name in PRICES)
    as_of = pl.col("adjusted_as_of") if "adjusted_as_of" in bars.columns else pl.lit(None)
    rows = (
        bars.filter(sound)
        .sort("symbol", "day")
        .select(
            "symbol",
            when="day",
            day=pl.col("day").cast(pl.Date),
            position=pl.int_range(pl.len()).over("symbol"),
            split_through=as_of.cast(pl.Date),
            no_event_through=pl.lit(None, dtype=pl.Date),
            **{name: pl.col(name).cast(pl.Float64) for name in (*PRICES, "volume")},
        )
    )
    known = rows.with_columns(split_product(rows, splits))
    return (
        screen(known, splits, dividends, config)
        .join(
            known.with_row_index("row").select(pl.col("row").cast(pl.Int64), "symbol", "when"),
            on="row",
            validate="m:1",
        )
        .sort("row", "column", "reason")
        .select("symbol", "when", *VERDICT.names()[1:])
        .rename({"when": "day"})
    )


def screen(
    rows: pl.DataFrame, splits: pl.DataFrame, dividends: pl.DataFrame, config: CurationConfig
) -> pl.DataFrame:
    """Verdicts on `rows`, as VERDICT says: values in the rows' own basis, `row` counted from 0.

    `rows`: symbol, day, position (differences count sessions), four positive prices, volume,
    split_product (takes a price back to the shares of its day; 1 where it is in them),
    split_through (up to when splits are in the price, else null) and no_event_through (up to when
    every event is), one for each symbol and day, sorted by them. `dividends` are the usable ones.
    A row left out has that verdict alone.
    """
    beside = with_previous(rows, splits, dividends, config)
    copies = _copies(beside)
    looked_at = suspects(beside, config)
    judged = split_elsewhere(looked_at, splits, config).with_columns(whole_bar_verdict(config))
    whole = _whole_bars(judged)
    settled = pl.concat([copies.filter(pl.col("action") == "left_out"), whole]).select("row")
    rest = judged.join(settled, on="row", how="anti")
    fields = _fields(rest, config)
    moved = rest.join(fields, on="row", how="anti").with_columns(reason=jump_reason(config))
    flagged = moved.filter(pl.col("reason").is_not_null()).select(
        "row", "reason", column=pl.lit("close"), old_value="close", **_no_new("flagged")
    )
    whole = whole.join(copies.filter(pl.col("action") == "left_out"), on="row", how="anti")
    found = [frame.select(VERDICT.names()) for frame in (copies, whole, fields, flagged)]
    return pl.concat(found).cast(VERDICT)


def _no_new(action: str) -> dict[str, pl.Expr]:
    return {"new_value": pl.lit(None, dtype=pl.Float64), "action": pl.lit(action)}


def _copies(rows: pl.DataFrame) -> pl.DataFrame:
    """Bars that repeat the bar before, in the prices as delivered."""
    flat_at_close = reduce(
        lambda left, right: left & right,
        (pl.col(name) == pl.col("previous_close") for name in PRICES),
    )
    same_prices = reduce(
        lambda left, right: left & right,
        (pl.col(name) == pl.col(f"previous_{name}") for name in PRICES),
    )
    same_volume = (pl.col("volume") > 0) & (pl.col("volume") == pl.col("previous_volume"))
    repeats = same_volume & (pl.col("close") == pl.col("previous_close"))
    reason = (
        pl.when((pl.col("volume") == 0) & flat_at_close)
        .then(pl.lit(reasons.ZERO_VOLUME_COPY))
        .when(repeats & same_prices & (pl.col("high") > pl.col("low")))
        .then(pl.lit(reasons.COPIED_BAR))
        .when(repeats)
        .then(pl.lit(reasons.STALE))
    )
    found = rows.filter(
        (repeats | ((pl.col("volume") == 0) & flat_at_close)).fill_null(False)
    ).with_columns(reason=reason)
    stale = pl.col("reason") == reasons.STALE
    return found.select(
        "row",
        "reason",
        column=pl.when(stale).then(pl.lit("close")).otherwise(pl.lit("row")),
        old_value="close",
        new_value=pl.lit(None, dtype=pl.Float64),
        action=pl.when(stale).then(pl.lit("flagged")).otherwise(pl.lit("left_out")),
    )


def _whole_bars(judged: pl.DataFrame) -> pl.DataFrame:
    """Verdicts on whole bars: one row if left out or flagged, one for each value if repaired."""
    found = judged.filter(pl.col("verdict").is_not_null())
    left_out = found.filter(pl.col("action") == "left_out").select(
        "row", reason="verdict", column=pl.lit("row"), old_value="close", **_no_new("left_out")
    )
    repaired = found.filter(pl.col("action") == "repaired")
    values = [
        repaired.select(
            "row",
            reason="verdict",
            column=pl.lit(name),
            old_value=pl.col(name),
            new_value=pl.col(name) * pl.col(scale),
            action=pl.lit("repaired"),
        ).filter(pl.col("new_value") != pl.col("old_value"))
        for name, scale in (
            *((price, "price_scale") for price in PRICES),
            ("volume", "volume_scale"),
        )
    ]
    return pl.concat([left_out, *values])


def _fields(judged: pl.DataFrame, config: CurationConfig) -> pl.DataFrame:
    """Repairs of one or two prices, where the mended price lies among the others."""
    scale = {name: pl.col(f"_scale_{name}") for name in PRICES}
    near = {name: between(move(name), 1 / config.agreement, config.agreement) for name in PRICES}
    agreeing = pl.sum_horizontal(near[name].cast(pl.Int8) for name in PRICES)
    known = pl.sum_horizontal(scale[name].is_not_null().cast(pl.Int8) for name in PRICES)
    highest = pl.max_horizontal(pl.when(near[name]).then(pl.col(name)) for name in PRICES)
    lowest = pl.min_horizontal(pl.when(near[name]).then(pl.col(name)) for name in PRICES)
    fits = pl.all_horizontal(
        (pl.col(name) * scale[name]).is_between(lowest / _REACH, highest * _REACH)
        | scale[name].is_null()
        for name in PRICES
    )
    sound = judged.with_columns(
        field_scale(name, config).alias(f"_scale_{name}") for name in PRICES
    ).filter((agreeing >= 2) & (known == 4 - agreeing) & (known > 0) & fits)
    return pl.concat(
        sound.filter(scale[name].is_not_null()).select(
            "row",
            reason=pl.when(scale[name].is_in([0.01, 100.0]))
            .then(pl.lit(reasons.FIELD_UNIT_ERROR))
            .when(scale[name].is_in([0.1, 10.0]))
            .then(pl.lit(reasons.DECIMAL_SHIFT))
            .otherwise(pl.lit(reasons.SPLIT_PARTLY_IN_PRICES)),
            column=pl.lit(name),
            old_value=pl.col(name),
            new_value=pl.col(name) * scale[name],
            action=pl.lit("repaired"),
        )
        for name in PRICES
    )
