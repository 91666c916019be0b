"""What a backtest comes to: return, risk, costs, and how far luck explains it."""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.contracts.columns import SESSION
from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.sessions import SessionSpan, session_indices
from turbomode_assets.validation import (
    OverfittingResult,
    deflated_sharpe_ratio,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
    sharpe_moments,
)

SESSIONS_PER_YEAR = 252
CURVE_POINTS = 180
DELISTING_LOSS = 0.30
"""Shumway (1997), The Delisting Bias in CRSP Data, Journal of Finance 52(1): the mean return of
delistings for poor performance on NYSE and AMEX is -30 %."""


def session_returns(equity: pl.DataFrame, initial_capital_usd: float) -> NDArray[np.float64]:
    """Return of each session on the equity before it; 0 from the session after ruin on.

    Equity below 0 counts as 0: more than everything cannot be lost in these figures.
    """
    values = np.maximum([initial_capital_usd, *equity.get_column("equity")], 0.0)
    ruined = np.minimum.accumulate(values) <= 0
    values[ruined] = 0.0
    before = values[:-1]
    returns = np.zeros(len(before))
    np.divide(values[1:] - before, before, out=returns, where=before > 0)
    return returns


def with_drawdown(equity: pl.DataFrame, initial_capital_usd: float) -> pl.DataFrame:
    """Add the column drawdown.

    Formula: 1 - equity / highest equity so far, the initial capital included
    """
    peak = pl.max_horizontal(pl.col("equity").cum_max(), pl.lit(initial_capital_usd))
    return equity.with_columns(drawdown=1 - pl.col("equity") / peak)


def equity_curve(equity: pl.DataFrame) -> pl.DataFrame:
    """Cut the sessions of a backtest into at most `CURVE_POINTS` stretches of one length.

    Columns: session (the last of the stretch), equity (USD, at its end) and drawdown (a share, the
    deepest within it). The curve begins with the first session and ends with the last; the second
    stretch may be shorter than the others.
    """
    length = max(1, -(-(equity.height - 1) // (CURVE_POINTS - 1)))
    place = pl.int_range(pl.len())
    stretch = pl.when(place > 0).then((pl.len() - 1 - place) // length)
    return (
        equity.sort(SESSION)
        .group_by(stretch.alias("stretch"), maintain_order=True)
        .agg(pl.col(SESSION, "equity").last(), pl.col("drawdown").max())
        .drop("stretch")
    )


def measure(
    trades: pl.DataFrame,
    equity: pl.DataFrame,
    initial_capital_usd: float,
    *,
    slippage_usd: float = 0.0,
    trials: int = 1,
    trial_sharpe_variance: float = 0.0,
) -> pl.DataFrame:
    """Sum up a backtest in one row.

    Formulas, with r the return of each of the n sessions and 252 sessions a year:

    - annual_return: (last equity / initial capital)^(252 / n) - 1; annual_volatility: standard
      deviation (ddof 1) of r * sqrt(252); sharpe: mean / standard deviation of r * sqrt(252);
    - probabilistic_sharpe and deflated_sharpe: as in `turbomode_assets.validation`;
    - maximum_drawdown: the largest drawdown; peak, trough and recovery sessions are of it;
    - hit_rate: share of the closed trades with a return above 0; mean_holding_sessions: sessions
      from their entry to their exit (0 within one);
    - turnover_per_year: (bought + sold) / 2 / mean equity * 252 / n;
    - cost_usd and slippage_usd: what was paid, beside the quoted price.

    Missing: Sharpe ratios are null where r does not vary, figures of trades without a closed one,
    drawdown sessions without a drawdown, the recovery before it came, turnover after ruin on
    average.
    """
    returns = session_returns(equity, initial_capital_usd)
    years = len(returns) / SESSIONS_PER_YEAR
    closed = trades.filter(pl.col("exit_session").is_not_null())
    held = session_indices(closed.get_column("exit_session")) - session_indices(
        closed.get_column("entry_session")
    )
    mean_equity = float(equity.get_column("equity").mean())  # type: ignore[arg-type]
    traded = float(equity.get_column("turnover").sum())
    final = max(float(equity.get_column("equity")[-1]), 0.0)
    row = {
        "sessions": len(returns),
        "trades": trades.height,
        "open_positions": trades.height - closed.height,
        "final_equity_usd": float(equity.get_column("equity")[-1]),
        "annual_return": _annual_return(final / initial_capital_usd, years),
        "annual_volatility": _deviation(returns),
        **_sharpe_ratios(returns, trials, trial_sharpe_variance),
        **_worst_drawdown(equity),
        "hit_rate": (closed.get_column("return") > 0).mean(),
        "mean_holding_sessions": held.mean(),
        "turnover_per_year": traded / 2 / mean_equity / years if mean_equity > 0 else None,
        "cost_usd": float(trades.get_column("cost_usd").sum()),
        "slippage_usd": slippage_usd,
    }
    return pl.DataFrame([row], schema=_SCHEMA)


_SCHEMA = {
    "sessions": pl.Int64,
    "trades": pl.Int64,
    "open_positions": pl.Int64,
    "final_equity_usd": pl.Float64,
    "annual_return": pl.Float64,
    "annual_volatility": pl.Float64,
    "sharpe": pl.Float64,
    "probabilistic_sharpe": pl.Float64,
    "deflated_sharpe": pl.Float64,
    "maximum_drawdown": pl.Float64,
    "drawdown_peak_session": pl.Date,
    "drawdown_trough_session": pl.Date,
    "drawdown_recovery_session": pl.Date,
    "hit_rate": pl.Float64,
    "mean_holding_sessions": pl.Float64,
    "turnover_per_year": pl.Float64,
    "cost_usd": pl.Float64,
    "slippage_usd": pl.Float64,
}


def backtest_overfitting(
    backtests: Sequence[pl.DataFrame], initial_capital_usd: float, *, blocks: int = 16
) -> OverfittingResult:
    """Measure how far choosing the best of several backtests by its Sharpe ratio overfits.

    `backtests` are the equity frames of the configurations that were tried, over one span.

    Raises:
        InputError: spans differ, or as `probability_of_backtest_overfitting`.
    """
    spans = {(frame.get_column(SESSION)[0], frame.get_column(SESSION)[-1]) for frame in backtests}
    if len(spans) != 1:
        listed = first_few(f"{first}...{last}" for first, last in sorted(spans))
        raise InputError(
            f"backtests cover {len(spans)} spans: {listed}",
            where="backtest_overfitting",
            fix="give at least two backtests over the same sessions",
        )
    returns = [session_returns(frame, initial_capital_usd) for frame in backtests]
    return probability_of_backtest_overfitting(np.column_stack(returns), blocks=blocks)


def survivorship_note(universe: pl.DataFrame, span: SessionSpan) -> str:
    """Say how many tradeable symbols were delisted in a span, and what their lack would do.

    `universe` follows symbol_metadata. Formula of the bias: each percent of the symbols that is
    missing a year, lost at -30 %, adds 0.30 points a year to an equal-weighted long portfolio.

    Raises:
        InputError: no tradeable symbol was listed in the span.
    """
    listed = universe.filter(
        pl.col("role") == "tradeable",
        pl.col("first_session").fill_null(span.first) <= span.last,
        pl.col("last_session").fill_null(span.last) >= span.first,
    )
    if listed.is_empty():
        raise InputError(
            f"no tradeable symbol was listed in {span}",
            where="survivorship_note",
            fix="give the universe that was traded, and a span in which it was",
        )
    gone = listed.filter(pl.col("last_session") < span.last).height
    years = len(span.sessions) / SESSIONS_PER_YEAR
    share = gone / listed.height / years
    counted = f"{gone} of {listed.height} tradeable symbols were delisted in {span}"
    rule = (
        f"each percent of the symbols that is missing a year adds about {DELISTING_LOSS:.2f} "
        f"points a year to the return of longs and takes as much from shorts, if delisting costs "
        f"{DELISTING_LOSS:.0%} (Shumway 1997)"
    )
    if not gone:
        return (
            f"Survivorship: {counted}. The universe holds survivors only: results of longs are "
            f"upper bounds, and {rule}."
        )
    return (
        f"Survivorship: {counted}, {share:.1%} of them a year. They are traded up to their last "
        f"bar. Those the universe never named are not: {rule}."
    )


def _annual_return(growth: float, years: float) -> float:
    if growth <= 0:
        return -1.0
    # A few sessions may grow past what a year's power can hold.
    exponent = math.log(growth) / years
    return math.expm1(exponent) if exponent < math.log(1e300) else math.inf


def _deviation(returns: NDArray[np.float64]) -> float | None:
    if len(returns) < 2:
        return None
    return float(returns.std(ddof=1)) * math.sqrt(SESSIONS_PER_YEAR)


def _sharpe_ratios(
    returns: NDArray[np.float64], trials: int, variance: float
) -> dict[str, float | None]:
    names = ("sharpe", "probabilistic_sharpe", "deflated_sharpe")
    if len(returns) < 2 or np.ptp(returns) == 0:
        return dict.fromkeys(names)
    moments = sharpe_moments(returns)
    values = (
        moments.sharpe * math.sqrt(SESSIONS_PER_YEAR),
        probabilistic_sharpe_ratio(moments),
        deflated_sharpe_ratio(moments, trials=trials, trial_sharpe_variance=variance),
    )
    return dict(zip(names, values, strict=True))


def _worst_drawdown(equity: pl.DataFrame) -> dict[str, object]:
    """The largest drawdown, where it began, was deepest, and was made good."""
    drawdown = equity.get_column("drawdown").to_numpy()
    sessions = equity.get_column(SESSION)
    trough = int(drawdown.argmax())
    if drawdown[trough] <= 0:
        return {"maximum_drawdown": 0.0}
    highs = np.flatnonzero(drawdown[:trough] <= 0)
    recovered = np.flatnonzero(drawdown[trough:] <= 0)
    return {
        "maximum_drawdown": float(drawdown[trough]),
        # Below the initial capital from the first session on, that is where it began.
        "drawdown_peak_session": sessions[int(highs[-1]) if len(highs) else 0],
        "drawdown_trough_session": sessions[trough],
        "drawdown_recovery_session": sessions[trough + int(recovered[0])]
        if len(recovered)
        else None,
    }
