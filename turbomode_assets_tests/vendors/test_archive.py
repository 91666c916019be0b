import datetime as dt
import os

import polars as pl
import pytest

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors import Candles, NoData, VendorFailure
from turbomode_assets_tests.builders import real_data_folder
from turbomode_assets_tests.vendors.builders import (
    FRIDAY,
    MONDAY,
    TUESDAY,
    WEEK,
    archive,
    candle_rows,
    request,
    write,
)

HEADER = "symbol,date,open,high,low,close,volume\n"
TWO_DAYS = candle_rows(("AAA", FRIDAY, 100.0), ("AAA", MONDAY, 50.0))


def fetched(vendor, symbol="AAA", **values):
    answer = vendor.fetch_candles(request(symbol, **values))
    assert isinstance(answer, Candles)
    return answer.frame


def dividends_of(vendor, span=WEEK):
    return vendor.fetch_corporate_actions(request("AAA", span)).dividends.rows()


def test_candles_start_at_the_open_of_their_session(tmp_path):
    frame = fetched(archive(tmp_path, TWO_DAYS))
    # Daylight saving time began on 8 March 2015.
    assert frame["ts"].to_list() == [
        dt.datetime(2015, 3, 6, 14, 30, tzinfo=dt.UTC),
        dt.datetime(2015, 3, 9, 13, 30, tzinfo=dt.UTC),
    ]
    assert frame["close"].to_list() == [100.0, 50.0]
    assert frame["volume"].dtype == pl.Float64
    assert frame["vwap"].null_count() == 2


def test_csv_and_parquet_give_the_same(tmp_path):
    TWO_DAYS.write_csv(tmp_path / "candles.csv")
    from_csv = fetched(archive(tmp_path, candles="candles.csv"))
    assert from_csv.equals(fetched(archive(tmp_path, TWO_DAYS)))


def test_a_csv_volume_may_turn_fractional_after_many_rows(tmp_path):
    days = [dt.date(2015, 1, 1) + dt.timedelta(days=n) for n in range(200)]
    lines = [f"COIN,{day},1,1,1,1,{7 if n < 199 else 0.5}\n" for n, day in enumerate(days)]
    write(tmp_path, "candles.csv", HEADER + "".join(lines))
    vendor = archive(tmp_path, candles="candles.csv")
    span = SessionSpan(dt.date(2015, 1, 2), dt.date(2015, 7, 20))
    assert fetched(vendor, "COIN", span=span, calendar="24/7")["volume"][-1] == 0.5


def test_several_files_are_one_archive(tmp_path):
    TWO_DAYS.write_parquet(tmp_path / "a.parquet")
    candle_rows(("BBB", MONDAY, 7.0)).write_csv(tmp_path / "b.csv")
    vendor = archive(tmp_path, candles="*.*")
    assert vendor.fetch_metadata().frame["symbol"].to_list() == ["AAA", "BBB"]
    assert fetched(vendor, "BBB")["close"].to_list() == [7.0]


def test_a_relative_folder_hangs_below_the_data_root(tmp_path):
    (tmp_path / "mine").mkdir()
    TWO_DAYS.write_parquet(tmp_path / "mine" / "candles.parquet")
    assert fetched(archive(tmp_path, folder="mine")).height == 2


def test_only_the_span_is_delivered_and_says_how_it_is_adjusted(tmp_path):
    vendor = archive(tmp_path, TWO_DAYS, adjustment="split_dividend", adjusted_as_of=TUESDAY)
    answer = vendor.fetch_candles(request("AAA", SessionSpan(MONDAY, MONDAY)))
    assert answer.frame["close"].to_list() == [50.0]
    assert (answer.adjustment, answer.adjusted_as_of) == ("split_dividend", TUESDAY)


def test_a_round_the_clock_symbol_has_weekend_candles_from_midnight(tmp_path):
    rows = candle_rows(("COIN", dt.date(2015, 3, 7), 5.0), ("COIN", MONDAY, 6.0))
    frame = fetched(
        archive(tmp_path, rows), "COIN", span=SessionSpan(MONDAY, MONDAY), calendar="24/7"
    )
    assert frame["ts"].to_list() == [
        dt.datetime(2015, 3, 7, tzinfo=dt.UTC),
        dt.datetime(2015, 3, 9, tzinfo=dt.UTC),
    ]


def test_a_partial_bar_is_delivered_as_it_is(tmp_path):
    rows = TWO_DAYS.with_columns(open=pl.lit(None, dtype=pl.Float64))
    assert fetched(archive(tmp_path, rows))["open"].null_count() == 2


def test_midnight_timestamps_are_dates(tmp_path):
    rows = TWO_DAYS.with_columns(pl.col("date").cast(pl.Datetime("ns")))
    assert fetched(archive(tmp_path, rows)).height == 2


def test_a_file_is_read_again_when_it_changes(tmp_path):
    assert fetched(archive(tmp_path, TWO_DAYS)).height == 2
    vendor = archive(tmp_path, TWO_DAYS.head(1))
    os.utime(tmp_path / "candles.parquet", ns=(1, 1))
    assert fetched(vendor).height == 1


def test_no_candle_between_others_is_a_fact(tmp_path):
    rows = candle_rows(("AAA", FRIDAY, 1.0), ("AAA", TUESDAY, 1.0), ("BBB", MONDAY, 1.0))
    answer = archive(tmp_path, rows).fetch_candles(request("AAA", SessionSpan(MONDAY, MONDAY)))
    assert answer == NoData(
        "no candle from 2015-03-07 to 2015-03-09: trading was halted or the day is missing"
    )


def test_no_candle_before_the_first_and_after_the_last_is_a_fact(tmp_path):
    rows = candle_rows(("AAA", MONDAY, 1.0), ("BBB", FRIDAY, 1.0), ("BBB", TUESDAY, 1.0))
    vendor = archive(tmp_path, rows)
    before = vendor.fetch_candles(request("AAA", SessionSpan(FRIDAY, FRIDAY)))
    after = vendor.fetch_candles(request("AAA", SessionSpan(TUESDAY, TUESDAY)))
    assert before == NoData("no candle before 2015-03-09")
    assert after == NoData("no candle after 2015-03-09")


def test_a_symbol_without_any_candle_is_a_failure(tmp_path):
    answer = archive(tmp_path, TWO_DAYS).fetch_candles(request("ZZZ"))
    assert isinstance(answer, VendorFailure)
    assert (answer.kind, answer.retryable) == ("unknown_symbol", False)


def test_a_span_the_archive_does_not_reach_is_a_failure(tmp_path):
    later = SessionSpan(dt.date(2016, 1, 4), dt.date(2016, 1, 5))
    answer = archive(tmp_path, TWO_DAYS).fetch_candles(request("AAA", later))
    assert isinstance(answer, VendorFailure)
    assert (answer.kind, answer.message) == (
        "out_of_range",
        "the archive holds 2015-03-06 to 2015-03-09 only",
    )


def spoilt(column, value, dtype=pl.Float64):
    return TWO_DAYS.with_columns(
        pl.when(pl.col("date") == MONDAY)
        .then(value)
        .otherwise(pl.col(column))
        .cast(dtype)
        .alias(column)
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (TWO_DAYS.drop("low"), "missing columns: low"),
        (TWO_DAYS.with_columns(colour=1), "unknown columns: colour"),
        (TWO_DAYS.cast({"close": pl.String}), "column close is String, not Float64"),
        (TWO_DAYS.cast({"date": pl.String}), "column date is String, not Date"),
        (spoilt("high", float("nan")), "high is not finite: row=2 symbol=AAA date=2015-03-09"),
        (spoilt("high", float("inf")), "high is not finite: row=2 symbol=AAA date=2015-03-09"),
        (spoilt("volume", -1.0), "volume is below 0: row=2"),
        (pl.concat([TWO_DAYS, TWO_DAYS.tail(1)]), "duplicated keys: symbol=AAA date=2015-03-09"),
        (
            TWO_DAYS.with_columns(symbol=pl.lit(None, dtype=pl.String)),
            "symbol is missing: row=1 symbol=None date=2015-03-06",
        ),
        (
            TWO_DAYS.with_columns(pl.col("date").cast(pl.Datetime("us")).dt.offset_by("9h")),
            "date is no Date: row=1 symbol=AAA date=2015-03-06 09:00:00",
        ),
    ],
)
def test_a_broken_file_is_refused_by_name_column_and_row(tmp_path, rows, message):
    vendor = archive(tmp_path, rows)
    with pytest.raises(InputError) as refusal:
        vendor.fetch_candles(request("AAA"))
    assert message in refusal.value.what
    assert "candles.parquet" in refusal.value.where


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "AAA,2015-03-06,ten,1,1,1,1",
            "open is no Float64: row=1 symbol=AAA date=2015-03-06 open=ten",
        ),
        ("AAA,06/03/2015,1,1,1,1,1", "date is no Date: row=1 symbol=AAA date=06/03/2015"),
        ("AAA,2015-03-06,NaN,1,1,1,1", "open is not finite"),
    ],
)
def test_a_malformed_csv_value_is_shown_as_it_stands(tmp_path, line, message):
    write(tmp_path, "candles.csv", HEADER + line + "\n")
    with pytest.raises(InputError) as refusal:
        archive(tmp_path, candles="candles.csv").fetch_metadata()
    assert message in refusal.value.what


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    write(tmp_path, "candles.parquet", "not a table")
    with pytest.raises(InputError, match=r"cannot be read.*\n.*candles\.parquet"):
        archive(tmp_path).fetch_metadata()


def test_a_missing_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match="the archive folder does not exist"):
        archive(tmp_path, folder=str(tmp_path / "nowhere")).fetch_metadata()
    with pytest.raises(InputError, match="no Parquet or CSV file matches"):
        archive(tmp_path).fetch_metadata()


def test_dates_that_are_no_sessions_are_refused_or_dropped_inside_the_span_only(tmp_path):
    rows = pl.concat([TWO_DAYS, candle_rows(("AAA", dt.date(2015, 3, 8), 1.0))])
    with pytest.raises(InputError, match="no XNYS sessions: symbol=AAA date=2015-03-08"):
        archive(tmp_path, rows).fetch_candles(request("AAA"))
    assert fetched(archive(tmp_path, off_session_rows="drop")).height == 2
    assert fetched(archive(tmp_path), span=SessionSpan(FRIDAY, FRIDAY)).height == 1


def test_a_symbols_file_says_what_each_symbol_is(tmp_path):
    write(
        tmp_path,
        "symbols.csv",
        "symbol,name,asset_class,calendar,role,sector,last_session,source\n"
        "AAA,Alpha,stock,XNYS,tradeable,Energy,2015-03-09,me\n"
        "SPY,,etf,XNYS,benchmark,,,me\n",
    )
    frame = archive(tmp_path, TWO_DAYS, symbols="symbols.csv").fetch_metadata().frame
    assert frame.rows() == [
        ("AAA", "Alpha", "stock", "XNYS", "tradeable", "Energy", None, None, MONDAY),
        ("SPY", None, "etf", "XNYS", "benchmark", None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("AAA,Alpha,bond,XNYS,tradeable,,", "asset_class is none of stock, etf, crypto"),
        ("AAA,Alpha,stock,LSE,tradeable,,", "calendar is none of XNYS, 24/7"),
        ("AAA,Alpha,stock,XNYS,tradeable,,2015-03-08", "last_session is no XNYS session"),
    ],
)
def test_a_symbols_file_with_unknown_words_is_refused(tmp_path, line, message):
    header = "symbol,name,asset_class,calendar,role,sector,last_session\n"
    write(tmp_path, "symbols.csv", header + line + "\n")
    with pytest.raises(InputError, match=message):
        archive(tmp_path, TWO_DAYS, symbols="symbols.csv").fetch_metadata()


def test_splits_inside_the_span_are_delivered(tmp_path):
    write(tmp_path, "splits.csv", "symbol,ex_date,ratio\nAAA,2015-03-09,2\nAAA,2016-03-09,3\n")
    vendor = archive(tmp_path, TWO_DAYS, splits="splits.csv")
    found = vendor.fetch_corporate_actions(request("AAA"))
    assert found.splits.rows() == [(MONDAY, 2.0)]
    assert found.dividends.is_empty()


def test_a_split_ratio_of_zero_is_refused(tmp_path):
    write(tmp_path, "splits.csv", "symbol,ex_date,ratio\nAAA,2015-03-09,0\n")
    with pytest.raises(InputError, match="ratio is not above 0: row=1"):
        archive(tmp_path, TWO_DAYS, splits="splits.csv").fetch_corporate_actions(request("AAA"))


def test_a_stated_previous_close_is_taken(tmp_path):
    write(tmp_path, "d.csv", "symbol,ex_date,amount,previous_close\nAAA,2015-03-09,1,80\n")
    assert dividends_of(archive(tmp_path, TWO_DAYS, dividends="d.csv")) == [(MONDAY, 1.0, 80.0)]


def test_the_previous_close_of_raw_prices_is_the_last_close_before(tmp_path):
    write(tmp_path, "d.csv", "symbol,ex_date,amount\nAAA,2015-03-09,1\nAAA,2015-03-11,2\n")
    vendor = archive(tmp_path, TWO_DAYS, dividends="d.csv")
    assert dividends_of(vendor) == [(MONDAY, 1.0, 100.0), (dt.date(2015, 3, 11), 2.0, 50.0)]


def test_the_previous_close_of_split_adjusted_prices_is_brought_back_to_its_shares(tmp_path):
    write(tmp_path, "d.csv", "symbol,ex_date,amount\nAAA,2015-03-09,1\n")
    write(tmp_path, "s.csv", "symbol,ex_date,ratio\nAAA,2015-06-01,7\nAAA,2016-06-01,2\n")
    vendor = archive(
        tmp_path,
        TWO_DAYS,
        dividends="d.csv",
        splits="s.csv",
        adjustment="split",
        adjusted_as_of=dt.date(2015, 12, 31),
    )
    assert dividends_of(vendor) == [(MONDAY, 1.0, 700.0)]


def test_a_split_between_the_last_candle_and_the_dividend_is_in_the_previous_close(tmp_path):
    write(tmp_path, "d.csv", "symbol,ex_date,amount\nAAA,2015-03-12,1\n")
    write(tmp_path, "s.csv", "symbol,ex_date,ratio\nAAA,2015-03-11,2\n")
    vendor = archive(tmp_path, TWO_DAYS, dividends="d.csv", splits="s.csv")
    assert dividends_of(vendor) == [(dt.date(2015, 3, 12), 1.0, 25.0)]


def test_a_dividend_and_a_split_on_one_day_need_a_stated_previous_close(tmp_path):
    write(tmp_path, "d.csv", "symbol,ex_date,amount\nAAA,2015-03-09,1\n")
    write(tmp_path, "s.csv", "symbol,ex_date,ratio\nAAA,2015-03-09,2\n")
    vendor = archive(tmp_path, TWO_DAYS, dividends="d.csv", splits="s.csv")
    with pytest.raises(InputError, match="dividend and split on one day: ex_date=2015-03-09"):
        dividends_of(vendor)


def test_a_dividend_before_the_first_candle_is_left_out(tmp_path):
    write(tmp_path, "d.csv", "symbol,ex_date,amount\nAAA,2015-03-06,1\n")
    assert dividends_of(archive(tmp_path, TWO_DAYS, dividends="d.csv")) == []


def test_a_dividend_as_large_as_the_price_is_refused(tmp_path):
    write(tmp_path, "d.csv", "symbol,ex_date,amount\nAAA,2015-03-09,100\n")
    with pytest.raises(InputError, match="not below the previous close: ex_date=2015-03-09"):
        dividends_of(archive(tmp_path, TWO_DAYS, dividends="d.csv"))


def test_dividends_already_in_the_prices_are_not_delivered_and_the_vendor_says_so(tmp_path):
    write(tmp_path, "d.csv", "symbol,ex_date,amount\nAAA,2015-03-09,1\nAAA,2015-03-11,2\n")
    vendor = archive(
        tmp_path,
        TWO_DAYS,
        dividends="d.csv",
        adjustment="split_dividend",
        adjusted_as_of=MONDAY,
    )
    assert dividends_of(vendor) == [(dt.date(2015, 3, 11), 2.0, 50.0)]
    assert "prices contain dividends up to 2015-03-09" in vendor.notes[0]


@pytest.mark.real_data
def test_real_split_adjusted_prices_give_previous_closes_as_traded():
    folder = real_data_folder()
    vendor = archive(
        folder,
        candles="daily_500.parquet",
        splits="splits.csv",
        dividends="dividends.csv",
        adjustment="split",
        adjusted_as_of=dt.date(2018, 2, 7),
    )
    span = SessionSpan(dt.date(2014, 5, 1), dt.date(2014, 8, 29))
    found = vendor.fetch_corporate_actions(request("AAPL", span)).dividends
    wiki = pl.read_parquet(folder / "wiki_raw_and_adjusted.parquet")
    for ex_date, _, previous_close in found.rows():
        before = wiki.filter(pl.col("date") < ex_date)["close"][-1]
        assert previous_close == pytest.approx(before, rel=1e-4)
    assert found["ex_date"].to_list() == [dt.date(2014, 5, 8), dt.date(2014, 8, 7)]
