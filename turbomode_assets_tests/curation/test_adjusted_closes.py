import datetime as dt

import polars as pl
import pytest

from turbomode_assets.curation import ADJUSTED_CLOSE_REASONS, screen_adjusted_closes
from turbomode_assets_tests.curation.builders import dividends, shipped_config, splits

DAYS = [dt.date(2015, 3, n) for n in (9, 10, 11)]


def found(adjusted, *, events=((DAYS[1], 2.0, 100.0),), ratios=(), closes=(100.0, 98.0, 99.0)):
    rows = pl.DataFrame(
        {"symbol": ["AAA"] * 3, "day": DAYS, "close": closes, "adjusted_close": adjusted}
    )
    findings = screen_adjusted_closes(rows, dividends(*events), splits(*ratios), shipped_config())
    assert set(findings["reason"]) <= set(ADJUSTED_CLOSE_REASONS)
    return findings.select("day", "reason").rows()


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (98.0, None),
        (100.0, "dividend_not_adjusted"),
        (99.98, "dividend_adjusted_in_wrong_unit"),
        (96.1, "dividend_adjusted_twice"),
        (99.0, "adjustment_disagrees"),
    ],
)
def test_what_was_taken_off_is_compared_with_the_dividend(first, reason):
    assert found([first, 98.0, 99.0]) == ([(DAYS[1], reason)] if reason else [])


def test_an_adjusted_close_that_is_no_price_is_named():
    assert found([-98.0, float("inf"), None], events=()) == [
        (day, "adjusted_close_is_no_price") for day in DAYS
    ]


def test_a_step_without_an_event_is_named():
    assert found([90.0, 98.0, 99.0], events=()) == [(DAYS[1], "adjustment_without_event")]


def test_an_event_on_a_day_without_a_close_is_due_on_the_next():
    assert found([98.0, None, 99.0], closes=(100.0, None, 99.0)) == []
    assert found([100.0, None, 99.0], closes=(100.0, None, 99.0)) == [
        (DAYS[2], "dividend_not_adjusted")
    ]


def test_a_split_of_closes_as_traded_is_due_too():
    closes = (200.0, 98.0, 99.0)
    assert found([98.0, 98.0, 99.0], ratios=((DAYS[1], 2.0),), closes=closes) == []
