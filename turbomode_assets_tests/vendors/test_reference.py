import datetime as dt

import polars as pl
import pytest

from turbomode_assets.contracts.errors import VendorError
from turbomode_assets.contracts.fundamentals import METRICS
from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import (
    DIVIDENDS,
    FUNDAMENTALS,
    SECTOR_MAPPINGS,
    SPLITS,
    SYMBOL_METADATA,
)
from turbomode_assets.sessions import SessionSpan, session_close
from turbomode_assets.vendors import (
    fetch_corporate_actions,
    fetch_fundamentals,
    fetch_universe,
)
from turbomode_assets.vendors.protocol import (
    FUNDAMENTALS_SCHEMA,
    Fundamentals,
    Instruments,
    VendorFailure,
)
from turbomode_assets.vendors.simulated import SimulatedVendor
from turbomode_assets_tests.vendors.builders import (
    FRIDAY,
    KNOWN_AT,
    MONDAY,
    archive,
    asking,
    candle_rows,
    simulated_config,
    write,
)

SPAN = SessionSpan(dt.date(2012, 1, 3), dt.date(2014, 12, 31))


class Accountant(SimulatedVendor):
    """The simulated market, with accounts and sector names of its own."""

    def __init__(self, name, vocabulary, fails=False):
        super().__init__(simulated_config())
        self.name, self._vocabulary, self._fails = name, vocabulary, fails

    def fetch_metadata(self):
        if self._fails:
            return VendorFailure("connectivity", "the line is dead", False)
        told = super().fetch_metadata().frame
        sectors = pl.when(pl.col("sector").is_not_null()).then(pl.lit(f"{self._vocabulary} sector"))
        return Instruments(told.with_columns(vendor_sector=sectors), self._vocabulary)

    def fetch_fundamentals(self, request):
        if self._fails:
            return VendorFailure("connectivity", "the line is dead", False)
        values = {"metric": ["marketCap", "beta"], "value": [3e9, 1.25]}
        return Fundamentals(pl.DataFrame(values, schema=FUNDAMENTALS_SCHEMA))


@pytest.fixture(scope="module")
def market():
    vendors = [SimulatedVendor(simulated_config(stocks=6, crypto=1))]
    return vendors, *fetch_universe(vendors, KNOWN_AT)


def test_every_table_keeps_its_contract(market):
    vendors, metadata, mappings = market
    splits, dividends = fetch_corporate_actions(asking(vendors), metadata, SPAN).tables
    for frame, contract in (
        (metadata, SYMBOL_METADATA),
        (mappings, SECTOR_MAPPINGS),
        (splits, SPLITS),
        (dividends, DIVIDENDS),
    ):
        assert check_table(frame, contract).equals(frame)
        assert set(frame["vendor"].unique()) <= {"simulated"}
    assert dividends.height > 0


def test_events_of_a_range_are_those_of_its_sessions(market):
    vendors, metadata, _ = market
    span = SessionSpan(dt.date(2012, 11, 1), dt.date(2013, 1, 10))
    whole = fetch_corporate_actions(asking(vendors), metadata, span).tables
    singly = [
        fetch_corporate_actions(asking(vendors), metadata, SessionSpan(day, day)).tables
        for day in span.sessions
    ]
    for events, parts in zip(whole, zip(*singly, strict=True), strict=True):
        assert pl.concat(parts).sort("symbol", "ex_date").equals(events)


def test_events_belong_to_the_session_of_their_ex_date_and_were_known_at_its_open(tmp_path):
    write(tmp_path, "s.csv", "symbol,ex_date,ratio\nAAA,2015-03-07,2\n")
    vendor = archive(tmp_path, candle_rows(("AAA", FRIDAY, 10.0)), splits="s.csv")
    metadata, _ = fetch_universe([vendor], KNOWN_AT)
    day = SessionSpan(MONDAY, MONDAY)
    splits, _ = fetch_corporate_actions(asking([vendor]), metadata, day).tables
    assert splits.select("session", "ex_date", "knowledge_ts").rows() == [
        (MONDAY, dt.date(2015, 3, 7), dt.datetime(2015, 3, 9, 13, 30, tzinfo=dt.UTC))
    ]


def test_a_delisting_is_told_once_its_last_session_has_closed():
    vendor = SimulatedVendor(simulated_config())
    gone = vendor.fetch_metadata().frame.row(by_predicate=pl.col("symbol") == "SIM004", named=True)
    closed = session_close(gone["last_session"])
    for known_at, told in (
        (closed - dt.timedelta(seconds=1), None),
        (closed, gone["last_session"]),
    ):
        metadata, _ = fetch_universe([vendor], known_at)
        row = metadata.row(by_predicate=pl.col("symbol") == "SIM004", named=True)
        assert (row["last_session"], row["knowledge_ts"]) == (told, known_at)
    metadata, _ = fetch_universe([vendor], KNOWN_AT)
    row = metadata.row(by_predicate=pl.col("symbol") == "SIM004", named=True)
    assert row["knowledge_ts"] == closed


def test_a_symbol_listed_later_is_left_out():
    vendor = SimulatedVendor(simulated_config())
    metadata, mappings = fetch_universe([vendor], dt.datetime(2012, 1, 5, 1, tzinfo=dt.UTC))
    assert "SIM003" not in metadata["symbol"].to_list()
    assert "SIM003" not in mappings["symbol"].to_list()
    with pytest.raises(VendorError, match="none of 5 symbols was listed by 2011-01-05"):
        fetch_universe([vendor], dt.datetime(2011, 1, 5, tzinfo=dt.UTC))


def test_metadata_come_from_the_first_vendor_and_sector_names_from_each():
    first, second = Accountant("one", "IBKR"), Accountant("two", "Yahoo")
    metadata, mappings = fetch_universe([first, second], KNOWN_AT)
    assert set(metadata["vendor"]) == {"one"}
    named = mappings.filter(pl.col("symbol") == "SIM001")
    assert named.select("vocabulary", "sector", "vendor").rows() == [
        ("GICS", "Communication Services", "universe"),
        ("IBKR", "IBKR sector", "one"),
        ("Yahoo", "Yahoo sector", "two"),
    ]


def test_a_vendor_that_fails_leaves_the_universe_to_the_next(caplog):
    metadata, mappings = fetch_universe(
        [Accountant("one", "IBKR", fails=True), Accountant("two", "Yahoo")], KNOWN_AT
    )
    assert set(metadata["vendor"]) == {"two"}
    assert set(mappings["vocabulary"]) == {"GICS", "Yahoo"}
    assert "metadata: one failed: connectivity: the line is dead" in caplog.text
    with pytest.raises(VendorError, match="the line is dead"):
        fetch_universe([Accountant("one", "IBKR", fails=True)], KNOWN_AT)


def test_fundamentals_serve_from_the_session_after_they_were_fetched(market):
    _, metadata, _ = market
    after_the_close = dt.datetime(2015, 3, 6, 22, tzinfo=dt.UTC)
    accountant = asking([Accountant("one", "Yahoo")])
    (rows,) = fetch_fundamentals(accountant, metadata, after_the_close).tables
    assert check_table(rows, FUNDAMENTALS).equals(rows)
    assert set(rows["session"]) == {MONDAY}
    assert rows.filter(pl.col("symbol") == "SIM001").select("metric", "value").rows() == [
        ("beta", 1.25),
        ("marketCap", 3e9),
    ]
    during_the_session = dt.datetime(2015, 3, 6, 17, tzinfo=dt.UTC)
    (rows,) = fetch_fundamentals(accountant, metadata, during_the_session).tables
    assert set(rows["session"]) == {FRIDAY}


def test_a_market_without_accounts_has_no_fundamentals_and_a_dead_vendor_is_no_such_market(market):
    vendors, metadata, _ = market
    answered = fetch_fundamentals(asking(vendors), metadata, KNOWN_AT)
    assert answered.tables[0].is_empty()
    assert (answered.symbols, answered.error) == (metadata["symbol"].to_list(), None)
    dead = asking([Accountant("one", "Yahoo", fails=True)])
    answered = fetch_fundamentals(dead, metadata, KNOWN_AT)
    assert answered.symbols == []
    assert "SIM001 (one: connectivity: the line is dead)" in answered.error.what


def test_one_symbol_that_fails_costs_the_others_nothing(market):
    _, metadata, _ = market
    accountant = Accountant("one", "Yahoo")
    told = accountant.fetch_fundamentals
    accountant.fetch_fundamentals = lambda request: (
        VendorFailure("empty", "nothing", False) if request.symbol == "SIM002" else told(request)
    )
    answered = fetch_fundamentals(asking([accountant]), metadata, KNOWN_AT)
    assert "SIM002" in answered.error.what
    assert set(answered.tables[0]["symbol"]) == set(metadata["symbol"]) - {"SIM002"}
    assert "SIM002" not in answered.symbols


def test_a_failover_of_reference_data_is_told(market, caplog):
    _, metadata, _ = market
    vendors = [Accountant("one", "IBKR", fails=True), Accountant("two", "Yahoo")]
    answered = fetch_fundamentals(asking(vendors), metadata, KNOWN_AT)
    assert set(answered.tables[0]["vendor"]) == {"two"}
    assert "fundamentals of SIM001: one failed: connectivity: the line is dead" in caplog.text


def test_there_are_thirty_seven_metrics():
    assert len(METRICS) == 37
