import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import ContractError
from turbomode_assets.curation import adjust_back, adjust_forward, adjustment_factors
from turbomode_assets.sessions import offset_session
from turbomode_assets_tests.curation.builders import (
    MONDAY,
    TUESDAY,
    bar,
    bars,
    dividends,
    splits,
)

WEDNESDAY, THURSDAY = dt.date(2015, 3, 11), dt.date(2015, 3, 12)
NO_SPLITS, NO_DIVIDENDS = splits(), dividends()
MARKED = {"adjustment": "split_dividend", "adjusted_as_of": WEDNESDAY}


def closes(frame):
    return frame["close"].to_list()


def test_a_split_multiplies_later_prices_and_divides_later_volumes():
    raw = bars(bar(MONDAY, 100.0), bar(TUESDAY, 50.0), bar(WEDNESDAY, 51.0))
    adjusted = adjust_forward(raw, splits((TUESDAY, 2.0)), NO_DIVIDENDS)
    assert closes(adjusted) == [100.0, 100.0, 102.0]
    assert adjusted["open"].to_list() == [100.0, 100.0, 102.0]
    assert adjusted["volume"].to_list() == [1000.0, 500.0, 500.0]
    assert adjusted["dollar_volume"].equals(raw["dollar_volume"])


def test_a_dividend_lifts_later_prices_and_leaves_volumes():
    raw = bars(bar(MONDAY, 100.0), bar(TUESDAY, 98.0))
    adjusted = adjust_forward(raw, NO_SPLITS, dividends((TUESDAY, 2.0, 100.0)))
    # 98 / (1 - 2 / 100) = 100: the holder lost nothing.
    assert closes(adjusted) == pytest.approx([100.0, 100.0])
    assert adjusted["volume"].to_list() == [1000.0, 1000.0]


def test_factors_are_the_products_of_all_events_up_to_the_session():
    raw = bars(*(bar(day, 10.0) for day in (MONDAY, TUESDAY, WEDNESDAY, THURSDAY)))
    events = splits((TUESDAY, 2.0), (THURSDAY, 3.0))
    factors = adjustment_factors(raw, events, dividends((WEDNESDAY, 1.0, 5.0)))
    assert factors["price_factor"].to_list() == pytest.approx([1.0, 2.0, 2.5, 7.5])
    assert factors["split_factor"].to_list() == [1.0, 2.0, 2.0, 6.0]


def test_back_adjusted_prices_of_the_as_of_session_are_as_traded():
    raw = bars(bar(MONDAY, 100.0), bar(TUESDAY, 50.0), bar(WEDNESDAY, 49.0))
    back = adjust_back(raw, splits((TUESDAY, 2.0)), dividends((WEDNESDAY, 1.0, 50.0)), WEDNESDAY)
    assert closes(back) == pytest.approx([49.0, 49.0, 49.0])
    assert back["volume"].to_list() == [2000.0, 1000.0, 1000.0]


def test_back_adjustment_holds_nothing_later_than_its_date():
    raw = bars(bar(MONDAY, 100.0), bar(TUESDAY, 50.0))
    back = adjust_back(raw, splits((TUESDAY, 2.0)), NO_DIVIDENDS, MONDAY)
    assert closes(back) == [100.0]


def test_no_event_up_to_the_vendors_date_moves_bars_against_each_other():
    raw = bars(
        bar(MONDAY, 50.0, **MARKED), bar(TUESDAY, 50.0, **MARKED), bar(WEDNESDAY, 51.0, **MARKED)
    )
    adjusted = adjust_forward(raw, splits((TUESDAY, 2.0)), NO_DIVIDENDS)
    assert closes(adjusted) == [100.0, 100.0, 102.0]
    assert adjusted["volume"].to_list() == [500.0] * 3


def test_an_event_after_the_vendors_date_applies_to_bars_with_dividends_inside():
    raw = bars(bar(WEDNESDAY, 50.0, **MARKED), bar(THURSDAY, 25.0, **MARKED))
    adjusted = adjust_forward(raw, splits((THURSDAY, 2.0)), NO_DIVIDENDS)
    assert closes(adjusted) == [50.0, 50.0]


def test_two_deliveries_with_dividends_inside_fit_together():
    later = MARKED | {"adjusted_as_of": THURSDAY}
    raw = bars(bar(WEDNESDAY, 50.0, **MARKED), bar(THURSDAY, 25.0, **later))
    adjusted = adjust_forward(raw, splits((THURSDAY, 2.0)), NO_DIVIDENDS)
    assert closes(adjusted) == [50.0, 50.0]


def test_bars_with_dividends_inside_keep_their_basis_before_the_vendors_date():
    raw = bars(bar(MONDAY, 50.0, **MARKED), bar(TUESDAY, 50.0, **MARKED))
    back = adjust_back(raw, splits((WEDNESDAY, 2.0)), NO_DIVIDENDS, TUESDAY)
    assert closes(back) == [50.0, 50.0]


def test_an_event_on_a_day_without_a_bar_takes_effect_on_the_next_bar():
    raw = bars(bar(MONDAY, 100.0), bar(WEDNESDAY, 50.0))
    assert closes(adjust_forward(raw, splits((TUESDAY, 2.0)), NO_DIVIDENDS)) == [100.0, 100.0]


def test_an_event_on_a_saturday_takes_effect_on_monday():
    friday, saturday = dt.date(2015, 3, 6), dt.date(2015, 3, 7)
    raw = bars(bar(friday, 100.0), bar(MONDAY, 50.0))
    assert closes(adjust_forward(raw, splits((saturday, 2.0)), NO_DIVIDENDS)) == [100.0, 100.0]


def test_events_of_one_symbol_leave_others_alone():
    raw = bars(bar(MONDAY, 10.0), bar(TUESDAY, 10.0), bar(TUESDAY, 10.0, symbol="BBB"))
    adjusted = adjust_forward(raw, splits((TUESDAY, 2.0)), NO_DIVIDENDS)
    assert closes(adjusted) == [10.0, 20.0, 10.0]


def test_without_events_nothing_changes():
    raw = bars(bar(MONDAY, 100.0), bar(TUESDAY, 101.0, volume=None, dollar_volume=None))
    assert adjust_forward(raw, NO_SPLITS, NO_DIVIDENDS).equals(raw)


@pytest.mark.parametrize("amount", [100.0, 101.0])
def test_a_dividend_at_or_above_the_previous_close_is_refused(amount):
    raw = bars(bar(TUESDAY, 1.0))
    with pytest.raises(ContractError, match=f"2015-03-10 amount={amount} previous_close=100.0"):
        adjust_forward(raw, NO_SPLITS, dividends((TUESDAY, amount, 100.0)))


@st.composite
def histories(draw):
    """Twenty bars with splits and dividends on some of their sessions."""
    sessions = [offset_session(MONDAY, n) for n in range(20)]
    prices = draw(st.lists(st.floats(1, 1000), min_size=20, max_size=20))
    split_days = draw(st.lists(st.integers(0, 19), unique=True, max_size=4))
    dividend_days = draw(st.lists(st.integers(0, 19), unique=True, max_size=4))
    ratios = [draw(st.sampled_from([2.0, 1.5, 3.0, 0.1])) for _ in split_days]
    yields = [draw(st.floats(0.001, 0.5)) for _ in dividend_days]
    return (
        bars(*(bar(day, price) for day, price in zip(sessions, prices, strict=True))),
        splits(*((sessions[n], r) for n, r in zip(split_days, ratios, strict=True))),
        dividends(
            *((sessions[n], 10.0 * y, 10.0) for n, y in zip(dividend_days, yields, strict=True))
        ),
        draw(st.integers(1, 18)),
    )


@given(histories())
@settings(max_examples=12)
def test_later_events_change_no_earlier_value_to_the_last_bit(history):
    raw, ratios, paid, cut = history
    today = raw["session"][cut]
    up_to_today = pl.col("ex_date") <= today
    known = adjust_forward(
        raw.filter(pl.col("session") <= today), ratios.filter(up_to_today), paid.filter(up_to_today)
    )
    everything = adjust_forward(raw, ratios, paid)
    assert everything.filter(pl.col("session") <= today).equals(known)
    singly = [adjust_forward(raw.slice(n, 1), ratios, paid) for n in range(raw.height)]
    assert pl.concat(singly).equals(everything)


@given(histories())
@settings(max_examples=40)
def test_returns_are_the_same_forward_and_back(history):
    raw, ratios, paid, cut = history
    today = raw["session"][cut]
    forward = adjust_forward(raw, ratios, paid).filter(pl.col("session") <= today)
    back = adjust_back(raw, ratios, paid, today)
    for name in ("close", "volume"):
        one, other = forward[name].to_numpy(), back[name].to_numpy()
        np.testing.assert_allclose(one[1:] / one[:-1], other[1:] / other[:-1], rtol=1e-12)
    assert back["close"][-1] == raw["close"][cut]
