import datetime as dt

import pytest
import yfinance

from turbomode_assets.vendors.protocol import CANDLE_SCHEMA, Candles, NoData
from turbomode_assets_tests.vendors.fake_yahoo import Fault
from turbomode_assets_tests.vendors.fake_yahoo_market import Listing
from turbomode_assets_tests.vendors.yahoo_desk import at, failure

pytest_plugins = ["turbomode_assets_tests.vendors.yahoo_fixtures"]


def result_of(reply):
    return reply["chart"]["result"][0]


def with_row(second, *values):
    """A change that adds a row (open, high, low, close, volume) to a chart."""

    def change(reply):
        result = result_of(reply)
        result["timestamp"].append(int(second.timestamp()))
        quote = result["indicators"]["quote"][0]
        for name, value in zip(("open", "high", "low", "close", "volume"), values, strict=True):
            quote[name].append(value)
        return reply

    return Fault(change=change)


def with_meta(**values):
    def change(reply):
        result_of(reply)["meta"].update(values)
        return reply

    return Fault(change=change)


def starts(frame):
    return [f"{moment:%m-%d %H:%M}" for moment in frame["ts"]]


def test_daily_candles_start_at_the_open_in_summer_and_in_winter(desk):
    answer = desk.candles("AAPL", "2024-03-07", "2024-03-11")
    assert answer.frame.schema == CANDLE_SCHEMA
    assert answer.frame.rows() == [
        (at("2024-03-07T14:30"), 107.0, 109.0, 106.0, 108.0, 7000.0, None, None),
        (at("2024-03-08T14:30"), 108.0, 110.0, 107.0, 109.0, 8000.0, None, None),
        (at("2024-03-11T13:30"), 111.0, 113.0, 110.0, 112.0, 11000.0, None, None),
    ]


def test_prices_of_stocks_and_etfs_are_split_adjusted_as_of_the_new_york_day_of_the_fetch(desk):
    desk.yahoo.listings["AAPL"].splits[dt.date(2024, 6, 10)] = (4, 1)
    answer = desk.candles("AAPL", "2024-06-07", "2024-06-10")
    assert (answer.adjustment, answer.adjusted_as_of) == ("split", dt.date(2024, 12, 19))
    assert answer.frame["open"].to_list() == [26.75, 110.0]
    assert answer.frame["volume"].to_list() == [28000.0, 10000.0]
    assert desk.candles("SPY", "2024-06-07", "2024-06-10").adjustment == "split"


def test_daily_candles_of_crypto_are_raw_and_start_at_midnight_on_weekends_too(desk):
    answer = desk.candles("BTC-USD", "2024-03-08", "2024-03-11")
    assert (answer.adjustment, answer.adjusted_as_of) == ("raw", None)
    assert starts(answer.frame) == ["03-08 00:00", "03-09 00:00", "03-10 00:00", "03-11 00:00"]
    assert answer.frame["close"].to_list() == [109.0, 110.0, 111.0, 112.0]


def test_the_class_with_a_dot_is_asked_for_as_yahoo_spells_it(desk):
    desk.yahoo.listings["BRK-B"] = Listing("Berkshire Hathaway Inc.")
    assert desk.frame("BRK.B", "2024-03-08", "2024-03-08")["open"].to_list() == [108.0]


def test_hourly_bars_count_from_the_open_and_end_with_an_early_close(desk):
    frame = desk.frame("AAPL", "2024-11-27", "2024-12-02", "1h")
    assert starts(frame)[:7] == [f"11-27 {hour}:30" for hour in range(14, 21)]
    assert starts(frame)[7:11] == [f"11-29 {hour}:30" for hour in range(14, 18)]
    assert starts(frame)[11:] == [f"12-02 {hour}:30" for hour in range(14, 21)]
    assert frame.row(10)[1:6] == (129.03, 129.53, 128.53, 129.28, 103.0)


def test_hourly_bars_move_with_daylight_saving_time(desk):
    frame = desk.frame("AAPL", "2024-11-01", "2024-11-04", "1h")
    assert [starts(frame)[0], starts(frame)[7]] == ["11-01 13:30", "11-04 14:30"]


def test_a_session_has_390_minutes_and_a_half_day_210(desk):
    frame = desk.frame("AAPL", "2024-11-27", "2024-11-29", "1m")
    assert frame.height == 600
    assert starts(frame)[389:391] == ["11-27 20:59", "11-29 14:30"]
    assert starts(frame)[-1] == "11-29 17:59"


def test_hourly_bars_of_crypto_count_from_midnight(desk):
    frame = desk.frame("BTC-USD", "2024-12-09", "2024-12-09", "1h")
    assert frame.height == 72
    assert [starts(frame)[0], starts(frame)[-1]] == ["12-07 00:00", "12-09 23:00"]


@pytest.mark.parametrize(
    ("first", "last"), [("2024-11-01", "2024-11-04"), ("2024-11-18", "2024-11-22")]
)
def test_a_span_that_begins_before_what_yahoo_keeps_is_refused_without_asking(desk, first, last):
    answer = desk.candles("AAPL", first, last, "1m")
    assert failure(answer) == ("out_of_range", False)
    assert "30 days" in answer.message
    assert desk.yahoo.requests == []


def test_yahoos_own_word_that_a_span_is_too_old_is_out_of_range(desk):
    desk.rebuild(look_back_days={"1m": 90, "1h": 730, "1d": None})
    answer = desk.candles("AAPL", "2024-11-04", "2024-11-05", "1m")
    assert failure(answer) == ("out_of_range", False)


def test_long_requests_are_cut_into_pieces_that_yahoo_answers(desk):
    desk.yahoo.now = at("2024-11-20T03:00")
    frame = desk.frame("AAPL", "2024-10-25", "2024-11-12", "1m")
    assert frame.height == 13 * 390
    assert frame["ts"].is_unique().all()
    assert desk.yahoo.count("chart/AAPL") == 3  # 19 days, with a day of 25 hours among them


def test_pieces_without_a_session_are_not_asked_for(desk):
    desk.rebuild(days_per_request={"1m": 8, "1h": 1, "1d": None})
    assert desk.frame("AAPL", "2024-12-06", "2024-12-09", "1h").height == 14
    assert desk.yahoo.count("chart/AAPL") == 2


def test_the_bar_of_a_running_session_is_not_delivered(desk):
    desk.yahoo.now = at("2024-12-19T18:00")
    assert starts(desk.frame("AAPL", "2024-12-18", "2024-12-19")) == ["12-18 14:30"]
    answer = desk.candles("AAPL", "2024-12-19", "2024-12-19")
    assert failure(answer) == ("empty", True)
    assert "has ended" in answer.message


def test_running_intraday_bars_and_the_newest_trade_are_not_delivered(desk):
    desk.yahoo.now = at("2024-12-19T18:00:07")
    hours = desk.frame("AAPL", "2024-12-19", "2024-12-19", "1h")
    assert starts(hours) == ["12-19 14:30", "12-19 15:30", "12-19 16:30"]
    assert starts(desk.frame("AAPL", "2024-12-19", "2024-12-19", "1m"))[-1] == "12-19 17:59"
    assert starts(desk.frame("BTC-USD", "2024-12-19", "2024-12-19", "1h"))[-1] == "12-19 17:00"
    assert starts(desk.frame("BTC-USD", "2024-12-18", "2024-12-19"))[-1] == "12-18 00:00"


def test_a_closed_session_is_delivered_though_its_row_bears_the_time_of_the_last_trade(desk):
    desk.yahoo.now = at("2024-12-19T21:05")
    frame = desk.frame("AAPL", "2024-12-19", "2024-12-19")
    assert frame.row(0)[:6] == (at("2024-12-19T14:30"), 119.0, 121.0, 118.0, 120.0, 19000.0)
    assert desk.frame("AAPL", "2024-12-19", "2024-12-19", "1h").height == 7


def test_the_row_of_the_last_trade_supersedes_an_older_one_of_the_same_day(desk):
    desk.yahoo.now = at("2024-12-19T21:05")
    desk.yahoo.script(
        "chart/AAPL", with_row(at("2024-12-19T14:30"), 119.0, 121.0, 118.0, 119.9, 18000)
    )
    frame = desk.frame("AAPL", "2024-12-19", "2024-12-19")
    assert frame.select("close", "volume").rows() == [(120.0, 19000.0)]


def test_a_bar_that_late_quotes_have_not_filled_yet_is_not_delivered(desk):
    desk.yahoo.now = at("2024-12-19T21:05")
    late = int(at("2024-12-19T20:50").timestamp())
    desk.yahoo.script("chart/AAPL", with_meta(regularMarketTime=late), forever=True)
    assert failure(desk.candles("AAPL", "2024-12-19", "2024-12-19")) == ("empty", True)
    hours = desk.frame("AAPL", "2024-12-19", "2024-12-19", "1h")
    assert starts(hours)[-1] == "12-19 19:30"
    desk.yahoo.now = at("2024-12-20T21:05")
    assert desk.frame("AAPL", "2024-12-19", "2024-12-19").height == 1


def test_rows_without_any_value_are_left_out_and_partial_ones_stay_as_received(desk):
    def halted(reply):
        quote = result_of(reply)["indicators"]["quote"][0]
        for name in ("open", "high", "low", "volume"):
            quote[name][0] = None
        for name in quote:
            quote[name][1] = None
        return reply

    desk.yahoo.script("chart/AAPL", Fault(change=halted))
    frame = desk.frame("AAPL", "2024-03-07", "2024-03-11")
    assert [row[1:6] for row in frame.rows()] == [
        (None, None, None, 108.0, None),
        (111.0, 113.0, 110.0, 112.0, 11000.0),
    ]


def test_a_row_sent_twice_is_one_bar_and_two_that_differ_are_refused(desk):
    same = (108.0, 110.0, 107.0, 109.0, 8000)
    desk.yahoo.script(
        "chart/AAPL",
        with_row(at("2024-03-08T14:30"), *same),
        with_row(at("2024-03-08T14:30"), 108.0, 110.0, 107.0, 108.5, 8000),
    )
    assert desk.frame("AAPL", "2024-03-07", "2024-03-08").height == 2
    answer = desk.candles("AAPL", "2024-03-07", "2024-03-08")
    assert failure(answer) == ("malformed", True)
    assert "2024-03-08 14:30" in answer.message


@pytest.mark.parametrize(
    ("moment", "timeframe"),
    [
        ("2024-12-05T15:00", "1h"),  # half an hour off
        ("2024-12-05T13:30", "1h"),  # before the open
        ("2024-12-05T21:30", "1h"),  # after the close
        ("2024-12-05T15:00:30", "1m"),
        ("2024-12-07T15:30", "1h"),  # a Saturday
        ("2024-12-07T14:30", "1d"),
    ],
)
def test_a_bar_where_none_can_start_is_refused(desk, moment, timeframe):
    desk.yahoo.script("chart/AAPL", with_row(at(moment), 1.0, 1.0, 1.0, 1.0, 1))
    answer = desk.candles("AAPL", "2024-12-05", "2024-12-09", timeframe)
    assert failure(answer) == ("malformed", True)
    assert moment[:10] in answer.message


def test_rows_outside_the_span_are_left_out(desk):
    desk.yahoo.script("chart/AAPL", with_row(at("2024-03-13T13:30"), 1.0, 1.0, 1.0, 1.0, 1))
    assert desk.frame("AAPL", "2024-03-08", "2024-03-08").height == 1


def test_before_its_first_trade_a_symbol_has_no_data_and_after_it_what_there_is(desk):
    desk.yahoo.listings["AAPL"].first = dt.date(2024, 3, 8)
    answer = desk.candles("AAPL", "2024-03-01", "2024-03-07")
    assert answer == NoData("Yahoo's first trade of AAPL is at 2024-03-08 14:30:00+00:00")
    assert starts(desk.frame("AAPL", "2024-03-07", "2024-03-11")) == ["03-08 14:30", "03-11 13:30"]


def test_pieces_before_the_first_trade_take_nothing_from_those_after_it(desk):
    desk.yahoo.listings["AAPL"].first = dt.date(2024, 12, 10)
    desk.rebuild(days_per_request={"1m": 8, "1h": 2, "1d": None})
    frame = desk.frame("AAPL", "2024-12-05", "2024-12-11", "1h")
    assert frame.height == 14
    assert starts(frame)[0] == "12-10 14:30"


def without_rows(reply):
    result = result_of(reply)
    result.pop("timestamp", None)
    result["indicators"]["quote"] = [{}]
    return reply


def test_an_empty_reply_about_a_live_symbol_is_no_fact(desk):
    desk.yahoo.script("chart/AAPL", Fault(change=without_rows), forever=True)
    assert failure(desk.candles("AAPL", "2024-03-07", "2024-03-08")) == ("empty", True)


def test_one_empty_piece_fails_the_whole_span(desk):
    desk.rebuild(days_per_request={"1m": 8, "1h": 2, "1d": None})
    desk.yahoo.script("chart/AAPL", Fault(), Fault(change=without_rows))
    assert failure(desk.candles("AAPL", "2024-12-09", "2024-12-13", "1h")) == ("empty", True)


def test_a_symbol_that_yahoo_does_not_know_is_a_failure_after_one_request(desk):
    del desk.yahoo.listings["AAPL"]
    answer = desk.candles("AAPL", "2024-03-07", "2024-03-08")
    assert failure(answer) == ("no_contract", False)
    assert "may be delisted" in answer.message
    assert desk.yahoo.count("chart/AAPL") == 1


def test_symbols_and_timeframes_outside_the_configuration_are_refused_without_asking(desk):
    assert failure(desk.candles("MSFT", "2024-03-07", "2024-03-08")) == ("unknown_symbol", False)
    assert failure(desk.candles("AAPL", "2024-03-07", "2024-03-08", "5m")) == ("timeframe", False)
    assert desk.yahoo.requests == []


@pytest.mark.parametrize(
    "meta", [{"symbol": "MSFT"}, {"dataGranularity": "1wk"}, {"currency": "GBp"}]
)
def test_a_reply_about_something_else_is_malformed(desk, meta):
    desk.yahoo.script("chart/AAPL", with_meta(**meta))
    answer = desk.candles("AAPL", "2024-03-07", "2024-03-08")
    assert failure(answer) == ("malformed", True)
    assert next(iter(meta)) in answer.message


def test_what_the_meta_leaves_out_is_not_needed(desk):
    absent = dict.fromkeys(("dataGranularity", "currency", "regularMarketTime", "firstTradeDate"))
    desk.yahoo.script("chart/AAPL", with_meta(**absent))
    answer = desk.candles("AAPL", "2024-03-07", "2024-03-08")
    assert isinstance(answer, Candles)


def test_yfinances_own_history_reads_the_same_prices_from_the_fake(desk):
    frame = desk.frame("AAPL", "2024-03-07", "2024-03-11")
    history = yfinance.Ticker("AAPL").history(
        start="2024-03-07", end="2024-03-12", auto_adjust=False
    )
    assert history["Close"].to_list() == frame["close"].to_list()
    assert [f"{day:%m-%d}" for day in history.index] == ["03-07", "03-08", "03-11"]
