"""From candles as delivered to one clean bar for each symbol and session, in unadjusted prices.

The bars of a session follow from its candles, those of the look-back before it and announced
events, so a range and its sessions one by one give the same rows.
"""

import datetime as dt

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.findings import FINDINGS
from turbomode_assets.contracts.tables import BARS, REPAIRS
from turbomode_assets.curation import reasons
from turbomode_assets.curation.examination import examine


def curate(
    candles: pl.DataFrame,
    instruments: pl.DataFrame,
    splits: pl.DataFrame,
    dividends: pl.DataFrame,
    config: CurationConfig,
    *,
    since: dt.date | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `bars` and `repairs` from `since` on for daily candles; others are passed over.

    `candles`, `instruments` (symbol_metadata), `splits` and `dividends` are in their contracts.
    Candles of the `look_back_sessions` before `since` are what the later ones are judged by. Values
    are changed and candles left out for the reasons in `reasons.REASONS` and no other.

    A 24/7 symbol's bar joins the days after the previous session up to the session: open of the
    first, highest high, lowest low, close of the last, sum of volumes (null where one is). It needs
    a candle on the session's own day; another missing day is noted and the bar made without it.

    Candles delivered `split`-adjusted as of A are taken back to unadjusted with the splits whose
    ex-date lies in (day, A], and marked `raw`. `split_dividend` cannot be taken back: such bars
    keep their basis and mark, and their dollar volume is in that basis.

    Raises:
        MissingDataError: a candle's symbol is not among the instruments.
    """
    examined = examine(candles, instruments, splits, dividends, config, since)
    noted = (pl.col("action") != "flagged") | (pl.col("reason") == reasons.MISSING_DAY)
    repairs = examined.findings.filter(noted).select(REPAIRS.column_names).sort(REPAIRS.sort_by)
    return _bars(_unadjusted(examined.candles), repairs), repairs


def find_defects(
    candles: pl.DataFrame,
    instruments: pl.DataFrame,
    splits: pl.DataFrame,
    dividends: pl.DataFrame,
    config: CurationConfig,
    *,
    since: dt.date | None = None,
) -> pl.DataFrame:
    """Rows of FINDINGS: what `curate` repairs and leaves out, and what it only flags.

    Raises:
        MissingDataError: a candle's symbol is not among the instruments.
    """
    examined = examine(candles, instruments, splits, dividends, config, since)
    found = examined.findings.with_columns(timeframe=pl.lit("1d"))
    return found.select(FINDINGS.names()).sort("symbol", "session", "column", "reason")


def _unadjusted(candles: pl.DataFrame) -> pl.DataFrame:
    """Take split-adjusted candles back to the shares of their day."""
    adjusted = pl.col("adjustment") == "split"
    product = candles["split_product"]
    # numpy divides alike however many rows there are; polars takes the reciprocal for one.
    volume = pl.Series("volume", candles["volume"].to_numpy() / product.to_numpy())
    return candles.with_columns(
        *(pl.col(name) * product for name in PRICES),
        pl.when(candles["volume"].is_not_null()).then(volume),
        adjustment=pl.when(adjusted).then(pl.lit("raw")).otherwise("adjustment"),
        adjusted_as_of=pl.when(~adjusted).then("adjusted_as_of"),
    )


def _bars(candles: pl.DataFrame, repairs: pl.DataFrame) -> pl.DataFrame:
    """Join each session's candles into one bar and write down what was changed in it."""
    volume = pl.col("volume")
    bars = (
        candles.sort("symbol", "ts")
        .group_by(BARS.key, maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.when(volume.null_count() == 0).then(volume.sum()).alias("volume"),
            pl.col("adjustment", "adjusted_as_of", "vendor").last(),
        )
    )
    codes = (
        repairs.filter(pl.col("reason") != reasons.OFF_SESSION)
        .group_by(BARS.key)
        .agg(pl.col("reason").unique().sort().str.join(",").alias("repairs"))
    )
    return (
        bars.join(codes, on=BARS.key, how="left", validate="1:1")
        .with_columns(dollar_volume=pl.col("close") * pl.col("volume"))
        .select(BARS.column_names)
        .sort(BARS.sort_by)
    )
