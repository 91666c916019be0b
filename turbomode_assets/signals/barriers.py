"""What is traded on a signal: when and at what price to enter, and where it ends."""

import datetime as dt

import polars as pl

from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.columns import CLASSES, CLOSE, SESSION, SYMBOL
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.labels import lookback_sessions
from turbomode_assets.labels.panel import place_bars
from turbomode_assets.labels.triple_barrier import trailing_volatility
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.signals.decision import BUY, SELL

TRADE_TERMS = pl.Schema(
    {
        "confidence": pl.Float64(),
        "entry_session": pl.Date(),
        "entry_price_estimate": pl.Float64(),
        "profit_take_price": pl.Float64(),
        "stop_loss_price": pl.Float64(),
        "expiry_session": pl.Date(),
    }
)
_KEY = PREDICTIONS.key


def daily_volatility(
    adjusted: pl.DataFrame, span: SessionSpan, rule: TripleBarrierConfig
) -> pl.DataFrame:
    """Volatility that barriers of a span's decisions are set by: symbol, session, volatility.

    The label function's own, of the same forward-adjusted bars: `volatility` of a decision's label
    is the same number. `adjusted` reaches `volatility_window_sessions` sessions further back.
    Missing: no row where a session of the window has no bar, or where it is zero.

    Raises:
        ContractError: columns are missing, a key is doubled, or a day is no session.
    """
    window = rule.volatility_window_sessions
    panel = place_bars(adjusted, span, window)
    calendar = pl.DataFrame({SESSION: panel.sessions}, schema={SESSION: pl.Date})
    symbols = pl.DataFrame({SYMBOL: panel.symbols}, schema={SYMBOL: pl.String})
    values = pl.Series("volatility", trailing_volatility(panel.close, window).ravel())
    rows = symbols.join(calendar, how="cross", maintain_order="left_right").with_columns(values)
    return rows.filter(pl.col("volatility").is_finite(), pl.col("volatility") > 0).filter(
        pl.col(SESSION) >= span.first
    )


def with_trade_terms(
    predictions: pl.DataFrame, market: pl.DataFrame, rule: TripleBarrierConfig
) -> pl.DataFrame:
    """Add TRADE_TERMS to rows of the predictions table, by the rule their model was trained for.

    `market` has symbol, session, close (unadjusted) and volatility of every row.

    Formula: with the close C and the volatility v of the session, the upper barrier is
    C (1 + profit_take v) and the lower one C (1 - stop_loss v). A BUY takes its profit at the upper
    and its loss at the lower one, a SELL the other way round. The label function sets them around
    the entry: C is that where the rule enters at the close, and an estimate of the next open
    elsewhere. Prices are in the unadjusted USD of the session. The confidence is the probability of
    the class that is signalled.
    Missing: HOLD has no barriers.

    Raises:
        MissingDataError: a row has no close or no volatility.
    """
    known = market.select(*_KEY, CLOSE, "volatility")
    rows = predictions.join(known, on=_KEY, how="left", validate="m:1", maintain_order="left")
    unknown = rows.filter(pl.col(CLOSE).is_null() | pl.col("volatility").is_null())
    if unknown.height:
        raise MissingDataError(
            f"signals without a close or a volatility: {describe_rows(unknown, _KEY)}",
            where="signals, barriers",
            fix="signal only symbols that scan_symbols calls tradeable",
        )
    lasts = lookback_sessions(rule) - rule.volatility_window_sessions
    decided = rows.get_column(SESSION).unique().to_list()
    entries = {each: offset_session(each, lasts - rule.horizon_sessions) for each in decided}
    expiries = {each: offset_session(each, lasts) for each in decided}
    said = pl.col("signal")
    upper = pl.col(CLOSE) * (1 + rule.profit_take * pl.col("volatility"))
    lower = pl.col(CLOSE) * (1 - rule.stop_loss * pl.col("volatility"))
    terms = {
        "confidence": pl.coalesce(
            pl.when(said == name).then(pl.col(f"p_{name.lower()}")) for name in CLASSES
        ),
        "entry_session": _looked_up(entries),
        "entry_price_estimate": pl.col(CLOSE),
        "profit_take_price": pl.when(said == BUY).then(upper).when(said == SELL).then(lower),
        "stop_loss_price": pl.when(said == BUY).then(lower).when(said == SELL).then(upper),
        "expiry_session": _looked_up(expiries),
    }
    typed = [terms[name].cast(dtype).alias(name) for name, dtype in TRADE_TERMS.items()]
    return rows.select(*predictions.columns, *typed)


def _looked_up(sessions: dict[dt.date, dt.date]) -> pl.Expr:
    return pl.col(SESSION).replace_strict(sessions, return_dtype=pl.Date)
