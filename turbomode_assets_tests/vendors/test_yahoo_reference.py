import datetime as dt
import math

import polars as pl
import pytest

from turbomode_assets.contracts.fundamentals import METRICS
from turbomode_assets.vendors.protocol import (
    DIVIDEND_SCHEMA,
    FUNDAMENTALS_SCHEMA,
    INSTRUMENT_SCHEMA,
    SPLIT_SCHEMA,
    CorporateActions,
    Fundamentals,
    Instruments,
    NoData,
)
from turbomode_assets.vendors.yahoo import YahooVendor
from turbomode_assets_tests.vendors.fake_yahoo import DOWN, TOO_MANY, Fault
from turbomode_assets_tests.vendors.fake_yahoo_market import Listing
from turbomode_assets_tests.vendors.yahoo_desk import UNIVERSE, at, config, failure, request

pytest_plugins = ["turbomode_assets_tests.vendors.yahoo_fixtures"]

DAY = dt.date


def actions(desk, first, last, symbol="AAPL"):
    return desk.vendor.fetch_corporate_actions(request(symbol, first, last))


def fundamentals(desk, symbol="AAPL"):
    return desk.vendor.fetch_fundamentals(request(symbol, "2024-12-19", "2024-12-19"))


def with_dividend(amount, moment="2024-03-08T14:30", **more):
    def change(reply):
        second = int(at(moment).timestamp())
        event = {"amount": amount, "date": second} | more
        events = reply["chart"]["result"][0].setdefault("events", {})
        events.setdefault("dividends", {})[f"{second}-{amount}"] = event
        return reply

    return Fault(change=change)


def test_a_dividend_comes_with_the_close_before_it(desk):
    desk.yahoo.listings["AAPL"].dividends[DAY(2024, 3, 11)] = 0.24
    answer = actions(desk, "2024-03-11", "2024-03-15")
    assert answer.dividends.schema == DIVIDEND_SCHEMA
    assert answer.dividends.rows() == [(DAY(2024, 3, 11), 0.24, 109.0)]  # Friday's close
    assert answer.splits.schema == SPLIT_SCHEMA
    assert answer.splits.is_empty()


def test_amount_and_close_are_in_the_same_shares_after_a_later_split(desk):
    desk.yahoo.listings["AAPL"].dividends[DAY(2024, 3, 11)] = 0.24
    desk.yahoo.listings["AAPL"].splits[DAY(2024, 6, 10)] = (4, 1)
    answer = actions(desk, "2024-03-11", "2024-06-14")
    assert answer.splits.rows() == [(DAY(2024, 6, 10), 4.0)]
    assert answer.dividends.rows() == [(DAY(2024, 3, 11), 0.06, 27.25)]
    kept = 1 - 0.06 / 27.25
    assert math.isclose(kept, 1 - 0.24 / 109.0)


def test_a_reverse_split_has_a_ratio_below_one(desk):
    desk.yahoo.listings["AAPL"].splits[DAY(2024, 3, 11)] = (1, 8)
    assert actions(desk, "2024-03-11", "2024-03-11").splits.rows() == [(DAY(2024, 3, 11), 0.125)]


def test_events_outside_the_span_are_left_out(desk):
    listing = desk.yahoo.listings["AAPL"]
    listing.dividends |= {DAY(2024, 3, 7): 0.1, DAY(2024, 3, 8): 0.2, DAY(2024, 3, 12): 0.3}
    listing.splits |= {DAY(2024, 3, 7): (2, 1), DAY(2024, 3, 12): (3, 1)}
    answer = actions(desk, "2024-03-08", "2024-03-11")
    assert answer.dividends["ex_date"].to_list() == [DAY(2024, 3, 8)]
    assert answer.splits.is_empty()


def test_a_dividend_before_the_first_bar_is_left_out(desk):
    listing = desk.yahoo.listings["AAPL"]
    listing.first = DAY(2024, 3, 8)
    listing.dividends |= {DAY(2024, 3, 8): 0.2, DAY(2024, 3, 11): 0.3}
    answer = actions(desk, "2024-03-08", "2024-03-11")
    assert answer.dividends.rows() == [(DAY(2024, 3, 11), 0.3, 109.0)]


def test_a_dividend_whose_previous_close_was_not_sent_is_malformed(desk):
    def without_early_rows(reply):
        result = reply["chart"]["result"][0]
        result["timestamp"] = result["timestamp"][-1:]
        quote = result["indicators"]["quote"][0]
        result["indicators"]["quote"] = [{name: values[-1:] for name, values in quote.items()}]
        return reply

    desk.yahoo.listings["AAPL"].dividends[DAY(2024, 3, 8)] = 0.2
    desk.yahoo.script("chart/AAPL", Fault(change=without_early_rows))
    answer = actions(desk, "2024-03-08", "2024-03-08")
    assert failure(answer) == ("malformed", True)
    assert "2024-03-08" in answer.message


@pytest.mark.parametrize("amount", [108.0, 500.0, 0.0, -1.0, "0.2", None])
def test_an_impossible_dividend_is_malformed(desk, amount):
    desk.yahoo.script("chart/AAPL", with_dividend(amount))
    assert failure(actions(desk, "2024-03-08", "2024-03-08")) == ("malformed", True)


def test_a_dividend_in_another_currency_is_malformed(desk):
    desk.yahoo.script("chart/AAPL", with_dividend(0.2, currency="EUR"))
    assert failure(actions(desk, "2024-03-08", "2024-03-08")) == ("malformed", True)


def test_one_event_sent_twice_counts_once_and_two_that_differ_are_malformed(desk):
    desk.yahoo.listings["AAPL"].dividends[DAY(2024, 3, 8)] = 0.2
    desk.yahoo.script("chart/AAPL", with_dividend(0.2), with_dividend(0.3))
    answer = actions(desk, "2024-03-08", "2024-03-08")
    assert answer.dividends.rows() == [(DAY(2024, 3, 8), 0.2, 108.0)]
    assert failure(actions(desk, "2024-03-08", "2024-03-08")) == ("malformed", True)


@pytest.mark.parametrize(
    "split", [{"numerator": 0}, {"denominator": 0}, {"numerator": "4"}, {"date": None}]
)
def test_an_impossible_split_is_malformed(desk, split):
    def change(reply):
        event = {"date": int(at("2024-03-08T14:30").timestamp()), "numerator": 4, "denominator": 1}
        reply["chart"]["result"][0]["events"] = {"splits": {"1": event | split}}
        return reply

    desk.yahoo.script("chart/AAPL", Fault(change=change))
    assert failure(actions(desk, "2024-03-08", "2024-03-08")) == ("malformed", True)


def test_coins_have_no_events_and_unlisted_symbols_none_yet(desk):
    assert isinstance(actions(desk, "2024-03-08", "2024-03-11", "BTC-USD"), CorporateActions)
    assert desk.yahoo.requests == []
    desk.yahoo.listings["AAPL"].first = DAY(2024, 6, 3)
    answer = actions(desk, "2024-03-08", "2024-03-11")
    assert (answer.splits.height, answer.dividends.height) == (0, 0)


def test_an_empty_reply_about_a_live_symbol_does_not_mean_no_events(desk):
    def change(reply):
        result = reply["chart"]["result"][0]
        result["timestamp"], result["events"] = [], {}
        return reply

    desk.yahoo.script("chart/AAPL", Fault(change=change))
    assert failure(actions(desk, "2024-03-08", "2024-03-11")) == ("empty", True)
    assert failure(actions(desk, "2024-03-08", "2024-03-11", "MSFT")) == ("unknown_symbol", False)


def test_fundamentals_are_the_numbers_of_info_under_their_own_names(desk):
    listing = desk.yahoo.listings["AAPL"]
    listing.peg_ratio = 2.1
    listing.values = {
        "summaryDetail": {"marketCap": 3_400_000_000_000, "dividendYield": 0.45, "beta": None},
        "financialData": {"debtToEquity": 187.33, "financialCurrency": "USD", "quickRatio": "0.8"},
        "defaultKeyStatistics": {
            "trailingEps": 0,
            "forwardEps": "Infinity",
            "priceToBook": math.nan,
            "enterpriseValue": math.inf,
            "bookValue": True,
            "payoutRatio": {"raw": 0.15, "fmt": "15%"},
            "sharesShort": 1,
        },
    }
    answer = fundamentals(desk)
    assert isinstance(answer, Fundamentals)
    assert answer.frame.schema == FUNDAMENTALS_SCHEMA
    assert dict(answer.frame.rows()) == {
        "marketCap": 3.4e12,
        "dividendYield": 0.45,
        "debtToEquity": 187.33,
        "trailingEps": 0.0,
        "payoutRatio": 0.15,
        "trailingPegRatio": 2.1,
    }


def test_all_37_metrics_are_read(desk):
    desk.yahoo.listings["AAPL"].values = {
        "financialData": {name: float(n) for n, name in enumerate(METRICS)}
    }
    desk.yahoo.listings["AAPL"].peg_ratio = 4.0
    assert fundamentals(desk).frame.rows() == [(name, float(n)) for n, name in enumerate(METRICS)]
    assert len(METRICS) == 37


def test_amounts_in_another_currency_have_no_row(desk):
    desk.yahoo.listings["AAPL"].values = {
        "financialData": {"totalRevenue": 5e9, "currentRatio": 1.5, "financialCurrency": "EUR"}
    }
    assert fundamentals(desk).frame.rows() == [("currentRatio", 1.5)]


def test_a_coin_has_no_fundamentals_and_a_stock_without_any_is_a_failure(desk):
    answer = fundamentals(desk, "BTC-USD")
    assert isinstance(answer, NoData)
    assert "has no fundamentals" in answer.reason
    assert desk.yahoo.requests == []
    assert failure(fundamentals(desk)) == ("empty", True)
    assert isinstance(fundamentals(desk, "SPY"), NoData)


def test_fundamentals_of_an_unknown_symbol_fail(desk):
    del desk.yahoo.listings["AAPL"]
    assert failure(fundamentals(desk)) == ("no_contract", False)
    assert failure(fundamentals(desk, "MSFT")) == ("unknown_symbol", False)


def test_metadata_has_yahoos_names_and_sectors_beside_the_universes(desk):
    desk.yahoo.listings["BRK-B"] = Listing(
        "Berkshire Hathaway Inc.", sector="Financial Services", first=DAY(2004, 7, 4)
    )
    answer = desk.vendor.fetch_metadata()
    assert isinstance(answer, Instruments)
    assert answer.vocabulary == "Yahoo"
    assert answer.frame.schema == INSTRUMENT_SCHEMA
    told = answer.frame.select("symbol", "name", "sector", "vendor_sector", "first_session")
    assert told.rows() == [
        ("AAPL", "Apple Inc.", "Information Technology", "Technology", None),  # 1980
        ("BRK.B", "Berkshire Hathaway Inc.", "Financials", "Financial Services", DAY(2004, 7, 6)),
        ("BTC-USD", "Bitcoin USD", None, None, DAY(2014, 9, 17)),
        ("SPY", "SPDR S&P 500 ETF Trust", None, None, None),
    ]
    assert answer.frame["last_session"].null_count() == 4
    assert len(desk.yahoo.requests) == 2 + 4  # cookie and crumb, then one for each symbol


def test_the_first_session_is_looked_up_in_the_chart_where_the_summary_lacks_it(desk):
    def change(reply):
        del reply["quoteSummary"]["result"][0]["quoteType"]["firstTradeDateEpochUtc"]
        return reply

    desk.yahoo.listings["AAPL"].first = DAY(2012, 5, 18)
    desk.yahoo.script("quoteSummary/AAPL", Fault(change=change))
    frame = desk.vendor.fetch_metadata().frame
    assert frame.filter(pl.col("symbol") == "AAPL")["first_session"].item() == DAY(2012, 5, 18)


def test_a_symbol_that_fails_keeps_what_the_universe_says(desk):
    desk.yahoo.script("quoteSummary/AAPL", DOWN)
    frame = desk.vendor.fetch_metadata().frame
    assert frame.height == 4
    assert frame.row(0, named=True) == {
        "symbol": "AAPL",
        "name": "Apple",
        "asset_class": "stock",
        "calendar": "XNYS",
        "role": "tradeable",
        "sector": "Information Technology",
        "vendor_sector": None,
        "first_session": None,
        "last_session": None,
    }
    assert frame["name"][1] == "Berkshire"  # the fake does not list it


def test_metadata_fails_where_every_symbol_fails(desk):
    desk.yahoo.listings.clear()
    answer = desk.vendor.fetch_metadata()
    assert failure(answer) == ("no_contract", False)
    assert desk.yahoo.count("quoteSummary") == 4


def test_metadata_fails_with_the_breaker(desk):
    desk.yahoo.script("quoteSummary/BRK-B", TOO_MANY)
    assert failure(desk.vendor.fetch_metadata()) == ("rate_limited", True)
    assert desk.yahoo.count("quoteSummary") == 2


def test_metadata_is_given_up_when_nobody_can_be_reached(desk, monkeypatch):
    names = [f"N{number}" for number in range(40)]
    many = UNIVERSE.head(1).select(
        pl.exclude("symbol", "yahoo_symbol"), symbol=pl.lit(names), yahoo_symbol=pl.lit(names)
    )
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    many = many.explode("symbol", "yahoo_symbol")
    vendor = YahooVendor(config(), many, desk.budget, desk.folder, lambda: desk.yahoo.now)
    assert failure(vendor.fetch_metadata()) == ("connectivity", True)
    assert {call.group for call in desk.budget.calls} == {"N0", "N1", "N2", "N3", "N4"}
