import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbomode_assets.curation.price_bounds import mend_bounds

COLUMNS = ("open", "high", "low", "close")


def mended(*prices):
    result = mend_bounds(pl.DataFrame([prices], schema=COLUMNS, orient="row"))
    changes = result.changes.select("reason", "column", "old_value", "new_value").rows()
    return (result.candles.rows() or [None])[0], changes


@pytest.mark.parametrize(
    ("prices", "expected", "reasons"),
    [
        # Dropped digits, as one vendor delivered them (DE 1994, USB 1995).
        ((9.13, 9.1894, 9.0361, 0.9112), (9.13, 9.1894, 9.0361, 9.0361), ["close_far_outside"]),
        ((9.0797, 0.9112, 8.9864, 9.0276), (9.0797, 9.0797, 8.9864, 9.0276), ["high_far_below"]),
        ((0.9217, 9.243, 9.1477, 9.1736), (9.1477, 9.243, 9.1477, 9.1736), ["open_far_outside"]),
        # An extra digit in the low.
        ((9.1, 9.2, 90.1, 9.15), (9.1, 9.2, 9.1, 9.15), ["low_far_above"]),
        # A wrong open on the high side is clipped to the high.
        ((200.0, 90.36, 88.55, 89.52), (90.36, 90.36, 88.55, 89.52), ["open_far_outside"]),
        # Small violations widen the bound.
        ((44.675, 44.7, 44.66, 44.5272), (44.675, 44.7, 44.5272, 44.5272), ["low_widened"]),
        ((15.61, 15.48, 15.18, 15.33), (15.61, 15.61, 15.18, 15.33), ["high_widened"]),
        # High and low exchanged, with another price outside both.
        (
            (23.89, 23.595, 23.85, 24.445),
            (23.89, 24.445, 23.595, 24.445),
            ["high_widened", "low_widened"],
        ),
    ],
)
def test_a_broken_candle_is_mended(prices, expected, reasons):
    candle, changes = mended(*prices)
    assert candle == expected
    assert [reason for reason, *_ in changes] == reasons
    for _, column, old, new in changes:
        at = COLUMNS.index(column)
        assert (old, new) == (prices[at], expected[at])


def test_two_prices_against_two_cannot_be_mended():
    result = mend_bounds(
        pl.DataFrame([(0.9217, 0.9217, 9.0103, 9.036)], schema=COLUMNS, orient="row")
    )
    assert result.candles.is_empty()
    assert result.changes.is_empty()
    assert result.beyond_repair.height == 1


def test_a_wild_but_consistent_candle_is_left_alone():
    assert mended(10.0, 100.0, 1.0, 50.0) == ((10.0, 100.0, 1.0, 50.0), [])


prices = st.floats(0.01, 1e5, allow_nan=False)


@given(st.tuples(prices, prices, prices, prices))
def test_a_mended_candle_is_sound_and_made_of_delivered_prices(values):
    candle, changes = mended(*values)
    if candle is not None:
        open_, high, low, close = candle
        assert low <= min(open_, close) <= max(open_, close) <= high
        assert set(candle) <= set(values)
        assert (changes == []) == (candle == values)


@given(st.tuples(prices, prices, prices, prices))
def test_mending_twice_changes_nothing_more(values):
    candle, _ = mended(*values)
    if candle is not None:
        assert mended(*candle) == (candle, [])
