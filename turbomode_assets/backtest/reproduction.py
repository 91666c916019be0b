"""Whether a backtest trades what really went out, and as the recorded outcomes say it ended."""

from dataclasses import dataclass

import polars as pl

from turbomode_assets.contracts.columns import SESSION, SIGNAL_KEY, SYMBOL
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.table import describe_rows

_SAID = ["signal", "p_sell", "p_hold", "p_buy"]
_TABLES = "backtest: lake table predictions against signal_history of model memory"
_TOLERANCE = 1e-9
"""Relative: prices of one decision that are written twice differ by rounding alone."""

DIFFERENCE_SCHEMA = pl.Schema(
    {
        SESSION: pl.Date(),
        SYMBOL: pl.String(),
        "model_version": pl.String(),
        "differs_in": pl.String(),
    }
)


@dataclass(frozen=True)
class OutcomeComparison:
    """How many trades have a recorded outcome, and which of them differ: DIFFERENCE_SCHEMA."""

    compared: int
    differing: pl.DataFrame


def require_live_signals(predictions: pl.DataFrame, history: pl.DataFrame) -> None:
    """Refuse stored predictions that are not, to the last digit, the signals that went out.

    `predictions` follows its table; `history` has session, symbol, model_version, role, signal,
    p_sell, p_hold and p_buy of everything that any model said in the same sessions. A champion that
    sent anything in a session sent all that it said there, but for what a challenger sent instead.

    Raises:
        MissingDataError: a prediction has no signal in the history or another one, or signals went
            out, for a session or some symbols of it, of which there is no prediction.
    """
    columns = [*SIGNAL_KEY, *_SAID]
    strangers = predictions.select(columns).join(
        history.select(columns), on=columns, how="anti", nulls_equal=True
    )
    if strangers.height:
        raise MissingDataError(
            f"predictions that are not what went out: {describe_rows(strangers, SIGNAL_KEY)}",
            where=_TABLES,
            fix=_remedy(strangers.get_column(SESSION)),
        )
    lost = history.join(predictions, on=SESSION, how="anti").select(SESSION).unique().sort(SESSION)
    if lost.height:
        raise MissingDataError(
            f"signals went out in sessions without predictions: {describe_rows(lost, [SESSION])}",
            where=_TABLES,
            fix=_remedy(lost.get_column(SESSION)),
        )
    owed = history.filter(pl.col("role") == "champion").join(
        predictions, on=[SESSION, "model_version"], how="semi"
    )
    torn = owed.join(predictions, on=[SESSION, SYMBOL], how="anti").sort(SIGNAL_KEY)
    if torn.height:
        raise MissingDataError(
            f"signals went out without predictions: {describe_rows(torn, SIGNAL_KEY)}",
            where=_TABLES,
            fix=_remedy(torn.get_column(SESSION)),
        )


def compare_outcomes(trades: pl.DataFrame, outcomes: pl.DataFrame) -> OutcomeComparison:
    """Compare closed trades, before slippage, with the outcomes of their signals.

    `trades` are those of a backtest, `outcomes` those known by its last session, with session,
    symbol, model_version, entry_session, exit_session, exit_reason, entry_price and exit_price.
    Prices are compared by their ratio: a late corporate action changes both by one factor.
    """
    closed = trades.filter(pl.col("exit_session").is_not_null()).rename({"signal_session": SESSION})
    both = closed.join(outcomes, on=SIGNAL_KEY, how="inner", suffix="_told", validate="1:1")
    growth = pl.col("quoted_exit_price") / pl.col("quoted_entry_price")
    told = pl.col("exit_price_told") / pl.col("entry_price_told")
    differs = {
        name: pl.col(name) != pl.col(f"{name}_told")
        for name in ("entry_session", "exit_session", "exit_reason")
    } | {"exit_price": (growth / told - 1).abs() > _TOLERANCE}
    named = both.select(
        *SIGNAL_KEY,
        differs_in=pl.concat_str(
            [pl.when(differing).then(pl.lit(name)) for name, differing in differs.items()],
            separator=", ",
            ignore_nulls=True,
        ),
    ).filter(pl.col("differs_in") != "")
    return OutcomeComparison(both.height, named.select(DIFFERENCE_SCHEMA.names()).sort(SIGNAL_KEY))


def _remedy(sessions: pl.Series) -> str:
    ordered = sessions.sort()
    ends = f"{ordered[0]}...{ordered[-1]}"
    return (
        "restore lake and model memory from one backup; or write both anew, as if those signals "
        "had gone out: dagster asset materialize -m turbomode_assets "
        f"--select 'signals,outcomes' --partition-range {ends}"
    )
