import datetime as dt

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.findings import FINDINGS
from turbomode_assets.curation import (
    DIVIDEND_REASONS,
    adjustment_factors,
    screen_dividends,
    usable_dividends,
)
from turbomode_assets_tests.curation.builders import bar, bars, dividends, shipped_config, splits

START = dt.date(2014, 1, 2)


def quarter(number):
    return START + dt.timedelta(days=91 * number)


def judged(*events):
    usable, findings = usable_dividends(dividends(*events), shipped_config())
    assert findings.schema == FINDINGS
    assert set(findings["reason"]) <= set(DIVIDEND_REASONS)
    assert usable.schema == dividends().schema
    return (
        usable.select("ex_date", "amount").rows(),
        findings.select("reason", "old_value", "new_value", "action").rows(),
    )


REGULAR = tuple((quarter(n), 0.5, 50.0) for n in range(4))


def test_regular_dividends_are_usable_as_they_are():
    assert judged(*REGULAR) == ([(quarter(n), 0.5) for n in range(4)], [])


@pytest.mark.parametrize(("amount", "repaired"), [(48.0, 0.48), (0.0052, 0.52)])
def test_an_amount_a_hundred_times_off_its_history_is_scaled_back(amount, repaired):
    usable, findings = judged(*REGULAR, (quarter(4), amount, 50.0))
    assert usable[-1] == (quarter(4), pytest.approx(repaired))
    assert findings == [("amount_unit_error", amount, pytest.approx(repaired), "repaired")]


def test_without_enough_history_an_impossible_amount_is_left_out():
    usable, findings = judged((quarter(0), 55.0, 50.0))
    assert (usable, findings) == ([], [("amount_above_close", 55.0, None, "left_out")])


def test_a_large_first_dividend_is_left_out():
    assert judged((quarter(0), 15.0, 50.0))[1][0][0] == "implausible_amount"


def test_a_special_dividend_is_believed():
    assert judged(*REGULAR, (quarter(4), 20.0, 50.0))[1] == []


def test_a_fund_that_paid_large_gains_before_is_believed_again():
    gains = ((quarter(4), 5.0, 50.0), (quarter(9), 15.0, 50.0))
    small = tuple((quarter(n), 0.12, 50.0) for n in range(4))
    assert judged(*small, *gains)[1] == []


def test_large_dividends_quarter_after_quarter_are_not_believed():
    events = [(quarter(n), 8.0, 50.0) for n in range(4)]
    usable, findings = judged(*events)
    assert [when for when, _ in usable] == [quarter(0), quarter(1)]
    assert {reason for reason, *_ in findings} == {"implausible_amount"}


def test_a_repeat_within_days_is_left_out_and_a_weekly_payer_is_not():
    day = quarter(0)
    usable, findings = judged((day, 0.5, 50.0), (day + dt.timedelta(days=1), 0.5, 50.0))
    assert usable == [(day, 0.5)]
    assert findings == [("repeated_dividend", 0.5, None, "left_out")]
    weekly = [(day + dt.timedelta(days=7 * n), 0.5, 50.0) for n in range(4)]
    assert judged(*weekly)[1] == []


def test_a_bad_dividend_is_no_history():
    bad = tuple((quarter(n), 60.0, 50.0) for n in range(4))
    usable, findings = judged(*bad, (quarter(4), 0.5, 50.0))
    assert usable == [(quarter(4), 0.5)]
    assert len(findings) == 4


amounts = st.lists(
    st.tuples(st.sampled_from([1, 20, 91, 365]), st.floats(0.0005, 120.0)), max_size=12
)


@given(amounts, st.integers(0, 12))
@settings(max_examples=40)
def test_factors_can_always_be_computed_and_no_later_event_changes_a_verdict(payments, known):
    events, day = [], START
    for days, amount in payments:
        day += dt.timedelta(days=days)
        events.append((day, amount, 50.0))
    usable, findings = usable_dividends(dividends(*events), shipped_config())
    assert usable.height + findings.filter(pl.col("action") == "left_out").height == len(events)
    factors = adjustment_factors(bars(bar(day, 50.0)), splits(), usable)
    assert 1 <= factors["price_factor"][0] < float("inf")
    early, _ = usable_dividends(dividends(*events[:known]), shipped_config())
    assert usable.head(early.height).equals(early)


def screened(rows, events, ratios=()):
    history = bars(*(bar(when, close, open=first, low=low) for when, first, low, close in rows))
    findings = screen_dividends(dividends(*events), history, splits(*ratios), shipped_config())
    return findings.select("session", "reason", "action").rows()


def eve(day):
    return day - dt.timedelta(days=1)


def test_a_large_dividend_that_the_price_does_not_show_is_flagged():
    day = quarter(3)
    rows = [(eve(day), 50.0, 50.0, 50.0), (day, 49.8, 49.0, 49.5)]
    event = (*REGULAR[:3], (day, 5.0, 50.0))
    assert screened(rows, event) == [(day, "dividend_not_in_price", "flagged")]
    fell = [(eve(day), 50.0, 50.0, 50.0), (day, 45.2, 44.0, 45.5)]
    assert screened(fell, event) == []


def test_an_amount_in_the_shares_before_a_split_of_the_same_day_is_flagged():
    day = quarter(3)
    rows = [(eve(day), 50.0, 50.0, 50.0), (day, 9.9, 9.7, 9.9)]
    event = (*REGULAR[:3], (day, 2.5, 50.0))
    assert screened(rows, event, [(day, 5.0)]) == [(day, "amount_in_old_shares", "flagged")]


def test_amounts_a_hundred_times_too_small_are_flagged_from_the_third_on():
    days = [quarter(n) for n in range(4)]
    rows = [row for day in days for row in ((eve(day), 50.0, 50.0, 50.0), (day, 49.1, 48.9, 49.2))]
    small = [(day, 0.01, 50.0) for day in days]
    assert screened(rows, small) == [(day, "dividend_too_small", "flagged") for day in days[2:]]
