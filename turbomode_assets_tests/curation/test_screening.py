import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.curation import REASONS, screen_bars
from turbomode_assets.sessions import offset_session
from turbomode_assets_tests.curation.builders import MONDAY, dividends, shipped_config, splits

EIGHT = dt.datetime.combine(dt.date(2024, 10, 24), dt.time(8))
VALUES = ("open", "high", "low", "close", "volume")
NO_SPLITS, NO_DIVIDENDS = splits(), dividends()


def day(number):
    return offset_session(MONDAY, number)


def steady(count=6, *, close=50.0, volume=1e6):
    """Bars (open, high, low, close, volume) that hardly move."""
    return [(close, close + 1, close - 1, close + n / 50, volume + n) for n in range(count)]


def frame_of(symbol, rows):
    """Bars of (open, high, low, close, volume) by their day."""
    listed = [
        {"symbol": symbol, "day": when, **dict(zip(VALUES, row, strict=True))}
        for when, row in rows.items()
    ]
    return pl.DataFrame(listed)


def found(rows, *, events=NO_SPLITS, cash=NO_DIVIDENDS, as_of=None):
    bars = frame_of("AAA", {day(n): row for n, row in enumerate(rows)})
    bars = bars.with_columns(adjusted_as_of=pl.lit(as_of, dtype=pl.Date))
    findings = screen_bars(bars, events, cash, shipped_config())
    assert set(findings["reason"]) <= set(REASONS)
    return findings.select("day", "reason", "column", "new_value", "action").rows()


def scaled(row, factor, volume_factor=1.0):
    return (*(price * factor for price in row[:4]), row[4] * volume_factor)


BAR = (50.2, 51.0, 49.0, 50.1, 1.1e6)


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_a_bar_in_another_unit_is_scaled_back(factor):
    findings = found([*steady(), scaled(BAR, factor)])
    assert [(f[0], f[1], f[2], f[4]) for f in findings] == [
        (day(6), "unit_error", column, "repaired") for column in ("close", "high", "low", "open")
    ]
    assert [f[3] for f in findings] == pytest.approx([50.1, 51.0, 49.0, 50.2])


def test_a_hundredth_with_a_hundred_times_the_volume_is_a_split_and_only_flagged():
    findings = found([*steady(), scaled(BAR, 0.01, 100.0)])
    assert findings == [(day(6), "split_sized_jump", "close", None, "flagged")]


def test_bars_in_a_window_of_two_units_are_left_out():
    unit = [scaled(row, 100.0) for row in steady(6)]
    findings = found([*steady(6), *unit])
    # With 6 bars in the old unit and n in the new, 6 / (6 + n) are with it: below 0.6 from n = 5.
    repaired = [f[0] for f in findings if f[1] == "unit_error" and f[2] == "close"]
    assert repaired == [day(n) for n in range(6, 11)]
    assert [f[:3] for f in findings if f[1] == "unsettled_unit"] == [
        (day(11), "unsettled_unit", "row")
    ]


@pytest.mark.parametrize(
    ("bar", "column", "reason", "value"),
    [
        ((50.2, 51.0, 49.0, 5010.0, 1e6), "close", "field_unit_error", 50.1),
        ((50.2, 51.0, 0.49, 50.1, 1e6), "low", "field_unit_error", 49.0),
        ((50.2, 51.0, 49.0, 5.01, 1e6), "close", "decimal_shift", 50.1),
        ((502.0, 51.0, 49.0, 50.1, 1e6), "open", "decimal_shift", 50.2),
    ],
)
def test_one_price_off_by_a_power_of_ten_is_scaled_back(bar, column, reason, value):
    ((when, found_reason, where, new, action),) = found([*steady(), bar])
    assert (when, found_reason, where, action) == (day(6), reason, column, "repaired")
    assert new == pytest.approx(value)


def test_a_price_that_ten_times_does_not_bring_among_the_others_is_not_scaled():
    assert found([*steady(), (50.2, 51.0, 49.0, 6.5, 1e6)]) == []


@pytest.mark.parametrize(
    ("change", "volume", "reason"),
    [
        (0.5, 2e6, "split_sized_jump"),  # 2:1, as much money as ever
        (2 / 3, 1.5e6, "split_sized_jump"),  # 3:2
        (0.43, 4e6, "split_sized_jump"),  # a spin-off
        (0.72, 2e6, "unexplained_jump"),  # a smaller one
        (0.66, 15e6, None),  # bad results: ten times the money
        (1.4, 10e6, None),  # good results
        (0.48, 30e6, None),  # a crash
        (0.85, 1e6, None),
    ],
)
def test_a_jump_is_flagged_by_its_size_its_ratio_and_the_money_traded(change, volume, reason):
    findings = found([*steady(), (*scaled(BAR, change)[:4], volume)])
    assert [f[1:3] for f in findings] == ([(reason, "close")] if reason else [])


def test_a_fall_during_the_session_is_no_split():
    assert found([*steady(), (50.0, 50.5, 24.0, 25.0, 2e6)]) == []


def test_the_first_bar_after_a_bad_one_is_no_jump():
    findings = found([*steady(), scaled(BAR, 0.5, 2.0), steady()[3]])
    assert [f[0] for f in findings] == [day(6)]


def test_an_announced_split_explains_its_move():
    after = [scaled(row, 0.5, 2.0) for row in steady(4)]
    assert found([*steady(), *after], events=splits((day(6), 2.0))) == []


def test_a_cash_dividend_explains_its_move():
    history = (offset_session(MONDAY, -60), 0.5, 50.0)
    cash = dividends(history, (day(6), 20.0, 50.1))
    assert found([*steady(), (30.0, 31.0, 29.5, 30.1, 2e6)], cash=cash) == []


def test_bars_that_did_not_move_with_a_split_are_left_out_until_one_does():
    rows = [*steady(), BAR, scaled(BAR, 0.25, 4.0)]
    assert found(rows, events=splits((day(6), 4.0))) == [
        (day(6), "split_not_in_prices", "row", None, "left_out")
    ]


def test_one_price_in_the_shares_before_a_split_is_brought_into_the_new_ones():
    moved = list(scaled(BAR, 0.25, 4.0))
    moved[0] = 50.2
    ((when, reason, column, new, action),) = found(
        [*steady(), tuple(moved)], events=splits((day(6), 4.0))
    )
    assert (when, reason, column, action) == (
        day(6),
        "split_partly_in_prices",
        "open",
        "repaired",
    )
    assert new == pytest.approx(12.55)


def test_one_unadjusted_bar_in_an_adjusted_delivery_is_adjusted_with_its_volume():
    forgotten = scaled(BAR, 4.0, 0.25)
    findings = found([*steady(), forgotten], events=splits((day(9), 4.0)), as_of=day(12))
    assert {(f[1], f[4]) for f in findings} == {("split_not_applied", "repaired")}
    assert [(f[2], f[3]) for f in findings] == [
        ("close", pytest.approx(50.1)),
        ("high", pytest.approx(51.0)),
        ("low", pytest.approx(49.0)),
        ("open", pytest.approx(50.2)),
        ("volume", pytest.approx(1.1e6)),
    ]


def test_an_unadjusted_bar_whose_volume_says_otherwise_is_left_out():
    findings = found(
        [*steady(), scaled(BAR, 4.0, 1.0)], events=splits((day(9), 4.0)), as_of=day(12)
    )
    assert findings == [(day(6), "split_not_applied", "row", None, "left_out")]


def test_a_delivery_that_was_adjusted_from_another_day_on_is_flagged():
    unadjusted = [scaled(row, 5.0, 0.2) for row in steady()]
    findings = found([*unadjusted, BAR, BAR], events=splits((day(7), 5.0)), as_of=day(12))
    assert findings[0] == (day(6), "split_misapplied", "close", None, "flagged")


def test_repeated_bars():
    same, flat = steady()[-1], (50.1, 50.1, 50.1, 50.1, 0.0)
    assert found([*steady(), same])[-1][1:] == ("copied_bar", "row", None, "left_out")
    assert found([*steady(), (50.3, 52.0, 49.5, *same[3:])])[-1][1:3] == ("stale", "close")
    assert found([*steady(5), (50.0, 51.0, 49.0, 50.1, 9e5), flat]) == [
        (day(6), "zero_volume_copy", "row", None, "left_out")
    ]
    assert found([*steady(), (50.3, 52.0, 49.5, 50.2, same[4])]) == []


def test_the_first_trades_of_a_session_are_no_bar():
    stub = (50.2, 50.2, 50.2, 50.2, 900.0)
    assert found([*steady(12), stub]) == [(day(12), "half_formed", "row", None, "left_out")]
    assert found([*steady(12, volume=2e4), stub]) == []
    quiet = [(50.0, 50.0, 50.0, 50.0 + 0 * n, 1e6 + n) for n in range(12)]
    assert found([*quiet, stub]) == []


def test_intraday_bars_are_screened_alike():
    times = [EIGHT + dt.timedelta(hours=n) for n in range(7)]
    rows = [*steady(), scaled(BAR, 0.01)]
    bars = frame_of("ASAI", dict(zip(times, rows, strict=True)))
    findings = screen_bars(bars, NO_SPLITS, NO_DIVIDENDS, shipped_config())
    assert findings["day"].unique().to_list() == [times[-1]]


walks = st.lists(
    st.tuples(st.floats(-0.5, 0.5), st.sampled_from([1.0, 1.0, 1.0, 0.01, 10.0, 0.5])),
    min_size=8,
    max_size=40,
)


def walked(moves):
    rows, close = [], 20.0
    for n, (change, fault) in enumerate(moves):
        close *= 1 + change / 10
        rows.append(scaled((close, close * 1.02, close * 0.98, close, 1e5 + n), fault))
    return rows


@given(walks, st.integers(5, 39))
@settings(max_examples=20)
def test_no_later_bar_changes_a_verdict(moves, known):
    rows = walked(moves)
    whole = [f for f in found(rows) if f[0] < day(known)]
    assert found(rows[:known]) == whole


@given(walks, st.sampled_from([0.125, 8.0, 1024.0]))
@settings(max_examples=20)
def test_verdicts_do_not_depend_on_the_unit_of_price_and_volume(moves, unit):
    rows = walked(moves)
    other = found([scaled(row, unit, 1 / unit) for row in rows])
    plain = [(*f[:3], f[3] and f[3] * unit, f[4]) for f in found(rows)]
    assert other == plain
