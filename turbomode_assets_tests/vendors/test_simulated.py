import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import SessionSpan, is_session, offset_session
from turbomode_assets.vendors import Candles, NoData, VendorFailure
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA
from turbomode_assets.vendors.simulated.factors import long_run_mean_scale
from turbomode_assets.vendors.simulated.vendor import (
    GICS_SECTORS,
    SimulatedVendor,
    market_panel,
)
from turbomode_assets_tests.vendors.builders import request, simulated_config

THREE_YEARS = SessionSpan(dt.date(2012, 1, 3), dt.date(2014, 12, 31))
MANY = simulated_config(stocks=60, crypto=2, edge_information_coefficient=0.15)
LATE = dt.date(2023, 12, 29)


@pytest.fixture(scope="module")
def vendor():
    return SimulatedVendor(simulated_config(stocks=22, crypto=2))


def candles(vendor, symbol, span=THREE_YEARS, calendar="XNYS"):
    answer = vendor.fetch_candles(request(symbol, span, calendar))
    assert isinstance(answer, Candles)
    return answer.frame


def test_the_universe_has_stocks_in_every_sector_and_coins_in_none(vendor):
    frame = vendor.fetch_metadata().frame
    assert frame.height == 24
    assert frame["symbol"].head(2).to_list() == ["SIM001", "SIM002"]
    assert set(frame["sector"].drop_nulls()) == set(GICS_SECTORS)
    coins = frame.filter(pl.col("calendar") == "24/7")
    assert coins["symbol"].to_list() == ["SIMC1-USD", "SIMC2-USD"]
    assert coins["sector"].null_count() == 2


def test_prices_are_raw_and_bars_are_sound(vendor):
    answer = vendor.fetch_candles(request("SIM001", THREE_YEARS))
    assert (answer.adjustment, answer.adjusted_as_of) == ("raw", None)
    frame = answer.frame
    assert frame.schema == CANDLE_SCHEMA
    assert (frame["low"] > 0).all()
    assert frame.filter(
        (pl.col("low") > pl.min_horizontal("open", "close"))
        | (pl.col("high") < pl.max_horizontal("open", "close"))
    ).is_empty()
    assert (frame["volume"] >= 1).all()
    assert frame["close"].equals(frame["close"].round(2))


def test_stocks_trade_on_sessions_and_coins_on_every_day(vendor):
    stock_days = candles(vendor, "SIM001")["ts"].dt.date()
    assert all(is_session(day) for day in stock_days)
    coin = candles(vendor, "SIMC1-USD", calendar="24/7")["ts"]
    assert coin[0] == dt.datetime(2011, 12, 31, tzinfo=dt.UTC)
    assert (coin.diff().drop_nulls() == dt.timedelta(days=1)).all()


@given(st.integers(0, 700), st.integers(0, 60))
@settings(max_examples=20)
def test_any_span_gives_the_same_rows(first, length):
    vendor = SimulatedVendor(simulated_config())
    begin = offset_session(THREE_YEARS.first, first)
    span = SessionSpan(begin, min(offset_session(begin, length), THREE_YEARS.last))
    for symbol, calendar in (("SIM001", "XNYS"), ("SIMC1-USD", "24/7")):
        whole = candles(vendor, symbol, calendar=calendar)
        day = whole["ts"].dt.date()
        inside = whole.filter((day >= span.first_day) & (day <= span.last))
        answer = vendor.fetch_candles(request(symbol, span, calendar))
        if inside.is_empty():
            assert isinstance(answer, NoData)
        else:
            assert answer.frame.equals(inside)


def test_a_longer_horizon_changes_no_earlier_value():
    config = simulated_config(stocks=6)
    short, long = (market_panel(config, "XNYS", dt.date(year, 6, 1)) for year in (2014, 2019))
    steps = len(short.days)
    for name in ("open", "high", "low", "close", "volume", "signal", "total_return"):
        assert np.array_equal(getattr(short, name), getattr(long, name)[:, :steps], equal_nan=True)
    assert short.splits == tuple(split for split in long.splits if split.step < steps)
    assert short.dividends == tuple(paid for paid in long.dividends if paid.step < steps)


def test_the_same_seed_gives_the_same_market_and_another_seed_another():
    one, same, other = (
        candles(SimulatedVendor(simulated_config(seed=seed)), "SIM001") for seed in (1, 1, -2)
    )
    assert one.equals(same)
    assert not one["close"].equals(other["close"])


def test_one_stock_is_listed_late_and_one_delisted(vendor):
    frame = vendor.fetch_metadata().frame
    late, gone = (
        frame.row(by_predicate=pl.col("symbol") == s, named=True) for s in ("SIM021", "SIM022")
    )
    assert THREE_YEARS.first < late["first_session"] < THREE_YEARS.last
    assert candles(vendor, "SIM021")["ts"].dt.date()[0] == late["first_session"]
    assert gone["last_session"] < THREE_YEARS.last
    assert candles(vendor, "SIM022")["ts"].dt.date()[-1] == gone["last_session"]
    assert frame["last_session"].null_count() == frame.height - 1


def test_no_data_says_why(vendor):
    def why(symbol, first, last):
        answer = vendor.fetch_candles(request(symbol, SessionSpan(first, last)))
        assert isinstance(answer, NoData)
        return answer.reason

    day, later = dt.date(2012, 1, 4), dt.date(2014, 12, 30)
    assert why("SIM021", day, day).startswith("not listed before 201")
    assert why("SIM022", later, later).startswith("delisted after 201")
    early = dt.date(2011, 1, 4)
    assert why("SIM001", early, early) == "the simulated market begins on 2012-01-03"


def test_a_few_sessions_are_halted(vendor):
    panel = market_panel(vendor.config, "XNYS", THREE_YEARS.last)
    missing = np.isnan(panel.close[:20])
    assert 0 < missing.sum() < 0.01 * missing.size
    row, step = np.argwhere(missing)[0]
    day = panel.days[step]
    answer = vendor.fetch_candles(request(f"SIM{row + 1:03d}", SessionSpan(day, day)))
    assert answer == NoData("trading was halted")


def test_an_unknown_symbol_or_timeframe_is_a_failure(vendor):
    assert isinstance(vendor.fetch_candles(request("AAPL", THREE_YEARS)), VendorFailure)
    assert isinstance(vendor.fetch_corporate_actions(request("AAPL", THREE_YEARS)), VendorFailure)


def test_splits_and_dividends_explain_the_raw_prices():
    panel = market_panel(MANY, "XNYS", dt.date(2014, 12, 31))
    assert len(panel.splits) >= 5
    assert len(panel.dividends) >= 100
    for split in panel.splits:
        moved = panel.close[split.symbol, split.step] / panel.close[split.symbol, split.step - 1]
        expected = np.exp(panel.total_return[split.symbol, split.step]) / split.ratio
        assert moved == pytest.approx(expected, rel=2e-3)
    for paid in panel.dividends:
        before, after = panel.close[paid.symbol, paid.step - 1 : paid.step + 1]
        assert paid.previous_close == before
        expected = np.exp(panel.total_return[paid.symbol, paid.step]) * (1 - paid.amount / before)
        assert after / before == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("edge", [0.0, 0.15])
def test_the_information_coefficient_of_the_signal_is_as_configured(edge):
    config = MANY.model_copy(update={"edge_information_coefficient": edge})
    panel = market_panel(config, "XNYS", LATE)
    returns = panel.total_return[:, 1:]
    measured = [np.corrcoef(s, r)[0, 1] for s, r in zip(panel.signal[:, :-1], returns, strict=True)]
    # 58 symbols x 3000 sessions: the standard error is 0.0024, the regimes' about as much.
    assert np.mean(measured) == pytest.approx(edge, abs=0.01)


def test_the_edge_is_earned_after_the_open_and_seen_before_it():
    panel = market_panel(MANY, "XNYS", LATE)
    signal = panel.signal[:55, :-1].ravel()
    gap = np.log(panel.open[:55, 1:] / panel.close[:55, :-1]).ravel()
    daytime = np.log(panel.close[:55, 1:] / panel.open[:55, 1:]).ravel()
    known = np.isfinite(gap) & np.isfinite(daytime) & (np.abs(gap) < 0.2)
    assert abs(np.corrcoef(signal[known], gap[known])[0, 1]) < 0.01
    assert np.corrcoef(signal[known], daytime[known])[0, 1] > 0.14


@pytest.mark.parametrize("edge", [0.0, 0.15])
def test_the_signal_shows_in_both_shadows_alike(edge):
    config = MANY.model_copy(update={"edge_information_coefficient": edge})
    panel = market_panel(config, "XNYS", LATE)
    body_high = np.maximum(panel.open, panel.close)
    body_low = np.minimum(panel.open, panel.close)
    rows = slice(0, 55)
    upper = (panel.high / body_high - 1)[rows]
    lower = (1 - panel.low / body_low)[rows]
    seen = np.isfinite(upper) & (upper > 0) & (lower > 0)
    signal = panel.signal[rows][seen]
    both = np.log(upper[seen] * lower[seen])
    lean = np.log(upper[seen] / lower[seen])
    assert np.corrcoef(signal, both)[0, 1] > 0.6
    assert abs(np.corrcoef(signal, lean)[0, 1]) < 0.02


def test_returns_hardly_foretell_each_other_and_have_the_planned_variance():
    panel = market_panel(MANY, "XNYS", LATE)
    returns = panel.total_return
    lagged = [np.corrcoef(r[:-1], r[1:])[0, 1] for r in returns]
    assert abs(np.mean(lagged) - 0.9 * 0.15**2) < 0.02
    yearly = returns.std(axis=1) * np.sqrt(252)
    assert 0.15 < yearly.min() < yearly.max() < 0.5
    assert long_run_mean_scale() < 1


def test_volatility_comes_in_regimes_and_jumps():
    panel = market_panel(MANY, "XNYS", LATE)
    moves = np.abs(panel.total_return)
    clustering = [np.corrcoef(m[:-1], m[1:])[0, 1] for m in moves]
    assert np.mean(clustering) > 0.05
    scaled = panel.total_return / panel.total_return.std(axis=1, keepdims=True)
    assert (scaled**4).mean() > 4


def test_a_market_cannot_begin_on_a_sunday():
    with pytest.raises(InputError, match=r"2012-01-01 .Sunday. is not an XNYS session"):
        SimulatedVendor(simulated_config(first_session=dt.date(2012, 1, 1)))


def test_a_market_without_coins_can_be_asked_for_none():
    vendor = SimulatedVendor(simulated_config(crypto=0))
    assert vendor.fetch_metadata().frame.height == 4
    answer = vendor.fetch_candles(request("SIMC1-USD", THREE_YEARS, "24/7"))
    assert isinstance(answer, VendorFailure)
