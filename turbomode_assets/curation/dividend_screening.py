"""Dividends that are not believed: by the symbol's own events, and by the price on the ex-date."""

import polars as pl

from turbomode_assets.config.curation import CurationConfig, DividendScreeningConfig
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.findings import FINDINGS
from turbomode_assets.contracts.tables import SPLITS
from turbomode_assets.curation import reasons

HISTORY_EVENTS = 8
"""How many dividends before one it is compared with."""
PROVING_EVENTS = 3
PROVING_SHARE = 0.7
"""Ex-dates, and the share of them, that must speak for 100 times the amount."""
PROVABLE_YIELD = 0.005
"""Below it, 100 times the amount drowns in a day's ordinary moves."""


def usable_dividends(
    dividends: pl.DataFrame, config: CurationConfig
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split into dividends that factors may be computed from, and FINDINGS about the others.

    Decided from a dividend's own amount and previous close and the symbol's earlier events alone,
    so that no later event changes it. An amount is repaired only where it is off by 100 from all
    dividends before it and those are many enough; what is not believed is left out.
    """
    rules = config.dividends
    judged = _with_history(dividends, rules).with_columns(_verdict(rules))
    bad = judged.filter(pl.col("reason").is_not_null())
    scaled = pl.col("amount") * pl.col("scale")
    repaired = pl.col("reason") == reasons.AMOUNT_UNIT_ERROR
    findings = bad.select(
        "symbol",
        "session",
        "reason",
        timeframe=pl.lit("1d"),
        column=pl.lit("amount"),
        old_value="amount",
        new_value=pl.when(repaired).then(scaled),
        action=pl.when(repaired).then(pl.lit("repaired")).otherwise(pl.lit("left_out")),
    ).select(FINDINGS.names())
    usable = judged.filter(repaired.fill_null(True)).with_columns(
        amount=pl.when(repaired).then(scaled).otherwise("amount")
    )
    return usable.select(dividends.columns), findings


def screen_dividends(
    dividends: pl.DataFrame, bars: pl.DataFrame, splits: pl.DataFrame, config: CurationConfig
) -> pl.DataFrame:
    """FINDINGS about dividends by what is known at the close of the ex-date; all are only noted.

    `bars` are unadjusted (symbol, session and prices). Beside what `usable_dividends` finds: the
    price did not fall by a large amount, falls by 100 times a small one ex-date after ex-date, or
    the amount is in the shares before a split of the same day.
    """
    rules = config.dividends
    _, by_events = usable_dividends(dividends, config)
    history = _with_history(dividends, rules)
    judged = _with_drops(history, bars, splits)
    in_old_shares = _in_old_shares(rules)
    priced = judged.with_columns(
        reason=pl.when(in_old_shares)
        .then(pl.lit(reasons.AMOUNT_IN_OLD_SHARES))
        .when(
            (pl.col("yield") >= rules.judged_yield)
            & (pl.col("deepest_drop") < pl.col("yield") * rules.smallest_drop_share)
        )
        .then(pl.lit(reasons.DIVIDEND_NOT_IN_PRICE))
        .when(_too_small())
        .then(pl.lit(reasons.DIVIDEND_TOO_SMALL))
    )
    by_price = priced.filter(pl.col("reason").is_not_null()).select(
        "symbol",
        "session",
        "reason",
        timeframe=pl.lit("1d"),
        column=pl.lit("amount"),
        old_value="amount",
        new_value=pl.lit(None, dtype=pl.Float64),
        action=pl.lit("flagged"),
    )
    found = pl.concat([by_events, by_price.select(FINDINGS.names())])
    return found.sort("symbol", "session", "reason")


def _with_history(dividends: pl.DataFrame, rules: DividendScreeningConfig) -> pl.DataFrame:
    """Add the yield and what the symbol's earlier events say, whatever shares each was paid in.

    Large earlier yields are no measure of what is usual, but a reason to believe another.
    """
    large = pl.when(pl.col("yield") >= rules.large_yield).then("yield").otherwise(0.0)
    events = dividends.sort("symbol", "ex_date").with_columns(
        (pl.col("amount") / pl.col("previous_close")).alias("yield")
    )
    credible = pl.when(pl.col("yield") < rules.large_yield).then("yield").shift(1)
    before = pl.col("yield").shift(1)
    return events.with_columns(
        earlier=pl.int_range(pl.len()).over("symbol"),
        believed=credible.is_not_null().cast(pl.Int64).cum_sum().over("symbol"),
        usual=credible.rolling_median(HISTORY_EVENTS, min_samples=1).over("symbol"),
        largest=before.rolling_max(HISTORY_EVENTS, min_samples=1).over("symbol"),
        smallest=credible.rolling_min(HISTORY_EVENTS, min_samples=1).over("symbol"),
        large_in_year=large.rolling_sum_by("ex_date", "365d").over("symbol"),
        days_since=(pl.col("ex_date") - pl.col("ex_date").shift(1)).dt.total_days().over("symbol"),
        amount_change=(pl.col("amount") / pl.col("amount").shift(1) - 1).abs().over("symbol"),
    )


def _verdict(rules: DividendScreeningConfig) -> list[pl.Expr]:
    amount_yield = pl.col("yield")
    times = amount_yield / pl.col("usual")
    tolerance = rules.unit_tolerance
    enough = pl.col("believed") >= rules.minimum_events
    hundredfold = (
        times.is_between(100 / tolerance, 100 * tolerance)
        & (amount_yield > 10 * pl.col("largest"))
        & (amount_yield >= rules.judged_yield)
    )
    hundredth = times.is_between(0.01 / tolerance, 0.01 * tolerance) & (
        amount_yield < pl.col("smallest") / 10
    )
    implausible = (
        (amount_yield >= rules.largest_yield)
        | ((pl.col("earlier") == 0) & (amount_yield >= rules.largest_first_yield))
        | (
            (amount_yield >= rules.large_yield)
            & (pl.col("large_in_year") >= rules.largest_year_of_large_yields)
            & (pl.col("large_in_year") > amount_yield * 1.01)
        )
    )
    repeated = (pl.col("days_since") <= rules.repeat_days) & (
        pl.col("amount_change") <= rules.repeat_tolerance
    )
    return [
        pl.when(enough & (hundredfold | hundredth))
        .then(pl.lit(reasons.AMOUNT_UNIT_ERROR))
        .when(amount_yield >= 1)
        .then(pl.lit(reasons.AMOUNT_ABOVE_CLOSE))
        .when(repeated)
        .then(pl.lit(reasons.REPEATED_DIVIDEND))
        .when(implausible)
        .then(pl.lit(reasons.IMPLAUSIBLE_AMOUNT))
        .alias("reason"),
        pl.when(hundredfold).then(0.01).otherwise(100.0).alias("scale"),
    ]


def _with_drops(events: pl.DataFrame, bars: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """Add how far the first bar from the ex-date on opened and went below the close before it."""
    beside = (
        bars.drop_nulls(PRICES)
        .sort("symbol", "session")
        .with_columns(before=pl.col("close").shift(1).over("symbol"))
        .select("symbol", "open", "low", "before", bar_day="session")
    )
    ratios = splits.select("symbol", "ex_date", split_ratio="ratio")
    before = pl.col("before") / pl.col("split_ratio")
    return (
        events.join(ratios, on=SPLITS.key, how="left", validate="1:1")
        .with_columns(pl.col("split_ratio").fill_null(1.0))
        .sort("ex_date")
        .join_asof(
            beside.sort("bar_day"),
            left_on="ex_date",
            right_on="bar_day",
            by="symbol",
            strategy="forward",
            check_sortedness=False,  # sorted just above; polars cannot tell within groups
        )
        .sort("symbol", "ex_date")
        .with_columns(
            opening_drop=1 - pl.col("open") / before,
            deepest_drop=1 - pl.col("low") / before,
        )
    )


def _in_old_shares(rules: DividendScreeningConfig) -> pl.Expr:
    times, ratio = pl.col("yield") / pl.col("usual"), pl.col("split_ratio")
    far = (times.log().abs() > pl.lit(rules.unit_tolerance).log()) & (ratio != 1)
    return far & (times / ratio).is_between(1 / rules.unit_tolerance, rules.unit_tolerance)


def _too_small() -> pl.Expr:
    """Whether the ex-dates up to this one speak for 100 times the amount."""
    amount_yield, drop = pl.col("yield"), pl.col("opening_drop")
    provable = (amount_yield * 100).is_between(PROVABLE_YIELD, 0.25) & drop.is_not_null()
    nearer = (drop - amount_yield * 100).abs() < (drop - amount_yield).abs()
    tried = provable.cast(pl.Int64).cum_sum().over("symbol")
    spoke = (provable & nearer).fill_null(False).cast(pl.Int64).cum_sum().over("symbol")
    return provable & (tried >= PROVING_EVENTS) & (spoke >= tried * PROVING_SHARE)
