"""Who is tradeable in a session, and why the others are not."""

import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.signals.scanner import (
    REASONS,
    left_out_counts,
    scan_symbols,
)
from turbomode_assets_tests.builders import make_bars, make_universe
from turbomode_assets_tests.signals.builders import signals_config

FRIDAY = dt.date(2017, 11, 10)
NIGHT = SessionSpan(FRIDAY, FRIDAY)
WINDOW = 3
HISTORY = NIGHT.trailing(WINDOW + 2)
RULES = signals_config(
    minimum_close_usd=5.0, minimum_dollar_volume_usd=1000.0, liquidity_window_sessions=WINDOW
)
AT = {"symbol": "AAA", "session": FRIDAY}


def usual(*symbols):
    """Bars at 10 USD, 1,000 USD of them a session: just enough."""
    return make_bars(symbols, HISTORY, close=10.0)


def moving(bars):
    return bars.select("symbol", "session", volatility=pl.lit(0.01))


def green(bars, timeframe="1d", verdict="GREEN"):
    named = {"timeframe": pl.lit(timeframe), "verdict": pl.lit(verdict)}
    return bars.select("symbol", "session", **named)


def changed(bars, symbol, session, **values):
    """Bars of which one has other values."""
    is_it = (pl.col("symbol") == symbol) & (pl.col("session") == session)
    return bars.with_columns(
        pl.when(is_it).then(pl.lit(value)).otherwise(name).alias(name)
        for name, value in values.items()
    )


def without(rows, symbol, session):
    return rows.filter(~((pl.col("symbol") == symbol) & (pl.col("session") == session)))


def scan(bars, *, universe=None, volatility=None, ledger=None, span=NIGHT, **more):
    if universe is None:
        universe = make_universe(bars["symbol"].unique().to_list())
    volatility = moving(bars) if volatility is None else volatility
    ledger = green(bars) if ledger is None else ledger
    return scan_symbols(universe, bars, volatility, ledger, span, RULES, **more)


def reasons(found):
    return dict(found.left_out.select("symbol", "reason").iter_rows())


def test_a_symbol_on_every_limit_is_tradeable():
    bars = usual("AAA").with_columns(close=pl.lit(5.0))
    found = scan(bars)
    assert found.tradeable.rows() == [("AAA", FRIDAY, 5.0, 0.01)]
    assert found.left_out.is_empty()


def test_each_reason_leaves_out_its_symbol_and_no_other():
    names = ["AMBER", "CHEAP", "GONE", "STILL", "THIN", "UNTOLD", "USUAL"]
    bars = usual(*names)
    bars = without(bars, "GONE", FRIDAY)
    bars = changed(bars, "CHEAP", FRIDAY, close=4.99)
    bars = changed(bars, "UNTOLD", offset_session(FRIDAY, -2), dollar_volume=None)
    for day in (FRIDAY, offset_session(FRIDAY, -1)):
        bars = changed(bars, "THIN", day, dollar_volume=999.0)
    ledger = green(bars).with_columns(
        verdict=pl.when(pl.col("symbol") == "AMBER").then(pl.lit("AMBER")).otherwise("verdict")
    )
    found = scan(bars, ledger=ledger, volatility=without(moving(bars), "STILL", FRIDAY))
    assert reasons(found) == {
        "AMBER": "not_green",
        "CHEAP": "low_close",
        "GONE": "no_bar",
        "STILL": "no_barriers",
        "THIN": "illiquid",
        "UNTOLD": "unknown_liquidity",
    }
    assert found.tradeable["symbol"].to_list() == ["USUAL"]


def test_the_first_reason_that_applies_is_told():
    bars = changed(usual("AAA"), "AAA", FRIDAY, close=1.0, dollar_volume=1.0)
    assert reasons(scan(bars, ledger=green(bars).clear())) == {"AAA": "not_green"}
    assert reasons(scan(bars, volatility=moving(bars).clear())) == {"AAA": "low_close"}


def test_one_thin_session_of_three_does_not_move_the_median():
    bars = changed(usual("AAA"), "AAA", FRIDAY, dollar_volume=1.0)
    assert reasons(scan(bars)) == {}


def test_what_lies_before_the_window_plays_no_part():
    before = offset_session(FRIDAY, -WINDOW)
    assert reasons(scan(changed(usual("AAA"), "AAA", before, dollar_volume=None))) == {}
    assert reasons(scan(without(usual("AAA"), "AAA", before))) == {}
    inside = offset_session(FRIDAY, 1 - WINDOW)
    assert reasons(scan(without(usual("AAA"), "AAA", inside))) == {"AAA": "unknown_liquidity"}


def test_a_symbol_younger_than_the_window_waits_until_it_is_full():
    bars = usual("AAA", "NEW").filter(
        (pl.col("symbol") != "NEW") | (pl.col("session") > offset_session(FRIDAY, 1 - WINDOW))
    )
    assert reasons(scan(bars)) == {"NEW": "unknown_liquidity"}


def test_only_the_sessions_own_daily_candle_must_be_green():
    bars = usual("AAA")
    is_night = pl.col("session") == FRIDAY
    assert reasons(scan(bars, ledger=green(bars).filter(is_night))) == {}
    assert reasons(scan(bars, ledger=green(bars).filter(~is_night))) == {"AAA": "not_green"}
    assert reasons(scan(bars, ledger=green(bars, timeframe="1wk"))) == {"AAA": "not_green"}


def test_a_waiver_passes_the_ledger_over_and_nothing_else():
    bars = changed(usual("AAA", "CHEAP"), "CHEAP", FRIDAY, close=1.0)
    found = scan(bars, ledger=green(bars, verdict="RED"), is_green_waived=True)
    assert reasons(found) == {"CHEAP": "low_close"}


def test_what_is_no_candidate_is_not_counted():
    universe = make_universe(["AAA", "DEAD", "INDEX", "UNBORN"]).with_columns(
        role=pl.when(pl.col("symbol") == "INDEX").then(pl.lit("benchmark")).otherwise("role"),
        last_session=pl.when(pl.col("symbol") == "DEAD").then(offset_session(FRIDAY, -1)),
        first_session=pl.when(pl.col("symbol") == "UNBORN").then(offset_session(FRIDAY, 1)),
    )
    found = scan(usual("AAA", "DEAD", "INDEX"), universe=universe)
    assert found.tradeable["symbol"].to_list() == ["AAA"]
    assert found.left_out.is_empty()


def test_round_the_clock_instruments_are_judged_like_others():
    universe = make_universe(["BTC-USD"]).with_columns(
        calendar=pl.lit("24/7"), asset_class=pl.lit("crypto")
    )
    assert scan(usual("BTC-USD"), universe=universe).tradeable.height == 1


def test_what_is_kept_later_names_its_own_reason():
    found = scan(usual("AAA", "BBB"))
    kept = found.keep(pl.DataFrame([AT]), reason="no_features")
    assert kept.tradeable["symbol"].to_list() == ["AAA"]
    assert reasons(kept) == {"BBB": "no_features"}


def test_a_session_without_a_tradeable_symbol_is_refused_with_the_reasons():
    bars = changed(usual("AAA", "BBB"), "AAA", FRIDAY, close=1.0)
    bars = changed(bars, "BBB", FRIDAY, close=1.0)
    span = SessionSpan(offset_session(FRIDAY, -1), FRIDAY)
    found = scan(bars, span=span)
    with pytest.raises(MissingDataError) as caught:
        found.require_every_session(reader="model m1", where="signals")
    assert caught.value.what == (
        f"no symbol is tradeable for model m1 in {FRIDAY}; left out: low_close 2 (AAA, BBB)"
    )
    assert "turbomode status" in caught.value.fix


def test_a_universe_without_a_tradeable_symbol_is_refused_too():
    found = scan(usual("AAA"), universe=make_universe(["AAA"]).clear())
    with pytest.raises(MissingDataError, match="no tradeable symbol is listed"):
        found.require_every_session(reader="model m1", where="signals")


def test_counts_name_the_first_five_symbols_in_the_order_of_the_reasons():
    left_out = pl.DataFrame(
        {
            "symbol": [*(f"S{number}" for number in range(7)), "S1", "Z"],
            "session": [FRIDAY] * 7 + [offset_session(FRIDAY, -1), FRIDAY],
            "reason": ["illiquid"] * 8 + ["no_bar"],
        }
    )
    counts = left_out_counts(left_out)
    assert counts["reason"].to_list() == ["no_bar", "illiquid"]
    assert counts["rows"].to_list() == [1, 8]
    assert counts["symbols"][1].startswith("S0, S1, S2, S3, S4")
    assert "7" in counts["symbols"][1]


@settings(max_examples=30)
@given(st.data())
def test_every_candidate_is_either_tradeable_or_left_out_and_a_range_equals_its_nights(data):
    symbols = ["AAA", "BBB", "CCC"]
    span = SessionSpan(offset_session(FRIDAY, -3), FRIDAY)
    bars = make_bars(symbols, span.trailing(WINDOW), close=10.0)
    chance = st.lists(st.sampled_from([0.0, 3.0, 10.0, 2000.0]), min_size=bars.height)
    draw = [data.draw(chance)[: bars.height] for _ in range(2)]
    bars = bars.with_columns(close=pl.Series(draw[0]), dollar_volume=pl.Series(draw[1])).filter(
        pl.col("close") > 0
    )
    universe = make_universe(symbols)
    ranged = scan(bars, universe=universe, span=span)
    cells = pl.concat([ranged.tradeable.select(*AT), ranged.left_out.select(*AT)])
    assert cells.height == cells.n_unique() == len(symbols) * len(span.sessions)
    assert set(ranged.left_out["reason"]) <= set(REASONS)
    for session in span.sessions:
        known = bars.filter(pl.col("session") <= session)
        night = scan(known, universe=universe, span=SessionSpan(session, session))
        of_night = pl.col("session") == session
        assert night.tradeable.equals(ranged.tradeable.filter(of_night))
        assert night.left_out.equals(ranged.left_out.filter(of_night))
