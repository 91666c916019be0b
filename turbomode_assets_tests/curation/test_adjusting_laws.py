"""What holds of adjusted bars whatever the prices, gaps and events are."""

import dataclasses
import datetime as dt
import random

import numpy as np
import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from turbomode_assets.curation.adjusting import adjust
from turbomode_assets.sessions import offset_session
from turbomode_assets_tests.curation.builders import MONDAY, bar, bars, dividends, splits

DAYS = [offset_session(MONDAY, n) for n in range(12)]
COLUMNS = ("open", "high", "low", "close", "volume")
few = settings(max_examples=10)


@dataclasses.dataclass(frozen=True)
class History:
    """Bars of two symbols with gaps, their events, and one of the days."""

    bars: pl.DataFrame
    splits: pl.DataFrame
    dividends: pl.DataFrame
    cut: dt.date

    def adjusted(self, **how) -> pl.DataFrame:
        return adjust(self.bars, self.splits, self.dividends, **how)

    def up_to(self, day) -> "History":
        known = pl.col("ex_date") <= day
        seen = self.bars.filter(pl.col("session") <= day)
        return History(seen, self.splits.filter(known), self.dividends.filter(known), day)


def previous_close(closes, ratios, ex_date):
    """Last close before a day, in the shares that trade on it."""
    before = max(day for day in closes if day < ex_date)
    held = [ratio for day, ratio in ratios.items() if before < day <= ex_date]
    return closes[before] / np.prod(held)


@st.composite
def histories(draw):
    parts = []
    for symbol in ("AAA", "BBB"):
        traded = [DAYS[0], *draw(st.lists(st.sampled_from(DAYS[1:]), unique=True, max_size=11))]
        closes = {day: draw(st.floats(1.0, 1000.0)) for day in sorted(traded)}
        some_days = st.lists(st.sampled_from(DAYS[1:]), unique=True, max_size=4)
        ratios = {day: draw(st.sampled_from([2.0, 1.5, 3.0, 0.1])) for day in draw(some_days)}
        paid = [
            (day, draw(st.floats(0.001, 0.5)) * before, before)
            for day in draw(some_days)
            for before in [previous_close(closes, ratios, day)]
        ]
        parts.append(
            (
                bars(*(bar(day, close, symbol=symbol) for day, close in closes.items())),
                splits(*ratios.items(), symbol=symbol),
                dividends(*paid, symbol=symbol),
            )
        )
    tables = (pl.concat(each) for each in zip(*parts, strict=True))
    return History(*tables, draw(st.sampled_from(DAYS)))


@given(histories())
@few
def test_no_later_event_changes_any_earlier_forward_value_to_the_last_bit(history):
    known = history.up_to(history.cut).adjusted()
    assert history.adjusted().filter(pl.col("session") <= history.cut).equals(known)


@given(histories())
@few
def test_prices_as_of_a_day_hold_nothing_later_to_the_last_bit(history):
    back = history.adjusted(as_of=history.cut)
    assert back.equals(history.up_to(history.cut).adjusted(as_of=history.cut))
    latest = back.filter(pl.col("session") == history.cut)
    traded = history.bars.filter(pl.col("session") == history.cut)
    assert latest.select(COLUMNS).equals(traded.select(COLUMNS))


@given(histories(), st.sampled_from([None, DAYS[-1]]))
@few
def test_a_range_is_that_part_of_the_whole_to_the_last_bit(history, as_of):
    whole = history.adjusted(as_of=as_of)
    inside = pl.col("session") >= history.cut
    part = dataclasses.replace(history, bars=history.bars.filter(inside))
    assume(part.bars.height)
    assert part.adjusted(as_of=as_of).equals(whole.filter(inside))


@given(histories(), st.randoms())
@few
def test_the_order_of_the_events_does_not_matter_to_the_last_bit(history, chance: random.Random):
    def shuffled(events):
        return events[chance.sample(range(events.height), events.height)]

    mixed = dataclasses.replace(
        history, splits=shuffled(history.splits), dividends=shuffled(history.dividends)
    )
    assert mixed.adjusted().equals(history.adjusted())
    assert mixed.adjusted(as_of=history.cut).equals(history.adjusted(as_of=history.cut))


@given(histories())
@few
def test_forward_and_back_differ_by_a_constant_for_each_symbol(history):
    forward = history.adjusted().filter(pl.col("session") <= history.cut)
    back = history.adjusted(as_of=history.cut)
    ratios = forward.select("symbol", *(pl.col(name) / back[name] for name in COLUMNS))
    for symbol in ratios.partition_by("symbol"):
        for name in COLUMNS:
            np.testing.assert_allclose(symbol[name], symbol[name][0], rtol=1e-12)


@given(histories())
@few
def test_adjusting_as_of_one_day_and_then_of_another_is_adjusting_as_of_the_other(history):
    direct = history.adjusted(as_of=history.cut)
    again = adjust(direct, history.splits, history.dividends, as_of=DAYS[-1])
    once = history.adjusted(as_of=DAYS[-1]).filter(pl.col("session") <= history.cut)
    for name in COLUMNS:
        np.testing.assert_allclose(again[name], once[name], rtol=1e-12)


@given(histories())
@few
def test_returns_are_those_of_a_holder_who_reinvests_every_dividend(history):
    adjusted = history.adjusted()
    for symbol in ("AAA", "BBB"):
        mine = pl.col("symbol") == symbol
        ratios = dict(history.splits.filter(mine).select("ex_date", "ratio").rows())
        paid = history.dividends.filter(mine).select("ex_date", "amount", "previous_close").rows()
        shares, worth, today = 1.0, [], DAYS[0]
        for day, close in history.bars.filter(mine).select("session", "close").iter_rows():
            while today < day:
                today = offset_session(today, 1)
                shares *= ratios.get(today, 1.0)
                for ex_date, amount, before in paid:
                    if ex_date == today:  # bought at what is left of the close before
                        shares += shares * amount / (before - amount)
            worth.append(shares * close)
        np.testing.assert_allclose(adjusted.filter(mine)["close"], worth, rtol=1e-12)


@given(histories())
@few
def test_only_dividends_change_price_times_volume(history):
    traded = history.bars["close"] * history.bars["volume"]
    by_splits = dataclasses.replace(history, dividends=history.dividends.clear()).adjusted()
    np.testing.assert_allclose(by_splits["close"] * by_splits["volume"], traded, rtol=1e-12)
    both, paid = (
        frame["close"] * frame["volume"]
        for frame in (
            history.adjusted(),
            dataclasses.replace(history, splits=history.splits.clear()).adjusted(),
        )
    )
    np.testing.assert_allclose(both, paid, rtol=1e-12)


@given(histories())
@few
def test_previous_closes_are_found_in_the_bars(history):
    open_question = history.dividends.join(history.splits, on=["symbol", "ex_date"], how="semi")
    assume(open_question.is_empty())
    unpriced = dataclasses.replace(history, dividends=history.dividends.drop("previous_close"))
    for as_of in (None, history.cut):
        found, given_them = unpriced.adjusted(as_of=as_of), history.adjusted(as_of=as_of)
        for name in COLUMNS:
            np.testing.assert_allclose(found[name], given_them[name], rtol=1e-12)


@given(histories(), st.sampled_from(DAYS))
@few
def test_a_delivery_adjusted_for_splits_is_worth_what_the_raw_one_is(history, delivered_on):
    ratios = history.splits.filter(pl.col("ex_date") <= delivered_on)
    known = history.bars.filter(pl.col("session") <= delivered_on)
    by_vendor = adjust(known, ratios, history.dividends.clear(), as_of=delivered_on)
    split = by_vendor.with_columns(adjustment=pl.lit("split"))
    from_vendor = dataclasses.replace(history, bars=split)
    raw = dataclasses.replace(history, bars=known)
    for as_of in (None, history.cut):
        ours, raws = from_vendor.adjusted(as_of=as_of), raw.adjusted(as_of=as_of)
        for name in COLUMNS:
            np.testing.assert_allclose(ours[name], raws[name], rtol=1e-12)
