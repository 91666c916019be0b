"""The arrays of a made-up market. How they become a vendor's answers is `simulated.py`.

One step is one session (stocks) or one calendar day (crypto). The total return of step t is

    r(t) = sd * (k * scale(t) * s(t-1) + sqrt(1 - k^2) * e(t)),   k = IC / mean(scale)

with sd the symbol's daily volatility, scale the regime's multiple of it (mean square one), s the
hidden signal (AR(1), unit variance) and e unrelated noise of unit variance (market, sector and own
factors times the scale, and jumps). In the long run the correlation of s(t-1) with r(t) is IC, and
the autocorrelation of r at lag n only IC^2 * PERSISTENCE^n. The part that s foretells falls between
the open and the close of t: who decides after t-1 and buys at the open of t still earns it.

The signal shows in candle t as the length of *both* shadows, which alone says nothing of
direction. Shadows that leaned to one side would make barriers be touched on that side more often,
and a market without an edge would look as if it had one.
"""

import datetime as dt
from dataclasses import dataclass, replace

import numpy as np

from turbomode_assets.vendors.simulated.factors import (
    CRYPTO,
    DIVIDEND_EVERY,
    STOCKS,
    Flags,
    Floats,
    MarketKind,
    SymbolDraws,
    Traits,
    autoregress,
    draw_listing_steps,
    draw_symbols,
    draw_traits,
    halts,
    long_run_mean_scale,
    mixed_noise,
    regime_scale,
)

PERSISTENCE = 0.9
"""First-order autocorrelation of the hidden signal: half of it is gone after 6.6 steps."""
SIGNAL_IN_SHADOWS = 0.5
"""One standard deviation of the signal lengthens both shadows by this many log units."""
SHADOW_NOISE = 0.25
SHADOW_LENGTH = 0.25
"""Median shadow in units of the step's volatility."""
SPLIT_PROBABILITY = 1 / 1200
LATE_LISTING_AFTER = (200, 320)
DELISTING_AFTER = (450, 600)


@dataclass(frozen=True)
class Split:
    """New shares per old share from one step on."""

    symbol: int
    step: int
    ratio: float


@dataclass(frozen=True)
class Dividend:
    """Cash per share from one step on, and the rounded close before it."""

    symbol: int
    step: int
    amount: float
    previous_close: float


@dataclass(frozen=True)
class MarketPanel:
    """Arrays [symbols, steps] of raw prices (USD) and shares; NaN where there is no bar."""

    days: tuple[dt.date, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    signal: Floats
    total_return: Floats
    """Log return from close to close, dividends kept and splits undone."""
    splits: tuple[Split, ...]
    dividends: tuple[Dividend, ...]


def simulate_stocks(
    seed: int, days: tuple[dt.date, ...], sectors: list[int], information_coefficient: float
) -> MarketPanel:
    """Stocks on sessions; the last symbol is delisted, the one before it listed late."""
    panel = _simulate(STOCKS, seed, days, sectors, information_coefficient)
    listed_late, last_bar = listing_steps(seed)
    unlisted = np.zeros(panel.close.shape, dtype=bool)
    unlisted[-2, :listed_late] = True
    unlisted[-1, last_bar + 1 :] = True
    return _without(panel, unlisted)


def simulate_crypto(
    seed: int, days: tuple[dt.date, ...], symbols: int, information_coefficient: float
) -> MarketPanel:
    """Crypto on calendar days, with a market factor of its own and no corporate actions."""
    return _simulate(CRYPTO, seed, days, [0] * symbols, information_coefficient)


def listing_steps(seed: int) -> tuple[int, int]:
    """First step of the stock that is listed late, last step of the one that is delisted."""
    return draw_listing_steps(seed, LATE_LISTING_AFTER, DELISTING_AFTER)


def _simulate(
    kind: MarketKind,
    seed: int,
    days: tuple[dt.date, ...],
    sectors: list[int],
    information_coefficient: float,
) -> MarketPanel:
    symbols, steps = len(sectors), len(days)
    traits = draw_traits(kind, seed, symbols)
    draws = draw_symbols(kind, seed, symbols, steps)
    scale = regime_scale(kind, seed, steps)
    signal = autoregress(draws.signal, PERSISTENCE)
    foretold = np.concatenate([np.zeros((symbols, 1)), signal[:, :-1]], axis=1)
    gap_noise, day_noise = mixed_noise(kind, seed, sectors, traits.market_share, draws, scale)
    weight = information_coefficient / long_run_mean_scale()
    rest = np.sqrt(1 - weight**2)
    sd = traits.daily_volatility[:, None]
    gap = sd * rest * gap_noise
    day = sd * (weight * scale * foretold + rest * day_noise)
    halted = halts(draws) if kind.has_events else np.zeros(gap.shape, dtype=bool)
    paths = _Walk(traits, draws, halted, gap, day, kind.has_events)
    high, low = _extremes(paths.open, paths.close, sd * scale, signal, draws)
    panel = MarketPanel(
        days=days,
        open=_round_price(paths.open),
        high=_round_price(high),
        low=_round_price(low),
        close=_round_price(paths.close),
        volume=_volume(paths.close, traits, draws, scale, (gap + day) / sd),
        signal=signal,
        total_return=gap + day,
        splits=tuple(paths.splits),
        dividends=tuple(paths.dividends),
    )
    return _without(panel, halted)


def _extremes(
    open_: Floats, close: Floats, volatility: Floats, signal: Floats, draws: SymbolDraws
) -> tuple[Floats, Floats]:
    """High and low, with shadows that are log-normal around the signal's length."""
    length = SHADOW_LENGTH * volatility * np.exp(SIGNAL_IN_SHADOWS * signal)
    upper = length * np.exp(SHADOW_NOISE * draws.upper_shadow)
    lower = length * np.exp(SHADOW_NOISE * draws.lower_shadow)
    return np.maximum(open_, close) * np.exp(upper), np.minimum(open_, close) * np.exp(-lower)


def _volume(
    close: Floats, traits: Traits, draws: SymbolDraws, scale: Floats, surprise: Floats
) -> Floats:
    """Whole shares; dollar volume is persistent, and larger in turbulence and on big moves."""
    busy = 0.35 * autoregress(draws.volume, 0.8) + 0.6 * np.log(scale) + 0.2 * np.abs(surprise)
    return np.maximum(1.0, np.rint(traits.daily_dollars[:, None] * np.exp(busy) / close))


def _without(panel: MarketPanel, absent: Flags) -> MarketPanel:
    """Take the bars away where `absent`, and the events on and right after such steps."""

    def is_kept(event: Split | Dividend) -> bool:
        return not absent[event.symbol, event.step - 1 : event.step + 1].any()

    return replace(
        panel,
        open=np.where(absent, np.nan, panel.open),
        high=np.where(absent, np.nan, panel.high),
        low=np.where(absent, np.nan, panel.low),
        close=np.where(absent, np.nan, panel.close),
        volume=np.where(absent, np.nan, panel.volume),
        splits=tuple(split for split in panel.splits if is_kept(split)),
        dividends=tuple(dividend for dividend in panel.dividends if is_kept(dividend)),
    )


class _Walk:
    """Unrounded opens and closes, walked forward; events follow from the rounded close before.

    An event needs a bar on its step and on the step before, and no step has two.
    """

    def __init__(
        self,
        traits: Traits,
        draws: SymbolDraws,
        halted: Flags,
        gap: Floats,
        day: Floats,
        has_events: bool,
    ) -> None:
        self.open, self.close = np.empty_like(gap), np.empty_like(gap)
        self.splits: list[Split] = []
        self.dividends: list[Dividend] = []
        level = traits.start_price.copy()
        for t in range(gap.shape[1]):
            if has_events and t > 0:
                free = ~(halted[:, t] | halted[:, t - 1])
                due = free & (t % DIVIDEND_EVERY == traits.dividend_phase)
                due &= traits.quarterly_yield > 0
                self._pay(level, traits.quarterly_yield, np.flatnonzero(due).tolist(), t)
                candidates = free & ~due & (draws.split_chance[:, t] < SPLIT_PROBABILITY)
                chosen = np.flatnonzero(candidates).tolist()
                self._split(level, draws.split_choice[:, t], chosen, t)
            self.open[:, t] = level * np.exp(gap[:, t])
            self.close[:, t] = self.open[:, t] * np.exp(day[:, t])
            level = self.close[:, t].copy()

    def _pay(self, level: Floats, yields: Floats, symbols: list[int], step: int) -> None:
        for i in symbols:
            previous = float(_round_price(level[i : i + 1])[0])
            amount = round(float(yields[i]) * previous, 2)
            if amount >= 0.01:
                self.dividends.append(Dividend(i, step, amount, previous))
                level[i] *= 1 - amount / previous

    def _split(self, level: Floats, choices: Floats, symbols: list[int], step: int) -> None:
        for i in symbols:
            if level[i] > 40:
                ratio = (2.0, 3.0, 1.5)[int(choices[i] * 3)]
            elif level[i] < 4:
                ratio = 0.1
            else:
                continue
            self.splits.append(Split(i, step, ratio))
            level[i] /= ratio


def _round_price(price: Floats) -> Floats:
    """Round to cents, or to four significant digits where a cent is coarser."""
    decimals = np.maximum(2, 3 - np.floor(np.log10(price)))
    unit = 10.0**decimals
    rounded: Floats = np.rint(price * unit) / unit
    return rounded
