"""Rare events of symbols and sessions: what counts as one, and the archive that keeps them."""

import bisect
import datetime as dt

import numpy as np
import polars as pl

from turbomode_assets.config.learning import DynamicArchiveUpdatesConfig, RareEventArchiveConfig
from turbomode_assets.contracts.columns import CLOSE, HIGH, LOW, OPEN, SESSION, SYMBOL, VOLUME
from turbomode_assets.labels.market_grid import (
    Floats,
    MarketGrid,
    index_returns,
    lay_out,
    previous,
    trailing_deviation,
    trailing_mean,
)
from turbomode_assets.sessions import offset_session, session_index, session_indices

RARE_EVENT_KINDS = ("crash", "circuit_breaker", "gap", "volatility_spike", "volume_shock")
RARE_EVENT_SCHEMA = pl.Schema(
    {
        SESSION: pl.Date(),
        SYMBOL: pl.String(),
        "kind": pl.String(),
        "magnitude": pl.Float64(),
        "threshold": pl.Float64(),
    }
)
_KEY = [SESSION, SYMBOL, "kind"]
_AT = "at"


def detect_rare_events(adjusted: pl.DataFrame, config: RareEventArchiveConfig) -> pl.DataFrame:
    """Events of every symbol and session, sorted by (session, symbol, kind).

    `adjusted` has symbol, session, open, high, low, close and volume, forward-adjusted. An event is
    known at the close of its session; the window is the `window_sessions` sessions before it.

    Formula: the magnitude is, and is at least the threshold of its kind,

    - crash: (previous close - close) / previous close;
    - circuit_breaker: the same fall of the equal-weighted index (exp of the mean log return of the
      symbols), a row for each symbol with a bar in that session;
    - gap: |open / previous close - 1| over the standard deviation (ddof 1) of the window's
      returns from close to close;
    - volatility_spike: the true range, max(high, previous close) - min(low, previous close), over
      its mean in the window;
    - volume_shock: the volume over its mean in the window.

    Missing: no event without the previous session's bar (volume_shock: without this session's
    volume), where the window lacks a value in a session, or where what is divided by is 0.

    Raises:
        ContractError: columns are missing, there is no bar, or a symbol has two in a session.
        InputError: a day is missing or no session.
    """
    grid = lay_out(adjusted, (OPEN, HIGH, LOW, CLOSE, VOLUME), where="detect_rare_events")
    thresholds = (
        config.crash_return,
        config.circuit_breaker_return,
        config.gap_deviations,
        config.volatility_spike_ratio,
        config.volume_shock_ratio,
    )
    calendar = pl.Series(grid.sessions, dtype=pl.Date)
    symbols = pl.Series(grid.symbols, dtype=pl.String)
    found = []
    for kind, magnitude, threshold in zip(
        RARE_EVENT_KINDS, _magnitudes(grid, config.window_sessions), thresholds, strict=True
    ):
        rows, columns = np.nonzero(np.isfinite(magnitude) & (magnitude >= threshold))
        events = {
            SESSION: calendar.gather(columns),
            SYMBOL: symbols.gather(rows),
            "kind": pl.repeat(kind, len(rows), eager=True),
            "magnitude": magnitude[rows, columns],
            "threshold": pl.repeat(threshold, len(rows), dtype=pl.Float64, eager=True),
        }
        found.append(pl.DataFrame(events, schema=RARE_EVENT_SCHEMA))
    return pl.concat(found).sort(_KEY)


def _magnitudes(grid: MarketGrid, window: int) -> tuple[Floats, ...]:
    """Magnitude [symbols, sessions] of each kind, in the order of RARE_EVENT_KINDS."""
    open_, high, low, close, volume = (
        grid.columns[name] for name in (OPEN, HIGH, LOW, CLOSE, VOLUME)
    )
    before = previous(close)
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = (before - close) / before
        market_fall = np.where(np.isfinite(close), -np.expm1(index_returns(close)), np.nan)
        deviation = previous(trailing_deviation(close / before - 1, window))
        gap = np.abs(open_ / before - 1) / deviation
        true_range = np.maximum(high, before) - np.minimum(low, before)
        spike = true_range / previous(trailing_mean(true_range, window))
        shock = volume / previous(trailing_mean(volume, window))
    return fall, market_fall, gap, spike, shock


def first_detectable_session(adjusted: pl.DataFrame, config: RareEventArchiveConfig) -> dt.date:
    """Return the first session in which these bars could show an event of every kind.

    `window_sessions` + 1 sessions after the first bar: returns and true ranges of the window need
    the close before it. Of earlier sessions, what is detected is not all there was.

    Raises:
        ContractError: columns are missing, or there is no bar.
    """
    grid = lay_out(adjusted, (), where="first_detectable_session")
    return offset_session(grid.sessions[0], config.window_sessions + 1)


def update_archive(
    archive: pl.DataFrame,
    detected: pl.DataFrame,
    config: DynamicArchiveUpdatesConfig,
    *,
    as_of: dt.date,
    since: dt.date,
) -> pl.DataFrame:
    """Return the archive as it stands at a session, sorted by (session, symbol, kind).

    `since` is the first session in which every event could be detected. From there on only what is
    detected counts: what was archived there and is detected no more was made of other bars or
    thresholds. Events after `as_of`, archived ones too, are left out, and those more than
    `retention_sessions` before it. Then, of each symbol and kind, the largest event stands for all
    within `minimum_gap_sessions` of it, then the largest of the rest, and so on (of equal ones the
    earlier). Beyond `capacity_events` stay the largest, as multiples of their thresholds (in which
    kinds compare), or the newest.

    Detected events come first in both: what stays of them is what would stay beside an empty
    archive, and archived ones fill what room is left. The same call on its own result changes
    nothing.
    """
    gap, capacity = config.minimum_gap_sessions, config.capacity_events
    detected = _current(detected, config, as_of)
    earlier = _current(archive, config, as_of).filter(pl.col(SESSION) < since)
    merged = _merged(detected, gap, beside=detected.clear())
    stands = _within(capacity, merged, config)
    filled = _within(capacity - stands.height, _merged(earlier, gap, beside=stands), config)
    return pl.concat([stands, filled]).select(RARE_EVENT_SCHEMA.names()).sort(_KEY)


def _current(
    events: pl.DataFrame, config: DynamicArchiveUpdatesConfig, as_of: dt.date
) -> pl.DataFrame:
    """Events of the retained sessions up to `as_of`, with their place in the calendar."""
    at = session_indices(events.get_column(SESSION))
    today = session_index(as_of)
    placed = events.select(RARE_EVENT_SCHEMA.names()).with_columns(at.alias(_AT))
    return placed.filter(pl.col(_AT).is_between(today - config.retention_sessions, today))


def _merged(events: pl.DataFrame, gap: int, *, beside: pl.DataFrame) -> pl.DataFrame:
    """Leave out what lies within the gap of an event `beside`, or of a larger one that stays.

    Taken largest first, not as chains of neighbours: leaving out what was left out before then
    changes nothing, which is what makes an update repeatable.
    """
    ranked = events.sort(
        "magnitude", SESSION, SYMBOL, "kind", descending=[True, False, False, False]
    )
    kept: dict[tuple[str, str], list[int]] = {}
    for symbol, kind, at in beside.sort(_AT).select(SYMBOL, "kind", _AT).iter_rows():
        kept.setdefault((symbol, kind), []).append(at)
    stays = []
    for symbol, kind, at in ranked.select(SYMBOL, "kind", _AT).iter_rows():
        others = kept.setdefault((symbol, kind), [])
        place = bisect.bisect_left(others, at)
        near = others[max(place - 1, 0) : place + 1]
        stays.append(all(abs(at - other) > gap for other in near))
        if stays[-1]:
            others.insert(place, at)
    return ranked.filter(pl.Series(stays, dtype=pl.Boolean))


def _within(
    capacity: int, events: pl.DataFrame, config: DynamicArchiveUpdatesConfig
) -> pl.DataFrame:
    size = pl.col("magnitude") / pl.col("threshold")
    order = [size, pl.col(_AT)] if config.keep == "largest" else [pl.col(_AT), size]
    ranked = events.sort(*order, SYMBOL, "kind", descending=[True, True, False, False])
    return ranked.head(capacity)
