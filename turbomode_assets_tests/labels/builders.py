"""Bars written by hand: one row for each session, in order."""

import datetime as dt
from collections.abc import Sequence

import polars as pl

from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.tables import BARS
from turbomode_assets.sessions import offset_session

FIRST = dt.date(2015, 3, 2)
BAR_COLUMNS = (*BARS.key, *PRICES)
Bar = tuple[float, float, float, float]

CONFIG = TripleBarrierConfig(
    profit_take=2.0,
    stop_loss=1.0,
    horizon_sessions=3,
    volatility_window_sessions=5,
    entry="next_open",
)

RUN_UP = (100.0, 102.0, 100.0, 102.0, 100.0, 102.0)
"""Closes up to the decision, whose returns are +r, -r, +r, -r, +r with r = ln 1.02."""
VOLATILITY = 0.0216926913
"""r * sqrt(24 / 20): mean r / 5, squares 3 (4r/5)^2 + 2 (6r/5)^2 = 4.8 r^2, over 4."""


def session(number: int) -> dt.date:
    """The session `number` sessions after the first bar."""
    return offset_session(FIRST, number)


DECISION = session(5)


def flat(close: float) -> Bar:
    """A bar without a range."""
    return (close, close, close, close)


def bars(rows: Sequence[Bar | None], symbol: str = "AAA") -> pl.DataFrame:
    """Bars of consecutive sessions; None leaves one out."""
    present = [
        {"symbol": symbol, "session": session(n), **dict(zip(PRICES, row, strict=True))}
        for n, row in enumerate(rows)
        if row is not None
    ]
    schema = {name: dtype for name, dtype in BARS.schema.items() if name in BAR_COLUMNS}
    return pl.DataFrame(present, schema=schema)


def after_run_up(*rows: Bar | None, symbol: str = "AAA") -> pl.DataFrame:
    """The run-up, whose last session is the decision, and the bars that follow."""
    return bars([*(flat(close) for close in RUN_UP), *rows], symbol)
