"""What became of each decision: profit barrier, stop barrier, or neither.

López de Prado (2018), Advances in Financial Machine Learning, section 3.4, on daily bars.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.labels.panel import Delistings, PricePanel, place_bars, place_delistings
from turbomode_assets.sessions import SessionSpan, session_index

SELL, HOLD, BUY = 0, 1, 2
REASONS = ("profit_take", "stop_loss", "expiry", "delisting")
_PROFIT, _STOP, _EXPIRY, _DELISTING = range(4)
_LABEL_OF_REASON = np.array([BUY, SELL, HOLD, HOLD], dtype=np.int8)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def lookback_sessions(config: TripleBarrierConfig) -> int:
    """How many sessions of bars before `known_in.first` a label known there may read."""
    return _entry_lag(config) + config.horizon_sessions + config.volatility_window_sessions


def triple_barrier(
    bars: pl.DataFrame,
    config: TripleBarrierConfig,
    *,
    known_in: SessionSpan,
    delistings: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Outcomes that became known in a span of sessions, in the `labels` contract.

    `bars` has symbol, session, open, high, low, close, forward-adjusted; one row for each symbol
    and session, other columns and sessions outside the look-back are not read. `delistings` has
    symbol, last_session and knowledge_session (both dates of sessions).

    A decision at the close of T enters at the open of the next session (or at that close, with
    entry="close"). Its barriers are entry x (1 + profit_take x v) and entry x (1 - stop_loss x v),
    v being the standard deviation (ddof 1) of the log close-to-close returns of the last
    `volatility_window_sessions` sessions up to T. The vertical barrier is the close of the session
    `horizon_sessions` after the entry session. The first of these ends it:

    - an open beyond a barrier, after the entry: exits at that open;
    - a low at or below the stop: exits at the stop, also when the high touches too;
    - a high at or above the profit barrier: exits there;
    - a delisting before the vertical barrier: exits at the last bar's close, known at the later of
      the last session and the session on which the delisting became known. One that becomes known
      only after the vertical barrier changes nothing;
    - the vertical barrier: exits at the last close up to it.

    A session without a bar after the entry is passed over. There is no label without a bar in
    every session of the volatility window, without a bar on the entry session, without any bar
    after an entry at the close, or where v is zero.

    Raises:
        ContractError: columns are missing, a key is doubled, or a day is no session.
    """
    panel = place_bars(bars, known_in, lookback_sessions(config))
    gone = place_delistings(delistings, panel)
    volatility = trailing_volatility(panel.close, config.volatility_window_sessions)
    outcome = _resolve(panel, config, volatility, gone)
    first_known = session_index(known_in.first) - panel.first_index
    chosen = outcome.known >= first_known
    return _label_rows(panel, outcome, volatility, chosen, _entry_lag(config))


def trailing_volatility(close: Floats, window: int) -> Floats:
    """Standard deviation (ddof 1) of the last `window` log returns of each row.

    NaN where one of the window + 1 closes is missing. The terms are added in the order of their
    age, so that a value does not depend, to the last bit, on where the array begins.
    """
    returns = np.diff(np.log(close), axis=1)
    result = np.full(close.shape, np.nan)
    count = returns.shape[1] - window + 1
    if count <= 0:
        return result
    aged = [returns[:, offset : offset + count] for offset in range(window)]
    mean = np.zeros((close.shape[0], count))
    for values in aged:
        mean += values
    mean /= window
    squares = np.zeros_like(mean)
    for values in aged:
        squares += (values - mean) ** 2
    result[:, window:] = np.sqrt(squares / (window - 1))
    return result


@dataclass
class _Outcome:
    """Arrays [symbols, decision sessions]; positions count panel columns, -1 where unresolved."""

    entry: Floats
    known: Integers
    exit: Integers
    exit_price: Floats
    reason: Integers

    @classmethod
    def unresolved(cls, entry: Floats) -> "_Outcome":
        def nowhere() -> Integers:
            return np.full(entry.shape, -1, dtype=np.int64)

        return cls(entry, nowhere(), nowhere(), np.full(entry.shape, np.nan), nowhere())

    def settle(
        self, where: NDArray[np.bool_], *, known: Integers, at: Integers, price: Floats, reason: int
    ) -> None:
        """End the open decisions of `where`."""
        ends = where & (self.reason < 0)
        for values, news in ((self.known, known), (self.exit, at), (self.exit_price, price)):
            np.copyto(values, news, where=ends)
        self.reason[ends] = reason


def _entry_lag(config: TripleBarrierConfig) -> int:
    return 1 if config.entry == "next_open" else 0


def _resolve(
    panel: PricePanel, config: TripleBarrierConfig, volatility: Floats, gone: Delistings
) -> _Outcome:
    """Follow every decision of the panel bar by bar until it ends or the panel does."""
    sessions = panel.close.shape[1]
    lag = _entry_lag(config)
    decided = np.isfinite(volatility) & (volatility > 0)
    entry = _ahead(panel.open, 1) if lag else panel.close
    outcome = _Outcome.unresolved(np.where(decided, entry, np.nan))
    profit = outcome.entry * (1 + config.profit_take * volatility)
    stop = outcome.entry * (1 - config.stop_loss * volatility)
    last_close = np.full(entry.shape, np.nan)
    last_bar = np.full(entry.shape, -1, dtype=np.int64)
    decision = np.broadcast_to(np.arange(sessions), entry.shape)
    expiry = decision + lag + config.horizon_sessions
    # Told in time: by the vertical barrier both the end and the news of it have happened.
    told = np.maximum(gone.last, gone.known)[:, None]
    delisted = (gone.last[:, None] < expiry) & (told <= expiry)
    for step in range(1, lag + config.horizon_sessions + 1):
        now = decision + step
        is_entry_bar = step == lag
        at_open, high, low, close = (_ahead(values, step) for values in panel.prices)
        touches = [
            (at_open >= profit, at_open, _PROFIT),
            (at_open <= stop, at_open, _STOP),
            (low <= stop, stop, _STOP),
            (high >= profit, profit, _PROFIT),
        ]
        for touched, price, reason in touches[2:] if is_entry_bar else touches:
            outcome.settle(touched, known=now, at=now, price=price, reason=reason)
        present = np.isfinite(close)
        np.copyto(last_close, close, where=present)
        np.copyto(last_bar, now, where=present)
        can_end = np.isfinite(outcome.entry) & (last_bar >= 0) & (now < sessions)
        for due, reason in ((delisted & (now >= told), _DELISTING), (now == expiry, _EXPIRY)):
            outcome.settle(can_end & due, known=now, at=last_bar, price=last_close, reason=reason)
    return outcome


def _ahead(values: Floats, steps: int) -> Floats:
    """Values `steps` columns later; NaN past the end."""
    shifted = np.full(values.shape, np.nan)
    if steps < values.shape[1]:
        shifted[:, : values.shape[1] - steps] = values[:, steps:]
    return shifted


def _label_rows(
    panel: PricePanel,
    outcome: _Outcome,
    volatility: Floats,
    chosen: NDArray[np.bool_],
    lag: int,
) -> pl.DataFrame:
    rows, columns = np.nonzero(chosen)
    reasons = outcome.reason[rows, columns]
    entry, exit_price = outcome.entry[rows, columns], outcome.exit_price[rows, columns]
    calendar = pl.Series(panel.sessions, dtype=pl.Date)
    frame = pl.DataFrame(
        {
            "symbol": pl.Series(panel.symbols, dtype=pl.String).gather(rows),
            "session": calendar.gather(outcome.known[rows, columns]),
            "decision_session": calendar.gather(columns),
            "entry_session": calendar.gather(columns + lag),
            "exit_session": calendar.gather(outcome.exit[rows, columns]),
            "label": _LABEL_OF_REASON[reasons],
            "exit_reason": pl.Series(REASONS).gather(reasons),
            "entry_price": entry,
            "exit_price": exit_price,
            "return": exit_price / entry - 1,
            "volatility": volatility[rows, columns],
        }
    )
    return frame.select(LABELS.column_names).sort(LABELS.sort_by)
