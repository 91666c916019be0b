import datetime as dt

import polars as pl
import pytest

from turbomode_assets.curation import adjust_back, adjust_forward
from turbomode_assets.curation.adjusting import adjust
from turbomode_assets_tests.curation.builders import (
    MONDAY,
    SATURDAY,
    TUESDAY,
    bar,
    bars,
    dividends,
    splits,
)

WEDNESDAY, THURSDAY = dt.date(2015, 3, 11), dt.date(2015, 3, 12)
FRIDAY_BEFORE = dt.date(2015, 3, 6)
NO_SPLITS, NO_DIVIDENDS = splits(), dividends()
NEXT_DAYS = [MONDAY, TUESDAY, WEDNESDAY, THURSDAY]


def frame(*closes, days=NEXT_DAYS, volume=1000.0, **columns):
    """As little as a notebook may have: a close and a volume of each day."""
    count = len(closes)
    return pl.DataFrame(
        {"symbol": ["AAA"] * count, "session": days[:count], "close": closes}
        | {"volume": [volume] * count}
        | columns
    )


def delivered(*rows):
    """Bars of (close, adjustment, adjusted_as_of), from Monday on."""
    return frame(
        *(row[0] for row in rows),
        adjustment=[row[1] for row in rows],
        adjusted_as_of=[row[2] for row in rows],
    )


def paid(*events):
    """Dividends of (ex_date, amount) without a previous close."""
    return dividends(*((*event, 1e9) for event in events)).select("symbol", "ex_date", "amount")


def closes(adjusted):
    return pytest.approx(adjusted["close"].to_list(), rel=1e-12)


def test_a_reverse_split_divides_later_prices_and_multiplies_later_volumes():
    adjusted = adjust(frame(1.0, 10.0), splits((TUESDAY, 0.1)), NO_DIVIDENDS)
    assert closes(adjusted) == [1.0, 1.0]
    assert adjusted["volume"].to_list() == [1000.0, 10_000.0]


def test_prices_as_of_a_day_are_as_traded_on_that_day():
    back = adjust(
        frame(100.0, 50.0, 49.0, 24.5),
        splits((TUESDAY, 2.0), (THURSDAY, 2.0)),
        dividends((WEDNESDAY, 1.0, 50.0)),
        as_of=WEDNESDAY,
    )
    # Before the dividend 49 of 50 are left, before the split half of that: 100 x 0.49 = 49.
    assert closes(back) == [49.0, 49.0, 49.0]
    assert back["volume"].to_list() == [2000.0, 1000.0, 1000.0]


def test_a_regular_and_a_special_dividend_of_one_day_are_added():
    adjusted = adjust(frame(100.0, 95.0), NO_SPLITS, paid((TUESDAY, 2.0), (TUESDAY, 3.0)))
    # 95 / (1 - 5 / 100) = 100; one factor after the other would give 95 / (0.98 x 0.97).
    assert closes(adjusted) == [100.0, 100.0]


def test_the_order_in_which_dividends_of_one_day_are_listed_does_not_show_in_the_last_bit():
    events = [(TUESDAY, 0.1), (TUESDAY, 0.2), (TUESDAY, 0.3)]
    one, other = (
        adjust(frame(100.0, 99.4), NO_SPLITS, paid(*listed)) for listed in (events, events[::-1])
    )
    assert one.equals(other)


@pytest.mark.parametrize(("amount", "previous"), [(1.0, 50.0), (2.0, 100.0)])
def test_a_split_and_a_dividend_of_one_day_act_both_whichever_shares_were_paid(amount, previous):
    adjusted = adjust(
        frame(100.0, 49.0), splits((TUESDAY, 2.0)), dividends((TUESDAY, amount, previous))
    )
    assert closes(adjusted) == [100.0, 100.0]
    assert adjusted["volume"].to_list() == [1000.0, 500.0]


def test_the_previous_close_is_the_last_one_before_the_ex_date_in_the_shares_paid():
    raw = frame(100.0, None, 49.0, days=[FRIDAY_BEFORE, MONDAY, WEDNESDAY])
    # Monday has no close, Tuesday and its split no bar: 100 becomes 50, of which 1 is paid.
    adjusted = adjust(raw, splits((TUESDAY, 2.0)), paid((WEDNESDAY, 1.0)))
    assert adjusted["close"].to_list() == [100.0, None, pytest.approx(100.0)]


def test_a_split_on_the_day_of_the_last_close_is_already_in_it():
    adjusted = adjust(frame(100.0, 50.0, 49.0), splits((TUESDAY, 2.0)), paid((WEDNESDAY, 1.0)))
    assert closes(adjusted) == [100.0, 100.0, 100.0]


def test_only_dividends_without_a_previous_close_are_given_one():
    events = dividends((TUESDAY, 1.0, 50.0), (WEDNESDAY, 1.0, 1e9)).with_columns(
        previous_close=pl.when(pl.col("ex_date") == TUESDAY).then("previous_close")
    )
    adjusted = adjust(frame(100.0, 100.0, 99.0), NO_SPLITS, events)
    assert closes(adjusted) == [100.0, 100.0 / 0.98, 99.0 / 0.98 / 0.99]


def test_an_event_on_a_day_without_a_bar_takes_effect_on_the_next_bar():
    raw = frame(100.0, 49.0, days=[FRIDAY_BEFORE, MONDAY])
    events = splits((SATURDAY, 2.0)), dividends((SATURDAY, 1.0, 50.0))
    assert closes(adjust(raw, *events)) == [100.0, 100.0]
    assert closes(adjust(raw, *events, as_of=MONDAY)) == [49.0, 49.0]
    assert closes(adjust(raw, *events, as_of=FRIDAY_BEFORE)) == [100.0]


def test_events_after_the_day_are_ignored_whatever_they_are():
    raw = frame(100.0, 50.0)
    later = dividends((WEDNESDAY, 60.0, 50.0))
    back = adjust(raw, splits((TUESDAY, 2.0), (THURSDAY, 3.0)), later, as_of=TUESDAY)
    assert closes(back) == [50.0, 50.0]


def test_events_of_symbols_without_bars_are_ignored():
    elsewhere = dividends((TUESDAY, 60.0, 50.0), symbol="BBB")
    raw = frame(100.0, 50.0)
    assert adjust(raw, splits((TUESDAY, 2.0), symbol="BBB"), elsewhere).equals(raw)


def test_a_split_delivery_is_taken_back_before_a_later_split_acts():
    # As of Tuesday, when a share had become two: 100 and 102 were delivered as 50 and 51.
    raw = delivered(
        (50.0, "split", TUESDAY), (51.0, "split", TUESDAY), (17.0, "raw", None), (18.0, "raw", None)
    )
    ratios = splits((TUESDAY, 2.0), (WEDNESDAY, 3.0))
    assert closes(adjust(raw, ratios, NO_DIVIDENDS)) == [100.0, 102.0, 102.0, 108.0]
    assert closes(adjust(raw, ratios, NO_DIVIDENDS, as_of=TUESDAY)) == [50.0, 51.0]
    # On Monday a share was still one, though what undoes the delivery came later.
    assert closes(adjust(raw, ratios, NO_DIVIDENDS, as_of=MONDAY)) == [100.0]


def test_a_dividend_on_a_split_delivery_is_measured_by_the_close_that_was_traded():
    raw = delivered((50.0, "split", WEDNESDAY), (49.0, "split", WEDNESDAY))
    # Delivered 50 was 100 before Wednesday's split; 2 of these 100 were paid.
    adjusted = adjust(raw, splits((WEDNESDAY, 2.0)), paid((TUESDAY, 2.0)))
    assert closes(adjusted) == [100.0, 100.0]


def test_a_delivery_with_dividends_inside_meets_later_actions_alone():
    mark = ("split_dividend", TUESDAY)
    raw = delivered((50.0, *mark), (50.0, *mark), (24.5, "raw", None))
    events = splits((TUESDAY, 2.0), (WEDNESDAY, 2.0)), dividends((WEDNESDAY, 0.5, 25.0))
    # Up to Tuesday the vendor did it; on Wednesday 50 become 25, of which 0.5 is paid.
    assert closes(adjust(raw, *events, as_of=WEDNESDAY)) == [24.5, 24.5, 24.5]
    forward = adjust(raw, *events)
    assert closes(forward) == [100.0, 100.0, 100.0]
    assert forward["volume"].to_list() == [500.0, 500.0, 250.0]


def test_back_adjusted_bars_say_as_of_when_and_may_be_adjusted_again():
    raw = delivered((100.0, "raw", None), (50.0, "raw", None), (49.0, "raw", None))
    events = splits((TUESDAY, 2.0)), dividends((WEDNESDAY, 1.0, 50.0))
    first = adjust(raw, *events, as_of=TUESDAY)
    assert first.select("adjustment", "adjusted_as_of").unique().rows() == [
        ("split_dividend", TUESDAY)
    ]
    again = adjust(pl.concat([first, raw[2:]]), *events, as_of=WEDNESDAY)
    assert closes(again) == [49.0, 49.0, 49.0]
    assert again.equals(adjust(raw, *events, as_of=WEDNESDAY))


def test_bars_adjusted_as_of_a_later_day_keep_their_mark():
    raw = delivered((50.0, "split_dividend", THURSDAY))
    assert adjust(raw, splits((TUESDAY, 2.0)), NO_DIVIDENDS, as_of=MONDAY).equals(raw)


def test_only_prices_and_volume_change_and_integers_are_welcome():
    raw = frame(100, 50, volume=1000, vwap=[101, 51], dollar_volume=[1e5, 5e4], day=["a", "b"])
    adjusted = adjust(raw, splits((TUESDAY, 2.0)).cast({"ratio": pl.Int64}), NO_DIVIDENDS)
    assert adjusted.columns == raw.columns
    assert adjusted["vwap"].to_list() == [101.0, 102.0]
    assert adjusted.select("dollar_volume", "day").equals(raw.select("dollar_volume", "day"))


def test_prices_without_a_close_need_dividends_with_a_previous_close():
    raw = frame(100.0, 98.0).rename({"close": "open"})
    adjusted = adjust(raw, NO_SPLITS, dividends((TUESDAY, 2.0, 100.0)))
    assert adjusted["open"].to_list() == pytest.approx([100.0, 100.0])


def test_it_is_what_features_and_people_with_whole_tables_get():
    raw = bars(bar(MONDAY, 100.0), bar(TUESDAY, 33.0), bar(WEDNESDAY, 31.0))
    events = splits((TUESDAY, 3.0)), dividends((WEDNESDAY, 1.0, 33.0))
    assert adjust(raw, *events).equals(adjust_forward(raw, *events))
    back = adjust(raw, *events, as_of=TUESDAY).drop("adjustment", "adjusted_as_of")
    assert back.equals(adjust_back(raw, *events, TUESDAY).drop("adjustment", "adjusted_as_of"))
