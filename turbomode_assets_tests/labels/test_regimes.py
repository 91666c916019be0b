import datetime as dt
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.learning import RegimeLabelingConfig
from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.labels import REGIMES, market_regimes
from turbomode_assets_tests.config.builders import shipped
from turbomode_assets_tests.labels.builders import bars, flat, session

CONFIG = RegimeLabelingConfig(
    trend_window_sessions=3,
    trend_threshold=0.05,
    volatility_window_sessions=3,
    volatility_history_sessions=20,
    high_volatility_quantile=0.7,
)


def closes_of(symbol: str, closes: Sequence[float | None]) -> pl.DataFrame:
    return bars([None if close is None else flat(close) for close in closes], symbol)


def regimes_of(*frames: pl.DataFrame, config: RegimeLabelingConfig = CONFIG) -> list[str | None]:
    return market_regimes(pl.concat(frames), config)["regime"].to_list()


def random_market(seed: int, *, sessions: int = 60, missing: float = 0.05) -> pl.DataFrame:
    """Three symbols with holes, calm and stormy by turns, and the first session complete."""
    rng = np.random.default_rng(seed)
    storms = np.where(np.arange(sessions) // 12 % 3 == 1, 0.05, 0.015)
    frames = []
    for symbol in ("AAA", "BBB", "CCC"):
        closes = 40 * np.exp(np.cumsum(rng.normal(0.001, storms)))
        gone = rng.random(sessions) < missing
        frames.append(
            closes_of(symbol, [None if hole else c for hole, c in zip(gone, closes, strict=True)])
        )
    return pl.concat(frames)


def test_the_regimes_of_a_market_worked_by_hand():
    # Moves in units of ln 1.02. Standard deviations of the last 3, from session 3 on: 0 0 0 1.155 1
    # .577 0 1.155 1.528 .577 .577 0 .577; 3 steps of 2 % are a trend of more than 5 %, 2 are not.
    steps = [0, 0, 0, 0, 0, 2, 1, 1, 1, -1, -2, -1, -1, -1, 0]
    closes = 100 * 1.02 ** np.concatenate([[0], np.cumsum(steps)])
    config = CONFIG.model_copy(update={"high_volatility_quantile": 0.75})
    assert regimes_of(closes_of("AAA", closes), config=config) == [
        *[None] * 5,  # the history holds 3 deviations from session 5 on
        "sideways",  # all of them are 0: none lies below another
        "high_volatility",  # 3 of 4 lie below: the quantile itself is enough
        *["bull"] * 3,  # 3 of 5 and fewer lie below
        *["high_volatility"] * 2,  # at least 6 of 8, and 8 of 9
        *["bear"] * 3,
        "sideways",
    ]


def test_the_index_weighs_symbols_equally_and_only_those_with_both_closes():
    # AAA doubles every session and BBB halves: the index stands still.
    up = closes_of("AAA", [100 * 2.0**n for n in range(9)])
    down = closes_of("BBB", [7 / 2.0**n for n in range(9)])
    assert regimes_of(up, down)[5:] == ["sideways"] * 4
    assert regimes_of(up)[5:] == ["bull"] * 4
    # A hole takes BBB out of two sessions' moves; AAA alone then makes the trend.
    holed = closes_of("BBB", [7 / 2.0**n if n != 7 else None for n in range(9)])
    assert regimes_of(up, holed)[8] != "sideways"


def test_a_session_of_no_return_empties_the_windows_that_hold_it():
    closes: list[float | None] = [100 * 2.0**n for n in range(16)]
    closes[8] = None
    found = market_regimes(closes_of("AAA", closes), CONFIG)
    assert session(8) not in found["session"].to_list()
    # Sessions 8 and 9 have no return, so that windows of 3 are full again at session 12.
    named = dict(found.iter_rows())
    assert [named[session(n)] for n in (7, 9, 10, 11, 12)] == ["bull", None, None, None, "bull"]


def test_a_young_store_gets_regimes_as_soon_as_the_windows_are_full():
    config = RegimeLabelingConfig.model_validate(
        shipped("turbomode_training_config.json")["regime_labeling"]
    )
    rng = np.random.default_rng(0)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 120)))
    found = regimes_of(closes_of("AAA", closes), config=config)
    assert found[: config.trend_window_sessions] == [None] * config.trend_window_sessions
    assert None not in found[config.trend_window_sessions :]


def test_a_history_shorter_than_the_volatility_window_needs_to_be_full_only():
    config = CONFIG.model_copy(update={"volatility_window_sessions": 25})
    found = market_regimes(random_market(1, missing=0), config)["regime"]
    assert found.is_null().sum() == 25 + 19


@given(st.integers(0, 2**32 - 1), st.integers(8, 58))
@settings(max_examples=15)
def test_later_bars_change_no_regime(seed, cut):
    market = random_market(seed)
    until = pl.col("session") <= session(cut)
    whole = market_regimes(market, CONFIG)
    assert market_regimes(market.filter(until), CONFIG).equals(whole.filter(until))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
@settings(max_examples=15)
def test_bars_before_the_windows_change_no_regime(seed, cut):
    market = random_market(seed)
    since = session(cut + CONFIG.volatility_history_sessions + CONFIG.volatility_window_sessions)
    whole = market_regimes(market, CONFIG)
    late = market_regimes(market.filter(pl.col("session") >= session(cut)), CONFIG)
    assert late.filter(pl.col("session") >= since).equals(whole.filter(pl.col("session") >= since))


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
@settings(max_examples=15)
def test_the_scale_of_a_symbol_and_the_order_of_rows_change_nothing(seed, scale):
    market = random_market(seed)
    scaled = market.with_columns(
        close=pl.when(pl.col("symbol") == "BBB").then(pl.col("close") * scale).otherwise("close")
    )
    whole = market_regimes(market, CONFIG)
    assert market_regimes(scaled, CONFIG).equals(whole)
    assert market_regimes(market.sample(fraction=1, shuffle=True, seed=seed), CONFIG).equals(whole)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_every_session_of_the_input_has_one_row_in_order(seed):
    market = random_market(seed, missing=0.4)
    found = market_regimes(market, CONFIG)
    assert found["session"].to_list() == sorted(set(market["session"]))
    assert found.schema == {"session": pl.Date, "regime": pl.String}
    assert set(found["regime"].drop_nulls()) <= set(REGIMES)


EFFECTS: dict[str, object] = {
    "regime_labeling.trend_window_sessions": 9,
    "regime_labeling.trend_threshold": 0.01,
    "regime_labeling.volatility_window_sessions": 6,
    "regime_labeling.volatility_history_sessions": 40,
    "regime_labeling.high_volatility_quantile": 0.95,
}


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_changes_the_regimes(key):
    market = random_market(7)
    config = CONFIG.model_copy(update={key.split(".")[1]: EFFECTS[key]})
    changed = RegimeLabelingConfig.model_validate(config.model_dump())
    late = pl.col("session") > session(30)
    # Compared where both have full windows: a key must do more than move the first regime.
    before, after = (market_regimes(market, each).filter(late) for each in (CONFIG, changed))
    assert not before["regime"].is_null().all()
    assert not before.equals(after)


def test_no_key_is_without_its_effect():
    assert {key.split(".")[1] for key in EFFECTS} == set(RegimeLabelingConfig.model_fields)


def test_bars_that_make_no_index_are_refused():
    good = closes_of("AAA", [1.0, 2.0])
    with pytest.raises(ContractError, match="missing columns: close"):
        market_regimes(good.drop("close"), CONFIG)
    with pytest.raises(ContractError, match="there is no bar"):
        market_regimes(good.clear(), CONFIG)
    with pytest.raises(ContractError, match="doubled bars: symbol=AAA session=2015-03-02"):
        market_regimes(pl.concat([good, good.head(1)]), CONFIG)
    weekend = good.with_columns(session=pl.lit(dt.date(2015, 3, 7)))
    with pytest.raises(InputError, match="2015-03-07"):
        market_regimes(weekend.head(1), CONFIG)
