import asyncio
import datetime as dt
import subprocess
import sys
import threading

import polars as pl
import pytest

from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.vendors.ibkr import IbkrVendor
from turbomode_assets.vendors.protocol import (
    CANDLE_SCHEMA,
    INSTRUMENT_SCHEMA,
    Candles,
    Instruments,
    NoData,
    VendorFailure,
)
from turbomode_assets_tests.test_architecture import PACKAGE, imports_of, modules
from turbomode_assets_tests.vendors.builders import CountedBudget
from turbomode_assets_tests.vendors.fake_ib_market import INDUSTRY, bar_of
from turbomode_assets_tests.vendors.fake_ib_steps import (
    have_no_data,
    refuse,
)
from turbomode_assets_tests.vendors.ib_vendors import (
    NOW,
    UNIVERSE,
    ib_config,
    patient_gateway,
    question,
    vendor_on,
)

MONDAY = dt.date(2024, 12, 2)
HALF_DAY = dt.date(2024, 11, 29)
LIBRARIES = {"ib_insync", "ib_async", "eventkit"}


@pytest.fixture(scope="module")
def gateway():
    with patient_gateway() as running:
        yield running


@pytest.fixture
def vendor(gateway):
    with vendor_on(gateway) as connected:
        yield connected


def starts(frame: pl.DataFrame) -> list[str]:
    return [f"{moment:%m-%d %H:%M}" for moment in frame["ts"]]


def test_a_week_of_daily_bars_is_what_the_gateway_holds(vendor, gateway):
    answer = vendor.fetch_candles(question("AAPL", dt.date(2024, 11, 25), MONDAY))
    assert isinstance(answer, Candles)
    assert (answer.adjustment, answer.adjusted_as_of) == ("split", dt.date(2024, 12, 31))
    assert answer.frame.schema == CANDLE_SCHEMA
    assert starts(answer.frame) == [
        "11-25 14:30",
        "11-26 14:30",
        "11-27 14:30",
        "11-29 14:30",
        "12-02 14:30",
    ]
    bar = bar_of("AAPL", "20241202", MONDAY.toordinal())
    assert answer.frame.row(-1)[1:] == (*bar.fields()[1:5], bar.volume, bar.average, bar.count)
    asked = gateway.requests[-1]
    assert (asked.what_to_show, asked.regular_hours) == ("TRADES", True)
    assert (asked.contract.exchange, asked.contract.security_type) == ("SMART", "STK")


def test_hours_are_counted_from_the_open_although_ib_aligns_them_to_the_clock(vendor, gateway):
    answer = vendor.fetch_candles(question("AAPL", HALF_DAY, MONDAY, "1h"))
    assert isinstance(answer, Candles)
    assert starts(answer.frame) == [
        *(f"11-29 {hour}:30" for hour in range(14, 18)),
        *(f"12-02 {hour}:30" for hour in range(14, 21)),
    ]
    assert gateway.requests[-1].bar_size == "30 mins"


def test_minutes_cover_whole_and_half_sessions(vendor):
    answer = vendor.fetch_candles(question("SPY", HALF_DAY, MONDAY, "1m"))
    assert isinstance(answer, Candles)
    per_day = answer.frame.group_by(pl.col("ts").dt.date(), maintain_order=True).len()
    assert per_day["len"].to_list() == [210, 390]


@pytest.mark.parametrize(
    ("first", "opens"),
    [
        (dt.date(2024, 3, 8), ["03-08 14:30", "03-11 13:30"]),
        (dt.date(2024, 11, 1), ["11-01 13:30", "11-04 14:30"]),
    ],
)
def test_sessions_on_both_sides_of_a_change_of_the_clock_begin_at_their_open(vendor, first, opens):
    asked = question("AAPL", first, first + dt.timedelta(days=3), "1m")
    answer = vendor.fetch_candles(asked)
    assert isinstance(answer, Candles)
    firsts = answer.frame.group_by(pl.col("ts").dt.date(), maintain_order=True).first()
    assert [f"{moment:%m-%d %H:%M}" for moment in answer.frame["ts"]][::390] == opens
    assert firsts.height == 2
    assert answer.frame.height == 780


def test_crypto_is_asked_around_the_clock_and_delivered_raw(vendor, gateway):
    answer = vendor.fetch_candles(question("BTC-USD", MONDAY, timeframe="1h"))
    assert isinstance(answer, Candles)
    assert (answer.adjustment, answer.adjusted_as_of) == ("raw", None)
    assert answer.frame.height == 72
    assert starts(answer.frame)[0] == "11-30 00:00"
    assert starts(answer.frame)[-1] == "12-02 23:00"
    asked = gateway.requests[-1]
    assert (asked.what_to_show, asked.regular_hours) == ("AGGTRADES", False)
    contract = asked.contract
    assert (contract.security_type, contract.exchange, contract.symbol) == (
        "CRYPTO",
        "PAXOS",
        "BTC",
    )


def test_a_long_span_arrives_in_one_piece_from_several_requests(vendor, gateway):
    before = len(gateway.requests)
    asked = question("AAPL", dt.date(2014, 1, 2), dt.date(2023, 12, 29))
    answer = vendor.fetch_candles(asked)
    assert isinstance(answer, Candles)
    assert answer.frame.height == len(asked.span.sessions)
    assert answer.frame["ts"].is_sorted()
    assert answer.frame["ts"].is_unique().all()
    assert len(gateway.requests) - before == 10


def test_a_symbol_listed_inside_the_span_delivers_what_there_is(vendor, gateway):
    gateway.script(have_no_data())
    answer = vendor.fetch_candles(question("AAPL", dt.date(2022, 1, 3), dt.date(2023, 12, 29)))
    assert isinstance(answer, Candles)
    assert starts(answer.frame.head(2)) == ["12-30 14:30", "01-03 14:30"]


def test_no_data_in_every_piece_is_a_fact(vendor, gateway):
    gateway.script(have_no_data(), have_no_data())
    answer = vendor.fetch_candles(question("AAPL", dt.date(2022, 1, 3), dt.date(2023, 12, 29)))
    assert isinstance(answer, NoData)
    assert "no data" in answer.reason


@pytest.mark.parametrize("server_version", [157, 163, 176])
def test_old_and_new_gateways_are_understood(server_version):
    with patient_gateway(server_version=server_version) as old, vendor_on(old) as vendor:
        answer = vendor.fetch_candles(question("BRK.B", MONDAY))
        assert isinstance(answer, Candles)
        assert old.requests[0].contract.symbol == "BRK B"


def test_a_bar_that_still_forms_is_not_delivered(gateway):
    noon = dt.datetime(2024, 12, 2, 17, 10, tzinfo=dt.UTC)
    with vendor_on(gateway, now=noon) as vendor:
        hours = vendor.fetch_candles(question("AAPL", MONDAY, timeframe="1h"))
        minutes = vendor.fetch_candles(question("AAPL", MONDAY, timeframe="1m"))
        days = vendor.fetch_candles(question("AAPL", HALF_DAY, MONDAY))
        today = vendor.fetch_candles(question("AAPL", MONDAY))
        tomorrow = vendor.fetch_candles(question("AAPL", dt.date(2024, 12, 3)))
    assert isinstance(hours, Candles)
    assert starts(hours.frame) == ["12-02 14:30", "12-02 15:30"]
    assert isinstance(minutes, Candles)
    assert starts(minutes.frame)[-1] == "12-02 17:09"
    assert isinstance(days, Candles)
    assert starts(days.frame) == ["11-29 14:30"]
    for answer in (today, tomorrow):
        assert isinstance(answer, VendorFailure)
        assert (answer.kind, answer.retryable) == ("not_over", True)


def test_every_historical_request_spends_the_budget_and_contract_details_do_not(gateway):
    budget = CountedBudget()
    before = len(gateway.requests)
    with vendor_on(gateway, budget=budget) as vendor:
        vendor.fetch_candles(question("AAPL", HALF_DAY, MONDAY, "1m"))
        vendor.fetch_candles(question("AAPL", HALF_DAY, MONDAY))
    arrived = gateway.requests[before:]
    assert len(budget.calls) == len(arrived) == 3
    assert {call.vendor for call in budget.calls} == {"ibkr"}
    assert len({call.identity for call in budget.calls}) == 3
    con_id = arrived[0].contract.con_id
    assert {call.group for call in budget.calls} == {f"{con_id}|SMART|TRADES"}
    assert {call.weight for call in budget.calls} == {1}


def test_the_same_request_has_the_same_identity(gateway):
    budget = CountedBudget()
    with vendor_on(gateway, budget=budget) as vendor:
        for _ in range(2):
            vendor.fetch_candles(question("AAPL", MONDAY))
    assert budget.calls[0] == budget.calls[1]


def test_a_spent_budget_is_said_with_its_time_and_nothing_is_asked(gateway):
    later = NOW + dt.timedelta(hours=1)
    before = len(gateway.requests)
    with vendor_on(gateway, budget=CountedBudget(closed_until=later)) as vendor:
        answer = vendor.fetch_candles(question("AAPL", MONDAY))
        assert isinstance(answer, VendorFailure)
        assert (answer.kind, answer.retryable, answer.retry_at) == ("budget", True, later)
        known = vendor.fetch_metadata()
    assert isinstance(known, Instruments)
    assert known.frame["first_session"].null_count() == known.frame.height
    assert len(gateway.requests) == before


def test_metadata_joins_the_universe_with_what_ib_says(vendor, gateway):
    known = vendor.fetch_metadata()
    assert isinstance(known, Instruments)
    assert known.vocabulary == "IBKR"
    assert known.frame.schema == INSTRUMENT_SCHEMA
    assert known.frame["symbol"].to_list() == UNIVERSE["symbol"].to_list()
    rows = {row["symbol"]: row for row in known.frame.iter_rows(named=True)}
    assert rows["AAPL"] == {
        "symbol": "AAPL",
        "name": "AAPL INC",
        "asset_class": "stock",
        "calendar": "XNYS",
        "role": "tradeable",
        "sector": "Information Technology",
        "vendor_sector": INDUSTRY,
        "first_session": dt.date(1999, 3, 1),
        "last_session": None,
    }
    assert rows["BTC-USD"]["asset_class"] == "crypto"
    for unclear in ("NOPE", "TWINS"):
        row = rows[unclear]
        assert (row["vendor_sector"], row["first_session"]) == (None, None)
        assert row["sector"] == "Energy"


def test_a_history_older_than_the_calendar_has_no_first_session(vendor, gateway):
    async def in_1980(client, request):
        client.send(88, request.request_id, 345479400)

    gateway.script(in_1980, on="head")
    known = vendor.fetch_metadata()
    assert isinstance(known, Instruments)
    assert known.frame["first_session"].to_list()[0] is None
    assert known.frame["first_session"].to_list()[1] == dt.date(1999, 3, 1)


def test_a_refused_head_timestamp_leaves_one_symbol_without_first_session(vendor, gateway):
    gateway.script(refuse(162, "Historical Market Data Service error message:no head"), on="head")
    known = vendor.fetch_metadata()
    assert isinstance(known, Instruments)
    first = known.frame.row(0, named=True)
    assert (first["name"], first["first_session"]) == ("AAPL INC", None)


def test_events_and_fundamentals_are_not_offered(vendor):
    for answer in (
        vendor.fetch_corporate_actions(question("AAPL", MONDAY)),
        vendor.fetch_fundamentals(question("AAPL", MONDAY)),
    ):
        assert isinstance(answer, VendorFailure)
        assert (answer.kind, answer.retryable) == ("unsupported", False)


def test_a_symbol_or_timeframe_that_is_not_configured_is_said_without_connecting():
    vendor = IbkrVendor(ib_config(requests={}), UNIVERSE, CountedBudget(), lambda: NOW)
    answer = vendor.fetch_candles(question("AAPL", MONDAY))
    assert isinstance(answer, VendorFailure)
    assert answer.kind == "timeframe"
    vendor = IbkrVendor(ib_config(), UNIVERSE, CountedBudget(), lambda: NOW)
    answer = vendor.fetch_candles(question("XYZ", MONDAY))
    assert isinstance(answer, VendorFailure)
    assert answer.kind == "unknown_symbol"
    vendor.close()


def test_client_id_0_is_refused_because_it_sees_orders():
    with pytest.raises(ConfigurationError, match="client id 0"):
        IbkrVendor(ib_config(client_id=0), UNIVERSE, CountedBudget(), lambda: NOW)


def test_nothing_about_orders_is_ever_asked():
    with patient_gateway() as gateway, vendor_on(gateway) as vendor:
        vendor.fetch_candles(question("AAPL", MONDAY))
        vendor.fetch_metadata()
        kinds = {int(fields[0]) for fields in gateway.messages}
    place, cancel, open_orders, auto_bind, all_orders, completed = 3, 4, 5, 15, 16, 99
    assert not kinds & {place, cancel, open_orders, auto_bind, all_orders, completed}


def test_a_contract_is_looked_up_once_for_each_connection():
    with patient_gateway() as gateway, vendor_on(gateway) as vendor:
        for timeframe in ("1d", "1h"):
            vendor.fetch_candles(question("AAPL", MONDAY, timeframe=timeframe))
        assert [fields[0] for fields in gateway.messages].count("9") == 1
        vendor.close()
        vendor.fetch_candles(question("AAPL", MONDAY))
        assert [fields[0] for fields in gateway.messages].count("9") == 2
        assert len(gateway.client_ids) == 2


def test_it_works_on_a_worker_thread_and_inside_a_running_event_loop(gateway):
    answers = []
    with vendor_on(gateway) as vendor:
        asked = question("AAPL", MONDAY)
        worker = threading.Thread(target=lambda: answers.append(vendor.fetch_candles(asked)))
        worker.start()
        worker.join()

        async def inside() -> None:
            answers.append(vendor.fetch_candles(asked))

        asyncio.run(inside())
    assert [type(answer) for answer in answers] == [Candles, Candles]


FRESH_PROCESS = """
import asyncio, sys, threading
from turbomode_assets.vendors.ibkr.thread import ClientThread
from turbomode_assets.config.vendors import IbkrConfig

asyncio.run(asyncio.sleep(0))  # leaves the main thread without an event loop
assert "ib_insync" not in sys.modules
config = IbkrConfig.model_validate_json(sys.argv[1])

async def nothing(client):
    return type(client).__name__

def ask():
    client = ClientThread(config)
    print(client.ask(nothing))
    client.close()

worker = threading.Thread(target=ask)
worker.start()
worker.join()
"""


def test_the_library_is_imported_late_and_where_there_is_an_event_loop():
    command = [sys.executable, "-c", FRESH_PROCESS, ib_config().model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "IbkrClient\n", done.stderr


def test_one_module_alone_imports_the_library():
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in modules()
        if {name.partition(".")[0] for name in imports_of(path)} & LIBRARIES
    }
    assert importers == {"vendors/ibkr/library.py"}


def test_several_threads_are_served_one_after_the_other(gateway):
    answers: list[object] = []
    with vendor_on(gateway) as vendor:
        asked = question("AAPL", MONDAY)
        workers = [
            threading.Thread(target=lambda: answers.append(vendor.fetch_candles(asked)))
            for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert [type(answer) for answer in answers] == [Candles] * 4
