import datetime as dt

import polars as pl
import pytest

from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.curation.adjusting import adjust
from turbomode_assets_tests.curation.builders import (
    MONDAY,
    TUESDAY,
    bar,
    bars,
    dividends,
    splits,
)

RAW = bars(bar(MONDAY, 100.0), bar(TUESDAY, 50.0))
LATER = bars(bar(TUESDAY, 50.0, adjustment="split_dividend", adjusted_as_of=TUESDAY))
NO_SPLITS, NO_DIVIDENDS = splits(), dividends()
WEDNESDAY = dt.date(2015, 3, 11)


def unpriced(*events):
    return dividends(*((*event, 1e9) for event in events)).drop("previous_close")


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (RAW.drop("session"), "missing columns: session"),
        (RAW.drop("volume"), "missing columns: volume"),
        (RAW.drop("open", "high", "low", "close"), "no column of prices"),
        (RAW.drop("adjusted_as_of"), "missing columns: adjusted_as_of"),
        (RAW.cast({"close": pl.String}), "close is String, not a number"),
        (RAW.cast({"session": pl.Datetime}), "session is Datetime"),
        (RAW.clear(), "there is no bar"),
        (RAW.reverse(), "rows out of order: symbol=AAA session=2015-03-09"),
        (pl.concat([RAW, RAW]).sort("session"), "duplicated rows: symbol=AAA session=2015-03-09"),
        (RAW.with_columns(symbol=pl.lit(None, dtype=pl.String)), "null keys"),
        (RAW.with_columns(adjustment=pl.lit("all")), "unknown adjustment: .* adjustment=all"),
        (RAW.with_columns(adjustment=pl.lit("split")), "do not say as of when: symbol=AAA"),
    ],
)
def test_bars_that_are_no_sorted_unique_panel_are_refused(broken, complaint):
    with pytest.raises(InputError, match=complaint):
        adjust(broken, NO_SPLITS, NO_DIVIDENDS)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (NO_SPLITS.drop("ratio"), "missing columns: ratio"),
        (splits((TUESDAY, 2.0)).cast({"ex_date": pl.String}), "ex_date is String, not Date"),
        (splits((TUESDAY, 2.0), (TUESDAY, 3.0)), "several splits of a symbol on one day"),
        (splits((TUESDAY, None)), "null ratio: symbol=AAA ex_date=2015-03-10"),
    ],
)
def test_splits_of_the_wrong_form_are_refused(broken, complaint):
    with pytest.raises(InputError, match=complaint):
        adjust(RAW, broken, NO_DIVIDENDS)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (NO_DIVIDENDS.drop("amount"), "missing columns: amount"),
        (dividends((TUESDAY, 1.0, 50.0), (TUESDAY, 1.0, 50.0)), "the same dividend twice"),
        (dividends((TUESDAY, 1.0, 50.0), (TUESDAY, 2.0, 60.0)), "different previous closes"),
        (unpriced((MONDAY, 1.0)), "no close before the ex-date: symbol=AAA ex_date=2015-03-09"),
    ],
)
def test_dividends_of_the_wrong_form_or_without_a_previous_close_are_refused(broken, complaint):
    with pytest.raises(InputError, match=complaint):
        adjust(RAW, NO_SPLITS, broken)


@pytest.mark.parametrize("ratio", [0.0, -2.0, float("nan"), float("inf")])
def test_a_ratio_that_is_no_number_above_zero_is_refused(ratio):
    with pytest.raises(ContractError, match="ratio is not a number above 0"):
        adjust(RAW, splits((TUESDAY, ratio)), NO_DIVIDENDS)


@pytest.mark.parametrize(("amount", "previous"), [(0.0, 50.0), (-1.0, 50.0), (1.0, 0.0)])
def test_an_amount_or_previous_close_that_is_not_above_zero_is_refused(amount, previous):
    with pytest.raises(ContractError, match="is not a number above 0"):
        adjust(RAW, NO_SPLITS, dividends((TUESDAY, amount, previous)))


@pytest.mark.parametrize(
    "events",
    [
        dividends((TUESDAY, 50.0, 50.0)),
        unpriced((TUESDAY, 100.0)),
        unpriced((TUESDAY, 60.0), (TUESDAY, 41.0)),
    ],
)
def test_dividends_of_a_day_at_or_above_the_previous_close_are_refused(events):
    with pytest.raises(ContractError, match="a dividend is not below the previous close"):
        adjust(RAW, NO_SPLITS, events)


def test_a_split_on_the_day_of_a_dividend_leaves_open_which_shares_were_paid():
    with pytest.raises(InputError, match="a dividend and a split on one day"):
        adjust(RAW, splits((TUESDAY, 2.0)), unpriced((TUESDAY, 1.0)))


def test_a_close_with_later_dividends_in_it_is_no_previous_close():
    marked = RAW.with_columns(adjustment=pl.lit("split_dividend"), adjusted_as_of=pl.lit(WEDNESDAY))
    with pytest.raises(InputError, match="has later dividends in it: symbol=AAA"):
        adjust(marked, NO_SPLITS, unpriced((TUESDAY, 1.0)))


def test_a_close_adjusted_as_of_its_own_day_is_a_previous_close():
    adjusted = adjust(LATER, NO_SPLITS, unpriced((WEDNESDAY, 1.0)))
    assert adjusted["close"].to_list() == [50.0]


def test_prices_without_a_close_give_no_previous_close():
    with pytest.raises(InputError, match="no close before the ex-date"):
        adjust(RAW.drop("close"), NO_SPLITS, unpriced((TUESDAY, 1.0)))


def test_as_of_is_a_day_and_no_time():
    noon = dt.datetime(2015, 3, 10, 12, tzinfo=dt.UTC)
    with pytest.raises(InputError, match=r"pass a date: as_of\.date\(\)"):
        adjust(RAW, NO_SPLITS, NO_DIVIDENDS, as_of=noon)


def test_events_without_rows_may_have_columns_without_a_type():
    none = pl.DataFrame({"symbol": [], "ex_date": [], "ratio": []})
    adjusted = adjust(RAW, none, none.rename({"ratio": "amount"}))
    assert adjusted.equals(RAW)
