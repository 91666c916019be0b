"""Random numbers of the made-up market: traits, signal, regimes, factors and halts.

Every symbol, sector and market draws step by step from a stream of its own, and every recurrence
runs forward in time: a longer horizon appends columns and changes none, another symbol likewise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

REGIME_SCALES = np.array([0.65, 1.0, 1.9])
REGIME_MOVES = np.array([[0.985, 0.015, 0.0], [0.0125, 0.975, 0.0125], [0.0, 0.05, 0.95]])
"""Calm, normal and turbulent: probability of the next step's regime given this step's."""
JUMP_SHARE = 0.05
"""Share of the noise variance that comes in jumps."""
JUMP_PROBABILITY = 0.005
SECTOR_SHARE = 0.1
"""Share of the smooth noise variance that is the sector's."""
HALT_PROBABILITY = 1 / 1500
DIVIDEND_EVERY = 63
DIVIDEND_PAYERS = 0.6

_MARKET, _SECTOR, _TRAITS, _NORMALS, _UNIFORMS, _LISTING = range(6)


@dataclass(frozen=True)
class MarketKind:
    """What sets one kind of market apart from another; ranges are drawn from uniformly."""

    stream: int
    overnight_share: float
    """Share of the smooth noise variance that falls between close and open."""
    yearly_volatility: tuple[float, float]
    steps_per_year: int
    start_price_usd: tuple[float, float]
    """Range of the first price, uniform in its logarithm."""
    has_events: bool
    """Whether there are halts, splits and dividends."""


STOCKS = MarketKind(0, 0.25, (0.18, 0.42), 252, (20.0, 180.0), has_events=True)
CRYPTO = MarketKind(1, 0.01, (0.50, 0.80), 365, (50.0, 20_000.0), has_events=False)


@dataclass(frozen=True)
class Traits:
    """What stays the same for a symbol; arrays [symbols]."""

    daily_volatility: Floats
    market_share: Floats
    start_price: Floats
    daily_dollars: Floats
    quarterly_yield: Floats
    dividend_phase: Integers


@dataclass(frozen=True)
class SymbolDraws:
    """Independent draws of each symbol and step; arrays [symbols, steps]."""

    signal: Floats
    overnight: Floats
    daytime: Floats
    jump: Floats
    upper_shadow: Floats
    lower_shadow: Floats
    volume: Floats
    jump_chance: Floats
    halt_chance: Floats
    halt_length: Floats
    split_chance: Floats
    split_choice: Floats


def stream(seed: int, *path: int) -> np.random.Generator:
    """Return the stream of random numbers of one thing."""
    # A seed may be negative; entropy may not.
    return np.random.default_rng([seed % 2**64, *path])


def draw_traits(kind: MarketKind, seed: int, symbols: int) -> Traits:
    """Traits of each symbol."""
    traits = Traits(
        daily_volatility=np.zeros(symbols),
        market_share=np.zeros(symbols),
        start_price=np.zeros(symbols),
        daily_dollars=np.zeros(symbols),
        quarterly_yield=np.zeros(symbols),
        dividend_phase=np.zeros(symbols, dtype=np.int64),
    )
    for i in range(symbols):
        drawn = stream(seed, kind.stream, _TRAITS, i)
        yearly = drawn.uniform(*kind.yearly_volatility)
        traits.daily_volatility[i] = yearly / np.sqrt(kind.steps_per_year)
        traits.market_share[i] = drawn.uniform(0.1, 0.3)
        low, high = kind.start_price_usd
        traits.start_price[i] = np.exp(drawn.uniform(np.log(low), np.log(high)))
        traits.daily_dollars[i] = np.exp(drawn.normal(np.log(2e8), 0.7))
        pays = kind.has_events and drawn.random() < DIVIDEND_PAYERS
        traits.quarterly_yield[i] = drawn.uniform(0.01, 0.04) / 4 if pays else 0.0
        traits.dividend_phase[i] = drawn.integers(DIVIDEND_EVERY)
    return traits


def draw_symbols(kind: MarketKind, seed: int, symbols: int, steps: int) -> SymbolDraws:
    """Seven standard normals and five uniforms for each symbol and step."""
    normals, uniforms = np.empty((7, symbols, steps)), np.empty((5, symbols, steps))
    for i in range(symbols):
        normals[:, i] = stream(seed, kind.stream, _NORMALS, i).standard_normal((steps, 7)).T
        uniforms[:, i] = stream(seed, kind.stream, _UNIFORMS, i).random((steps, 5)).T
    return SymbolDraws(*normals, *uniforms)


def draw_listing_steps(
    seed: int, late: tuple[int, int], delisting: tuple[int, int]
) -> tuple[int, int]:
    """Step of the late listing and step of the last bar before the delisting."""
    drawn = stream(seed, STOCKS.stream, _LISTING)
    return int(drawn.integers(*late)), int(drawn.integers(*delisting))


def autoregress(innovations: Floats, persistence: float) -> Floats:
    """Stationary AR(1) with unit variance along the steps."""
    values = np.empty_like(innovations)
    fresh = np.sqrt(1 - persistence**2)
    values[:, 0] = innovations[:, 0]
    for t in range(1, innovations.shape[1]):
        values[:, t] = persistence * values[:, t - 1] + fresh * innovations[:, t]
    return values


def long_run_mean_scale() -> float:
    """Mean of the volatility scale; below one, as its mean square is one."""
    return float(_stationary_shares() @ _normalised_scales())


def regime_scale(kind: MarketKind, seed: int, steps: int) -> Floats:
    """Volatility multiple of each step, with a mean square of one in the long run."""
    chances = stream(seed, kind.stream, _MARKET, 0).random(steps)
    thresholds = REGIME_MOVES.cumsum(axis=1)
    edges = _stationary_shares().cumsum()
    regimes = np.empty(steps, dtype=np.int64)
    for t in range(steps):
        # The last edge may fall short of one by a rounding error.
        regimes[t] = min(int(np.searchsorted(edges, chances[t], side="right")), 2)
        edges = thresholds[regimes[t]]
    return _normalised_scales()[regimes]


def mixed_noise(
    kind: MarketKind,
    seed: int,
    sectors: list[int],
    market_share: Floats,
    draws: SymbolDraws,
    scale: Floats,
) -> tuple[Floats, Floats]:
    """Noise between close and open and between open and close; their sum has unit variance."""
    steps = len(scale)
    market = stream(seed, kind.stream, _MARKET, 1).standard_normal((steps, 2)).T
    by_sector = {
        sector: stream(seed, kind.stream, _SECTOR, sector).standard_normal((steps, 2)).T
        for sector in sorted(set(sectors))
    }
    on_market = market_share[:, None]
    smooth = (1 - JUMP_SHARE) * np.array([kind.overnight_share, 1 - kind.overnight_share])
    parts = []
    for part, own in enumerate((draws.overnight, draws.daytime)):
        of_sector = np.array([by_sector[sector][part] for sector in sectors]).reshape(own.shape)
        mixed = (
            np.sqrt(on_market) * market[part]
            + np.sqrt(SECTOR_SHARE) * of_sector
            + np.sqrt(1 - on_market - SECTOR_SHARE) * own
        )
        parts.append(np.sqrt(smooth[part]) * scale * mixed)
    jump_size = np.sqrt(JUMP_SHARE / JUMP_PROBABILITY)
    jumps = (draws.jump_chance < JUMP_PROBABILITY) * draws.jump * jump_size
    return parts[0] + jumps, parts[1]


def halts(draws: SymbolDraws) -> Flags:
    """Steps without trading: one to three in a row, never the first."""
    begins = draws.halt_chance < HALT_PROBABILITY
    begins[:, :1] = False
    halted = begins.copy()
    for further, chance in ((1, 0.5), (2, 0.2)):
        longer = begins & (draws.halt_length < chance)
        halted[:, further:] |= longer[:, : longer.shape[1] - further]
    return halted


def _stationary_shares() -> Floats:
    """Long-run share of the steps spent in each regime."""
    # Regimes move to neighbours only, so the flow up and the flow down between two are equal.
    normal = REGIME_MOVES[0, 1] / REGIME_MOVES[1, 0]
    turbulent = normal * REGIME_MOVES[1, 2] / REGIME_MOVES[2, 1]
    shares: Floats = np.array([1.0, normal, turbulent]) / (1.0 + normal + turbulent)
    return shares


def _normalised_scales() -> Floats:
    scales: Floats = REGIME_SCALES / np.sqrt(_stationary_shares() @ REGIME_SCALES**2)
    return scales
