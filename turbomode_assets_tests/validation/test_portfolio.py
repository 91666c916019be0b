import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.validation import daily_results, daily_results_of
from turbomode_assets_tests.validation.builders import make_calendar

CALENDAR = make_calendar(40)


def _daily(**closes):
    """Closes of each symbol from the first session on; None for a session without a bar."""
    rows = [
        {"symbol": symbol, "session": CALENDAR[at], "close": close}
        for symbol, prices in closes.items()
        for at, close in enumerate(prices)
        if close is not None
    ]
    schema = {"symbol": pl.String, "session": pl.Date, "close": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


def _held(symbol, *, sessions, prices, position=1.0):
    """A position by the numbers of its entry's and exit's sessions, and the prices of both."""
    entry, last = sessions
    entry_price, exit_price = prices
    return {
        "symbol": symbol,
        "entry_session": CALENDAR[entry],
        "exit_session": CALENDAR[last],
        "entry_price": entry_price,
        "exit_price": exit_price,
        "position": position,
    }


def _positions(*rows):
    schema = {
        "symbol": pl.String,
        "entry_session": pl.Date,
        "exit_session": pl.Date,
        "entry_price": pl.Float64,
        "exit_price": pl.Float64,
        "position": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema)


RISING = _daily(A=[100, 110, 121, 133.1], B=[50, 50, 50, 50])
"""A gains a tenth each session, B nothing: the market gains 0.05."""


def test_a_position_earns_from_entry_price_to_close_to_close_to_exit_price():
    found = daily_results(
        _positions(_held("A", sessions=(1, 3), prices=(105, 130), position=0.5)), RISING
    )
    assert found["session"].to_list() == CALENDAR[1:4]
    assert found["result"].to_list() == pytest.approx(
        [110 / 105 - 1 - 0.05, 0.1 - 0.05, 130 / 121 - 1 - 0.05]
    )
    assert found["exposure"].to_list() == [0.5, 0.5, 0.5]


def test_a_position_of_one_session_earns_from_entry_price_to_exit_price():
    found = daily_results(
        _positions(_held("A", sessions=(2, 2), prices=(115, 112), position=-2.0)), RISING
    )
    # Sold short: 2 x (0.05 + 3 / 115) over an exposure of 2.
    assert found["result"].to_list() == pytest.approx([0.05 + 3 / 115])


def test_overlapping_positions_share_the_day_by_their_size():
    held = _positions(
        _held("A", sessions=(1, 2), prices=(110, 121), position=3.0),
        _held("B", sessions=(2, 3), prices=(50, 50), position=-1.0),
    )
    found = daily_results(held, RISING)
    assert found["exposure"].to_list() == [3, 4, 1]
    assert found["result"].to_list() == pytest.approx([-0.05, (3 * 0.05 + 0.05) / 4, 0.05])


def test_a_move_over_missing_bars_falls_on_the_next_bar_and_the_market_goes_on():
    daily = _daily(A=[100, None, None, 130], B=[50, 55, 55, 55])
    found = daily_results(_positions(_held("A", sessions=(0, 3), prices=(100, 120))), daily)
    # The market: nothing known, B's tenth, B's nothing, and 0.3 of A with 0 of B.
    assert found["result"].to_list() == pytest.approx([0, -0.1, 0, 0.2 - 0.15])
    assert found["exposure"].to_list() == [1, 1, 1, 1]
    blank = daily.vstack(_daily(A=[None, math.nan]))
    assert_frame_equal(
        daily_results(_positions(_held("A", sessions=(0, 3), prices=(100, 120))), blank), found
    )


def test_an_entry_on_a_session_without_a_bar_counts_from_its_price():
    daily = _daily(A=[100, None, 120], B=[50, 50, 50])
    found = daily_results(_positions(_held("A", sessions=(1, 2), prices=(100, 120))), daily)
    assert found["result"].to_list() == pytest.approx([0, 0.2 - 0.1])


def test_sessions_without_a_position_earn_nothing():
    held = _positions(
        _held("A", sessions=(0, 0), prices=(100, 101)),
        _held("A", sessions=(2, 2), prices=(121, 121), position=0.0),
        _held("B", sessions=(3, 3), prices=(50, 51)),
    )
    found = daily_results(held, RISING)
    assert found["exposure"].to_list() == [1, 0, 0, 1]
    assert found["result"].to_list()[1:3] == [0, 0]


def test_several_sizings_are_compared_on_the_same_positions():
    held = _positions(
        _held("A", sessions=(1, 2), prices=(110, 121)), _held("B", sessions=(1, 3), prices=(50, 50))
    )
    sizes = {"long": np.ones(2), "spread": np.array([1.0, -1.0]), "idle": np.zeros(2)}
    found = daily_results_of(sizes, held, RISING)
    assert found.columns == ["session", "long", "spread", "idle"]
    for name, size in sizes.items():
        alone = daily_results(held.with_columns(position=pl.Series(size)), RISING)
        assert found[name].to_list() == alone["result"].to_list()


def _random_market(seed, *, symbols=6, sessions=30, rows=40):
    random = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(random.normal(0, 0.02, (symbols, sessions)), axis=1))
    shown = random.random(prices.shape) < 0.9
    # Every session has a bar, so that every session is a row of the result.
    shown[0] = True
    names = [f"S{at}" for at in range(symbols)]
    daily = _daily(
        **{
            name: [float(p) if s else None for p, s in zip(price, there, strict=True)]
            for name, price, there in zip(names, prices, shown, strict=True)
        }
    )
    entry = random.integers(0, sessions - 15, rows)
    last = entry + random.integers(0, 15, rows)
    picked = random.integers(0, symbols, rows)
    held = _positions(
        *(
            _held(
                names[s],
                sessions=(e, x),
                prices=(100 * np.exp(random.normal(0, 0.02, 2))).tolist(),
                position=float(w),
            )
            for s, e, x, w in zip(picked, entry, last, random.normal(size=rows), strict=True)
        )
    )
    return daily.filter(pl.col("symbol").is_in(names)), held


def _slow_gains(daily, held):
    """Sum of position x excess return by session, one position and one session at a time."""
    sessions = daily["session"].unique().sort().to_list()
    close = {(symbol, session): price for symbol, session, price in daily.iter_rows()}
    symbols = sorted(set(daily["symbol"]))
    market, last = {}, {}
    for session in sessions:
        moves = []
        for symbol in symbols:
            price = close.get((symbol, session))
            if price is not None:
                moves += [price / last[symbol] - 1] if symbol in last else []
                last[symbol] = price
        market[session] = sum(moves) / len(moves) if moves else 0.0
    gains = dict.fromkeys(sessions, 0.0)
    for symbol, entry, end, entry_price, exit_price, size in held.iter_rows():
        before = entry_price
        for session in sessions[sessions.index(entry) : sessions.index(end) + 1]:
            now = exit_price if session == end else close.get((symbol, session), before)
            gains[session] += size * (now / before - 1 - market[session])
            before = now
    return gains


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_results_are_those_of_walking_every_position_day_by_day(seed):
    daily, held = _random_market(seed)
    found = daily_results(held, daily)
    gains = _slow_gains(daily, held)
    assert (found["result"] * found["exposure"]).to_list() == pytest.approx(
        [gains[session] for session in found["session"]], abs=1e-12
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_with_unit_sizes_the_days_add_up_to_the_excess_of_all_positions(seed):
    daily, held = _random_market(seed)
    units = held.with_columns(position=pl.lit(1.0))
    found = daily_results(units, daily)
    days = sum(sum(_slow_gains(daily, units[at : at + 1]).values()) for at in range(units.height))
    assert (found["result"] * found["exposure"]).sum() == pytest.approx(days, abs=1e-12)
    held_sessions = found["exposure"].sum()
    assert held_sessions == sum(
        CALENDAR.index(end) - CALENDAR.index(entry) + 1
        for entry, end in held.select("entry_session", "exit_session").iter_rows()
    )


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_units_of_size_and_of_price_and_the_order_of_rows_do_not_matter(seed):
    daily, held = _random_market(seed)
    plain = daily_results(held, daily)["result"].to_list()
    doubled = held.with_columns(pl.col("position") * 4)
    assert daily_results(doubled, daily)["result"].to_list() == plain
    split = pl.when(pl.col("symbol") == "S1").then(8.0).otherwise(1.0)
    rescaled = daily_results(
        held.with_columns(pl.col("entry_price", "exit_price") * split),
        daily.with_columns(pl.col("close") * split),
    )
    assert rescaled["result"].to_list() == plain
    shuffled = daily_results(held.sample(fraction=1, shuffle=True, seed=1), daily)
    assert shuffled["result"].to_list() == pytest.approx(plain, abs=1e-12)


def test_what_cannot_be_held_is_refused():
    good = _held("A", sessions=(1, 2), prices=(110.0, 121.0))
    with pytest.raises(InputError, match="no column position"):
        daily_results(_positions(good).drop("position"), RISING)
    with pytest.raises(InputError, match="there are no positions"):
        daily_results(_positions(), RISING)
    with pytest.raises(InputError, match="there are no daily bars"):
        daily_results(_positions(good), RISING.clear())
    with pytest.raises(InputError, match="no column exit_price"):
        daily_results(_positions(good).drop("exit_price"), RISING)
    with pytest.raises(InputError, match="symbols without bars: Z"):
        daily_results(_positions(good | {"symbol": "Z"}), RISING)
    with pytest.raises(InputError, match="2016-01-08"):
        daily_results(_positions(_held("A", sessions=(1, 4), prices=(1.0, 1.0))), RISING)
    with pytest.raises(InputError, match="exit before their entry or at no price"):
        daily_results(_positions(good, _held("A", sessions=(2, 1), prices=(1.0, 1.0))), RISING)
    with pytest.raises(InputError, match="exit before their entry or at no price"):
        daily_results(_positions(_held("A", sessions=(1, 2), prices=(0.0, 1.0))), RISING)
    with pytest.raises(InputError, match="exit_price are not finite"):
        daily_results(_positions(_held("A", sessions=(1, 2), prices=(1.0, None))), RISING)
    with pytest.raises(InputError, match="position are not finite"):
        daily_results(
            _positions(_held("A", sessions=(1, 2), prices=(1.0, 1.0), position=math.nan)), RISING
        )
    with pytest.raises(InputError, match="doubled bars"):
        daily_results(_positions(good), RISING.vstack(RISING[:1]))
    with pytest.raises(InputError, match="closes that are no price"):
        daily_results(_positions(good), _daily(A=[100, -1.0, 3], B=[50, 50, 50]))
    with pytest.raises(InputError, match="sizes 2, positions 1"):
        daily_results_of({"one": np.ones(2)}, _positions(good), RISING)
