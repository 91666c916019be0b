"""Everything the fake gateway can do wrong, and the answer that each becomes."""

import datetime as dt
import logging
import socket
from dataclasses import replace

import pytest

from turbomode_assets.vendors.protocol import Candles, Instruments, NoData, VendorFailure
from turbomode_assets_tests.vendors.builders import CountedBudget
from turbomode_assets_tests.vendors.fake_ib_gateway import FakeGateway
from turbomode_assets_tests.vendors.fake_ib_market import bars_of
from turbomode_assets_tests.vendors.fake_ib_steps import (
    LOST,
    RESTORED_DATA_KEPT,
    RESTORED_DATA_LOST,
    alter,
    drop_in_mid_frame,
    fail_an_earlier_request,
    have_no_data,
    in_segments,
    refuse,
    send_fields,
    stall,
    tell,
    violate_pacing,
)
from turbomode_assets_tests.vendors.ib_vendors import patient_gateway, question, vendor_on

MONDAY = dt.date(2024, 12, 2)
ASKED = question("AAPL", dt.date(2024, 11, 25), MONDAY, "1h")
SERVICE = "Historical Market Data Service error message:"
SHORT = {"request_timeout_seconds": 0.9}
ACCOUNT_VALUES, POSITIONS, EXECUTIONS = 6, 61, 7


@pytest.fixture
def gateway():
    with patient_gateway() as running:
        yield running


@pytest.fixture
def right(gateway):
    """The answer of a gateway that does nothing wrong."""
    with patient_gateway() as other, vendor_on(other) as vendor:
        return delivered(vendor.fetch_candles(ASKED))


def delivered(answer: object) -> list[tuple[object, ...]]:
    assert isinstance(answer, Candles), answer
    return answer.frame.rows()


def failed(answer: object, kind: str, *, retryable: bool) -> str:
    assert isinstance(answer, VendorFailure), answer
    assert (answer.kind, answer.retryable) == (kind, retryable), answer
    return answer.message


def fetch_with(gateway: FakeGateway, *steps, budget=None, **config) -> object:
    """Ask once with these steps ahead, then again: the second answer must be right."""
    gateway.script(*steps)
    with vendor_on(gateway, budget=budget, **config) as vendor:
        answer = vendor.fetch_candles(ASKED)
        delivered(vendor.fetch_candles(ASKED))
    return answer


def test_a_pacing_violation_is_retryable_and_cools_the_budget_off(gateway):
    budget = CountedBudget()
    message = failed(fetch_with(gateway, violate_pacing(), budget=budget), "pacing", retryable=True)
    assert message == f"AAPL: 162 {SERVICE}Historical data request pacing violation"
    ((vendor, reason),) = budget.cooled_off
    assert vendor == "ibkr"
    assert "pacing violation" in reason


def test_pacing_is_enforced_by_the_gateway_itself():
    with FakeGateway(clock=lambda: 0.0) as strict, vendor_on(strict) as vendor:
        delivered(vendor.fetch_candles(ASKED))
        failed(vendor.fetch_candles(ASKED), "pacing", retryable=True)
        assert strict.violations == ["identical within 15 s"]


def test_no_data_is_a_fact(gateway):
    answer = fetch_with(gateway, have_no_data())
    assert isinstance(answer, NoData)
    assert answer.reason.startswith(f"AAPL: 162 {SERVICE}HMDS query returned no data")


@pytest.mark.parametrize(
    ("code", "text", "kind", "retryable"),
    [
        (162, f"{SERVICE}invalid step: 100", "rejected", False),
        (162, f"{SERVICE}No market data permissions for NYSE STK", "not_subscribed", False),
        (200, "No security definition has been found for the request", "no_contract", False),
        (321, "Error validating request:-'bS' : cause - bar size is invalid", "rejected", False),
        (354, "Requested market data is not subscribed.", "not_subscribed", False),
        (10314, "End Date/Time: The date, time, or time-zone is invalid", "rejected", False),
        (101, "Max number of tickers has been reached", "too_many_open", True),
        (504, "Not connected", "connectivity", True),
        (9999, "something new", "rejected", False),
    ],
)
def test_each_error_code_has_its_outcome(gateway, code, text, kind, retryable):
    message = failed(fetch_with(gateway, refuse(code, text)), kind, retryable=retryable)
    assert message == f"AAPL: {code} {text}"


def test_a_text_of_any_length_becomes_one_bounded_line(gateway):
    message = failed(
        fetch_with(gateway, refuse(321, "no\n\x1b[2J" * 500)), "rejected", retryable=False
    )
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize("of_the_request", [True, False])
def test_too_many_messages_is_pacing(gateway, of_the_request):
    text = "Max rate of messages per second has been exceeded"
    step = refuse(100, text) if of_the_request else tell((100, text), then_answer=False)
    budget = CountedBudget()
    failed(fetch_with(gateway, step, budget=budget), "pacing", retryable=True)
    assert len(budget.cooled_off) == 1


@pytest.mark.parametrize(
    ("symbol", "kind"), [("NOPE", "no_contract"), ("TWINS", "ambiguous_contract")]
)
def test_a_symbol_without_exactly_one_contract_is_not_asked_for(gateway, symbol, kind):
    with vendor_on(gateway) as vendor:
        failed(vendor.fetch_candles(question(symbol, MONDAY)), kind, retryable=False)
    assert gateway.requests == []


def test_no_contract_and_no_error_is_no_contract(gateway):
    async def nothing(client, request):
        client.send(52, 1, request.request_id)

    gateway.script(nothing, on="details")
    with vendor_on(gateway) as vendor:
        failed(vendor.fetch_candles(ASKED), "no_contract", retryable=False)


def test_a_socket_dropped_in_mid_frame_is_connectivity_and_the_next_call_reconnects(gateway):
    failed(fetch_with(gateway, drop_in_mid_frame()), "connectivity", retryable=True)
    assert len(gateway.client_ids) == 2


def test_a_connection_dropped_between_two_calls_is_opened_again(gateway, right):
    with vendor_on(gateway) as vendor:
        assert delivered(vendor.fetch_candles(ASKED)) == right
        gateway.drop_connections()
        # The client may notice the drop only when it asks.
        answer = vendor.fetch_candles(ASKED)
        if isinstance(answer, VendorFailure):
            failed(answer, "connectivity", retryable=True)
            answer = vendor.fetch_candles(ASKED)
        assert delivered(answer) == right


def test_frames_split_over_many_segments_are_put_together(gateway, right):
    assert delivered(fetch_with(gateway, in_segments(97))) == right


def test_a_stalled_answer_times_out_and_is_cancelled(gateway):
    failed(fetch_with(gateway, stall(), **SHORT), "timeout", retryable=True)
    assert gateway.cancelled == [gateway.requests[0].request_id]


def test_stalled_contract_details_time_out(gateway):
    gateway.script(stall(), on="details")
    with vendor_on(gateway, **SHORT) as vendor:
        failed(vendor.fetch_candles(ASKED), "timeout", retryable=True)


def test_a_stalled_head_timestamp_ends_the_metadata(gateway):
    gateway.script(stall(), on="head")
    with vendor_on(gateway, **SHORT) as vendor:
        failed(vendor.fetch_metadata(), "timeout", retryable=True)
        assert isinstance(vendor.fetch_metadata(), Instruments)


def test_a_lost_link_that_comes_back_with_its_data_goes_unnoticed(gateway, right):
    step = tell(LOST, RESTORED_DATA_KEPT, then_answer=True)
    assert delivered(fetch_with(gateway, step)) == right


def test_a_lost_link_that_comes_back_without_its_data_is_asked_again(gateway, right):
    budget = CountedBudget()
    gateway.script(tell(LOST, RESTORED_DATA_LOST, then_answer=False))
    with vendor_on(gateway, budget=budget) as vendor:
        assert delivered(vendor.fetch_candles(ASKED)) == right
    first, second = gateway.requests
    assert first.identity == second.identity
    assert len(budget.calls) == 2
    assert gateway.violations == []


def test_a_question_that_is_forgotten_again_and_again_is_connectivity(gateway):
    forgotten = tell(LOST, RESTORED_DATA_LOST, then_answer=False)
    message = failed(fetch_with(gateway, *[forgotten] * 3), "connectivity", retryable=True)
    assert "again and again" in message


def test_a_lost_link_that_stays_lost_is_connectivity(gateway):
    step = tell(LOST, then_answer=False)
    failed(fetch_with(gateway, step, **SHORT), "connectivity", retryable=True)


@pytest.mark.parametrize("while_asked", [True, False])
def test_a_port_reset_is_connectivity_and_the_next_call_reconnects(gateway, while_asked):
    reset = (1300, "TWS socket port has been reset and this connection is being dropped.")
    if while_asked:
        failed(fetch_with(gateway, tell(reset, then_answer=False)), "connectivity", retryable=True)
    else:
        fetch_with(gateway, tell(then_answer=True))
        with vendor_on(gateway) as vendor:
            delivered(vendor.fetch_candles(ASKED))
            gateway.announce(*reset)
            vendor.fetch_candles(ASKED)
            delivered(vendor.fetch_candles(ASKED))


def test_broken_farms_are_logged_and_do_no_harm(gateway, right, caplog):
    farms = [(code, f"farm connection is broken:{code}") for code in (2103, 2105, 2157)]
    with caplog.at_level(logging.WARNING):
        assert delivered(fetch_with(gateway, tell(*farms, then_answer=True))) == right
    assert [record.getMessage() for record in caplog.records] == [
        f"IB says {code} {text}" for code, text in farms
    ]


MALFORMED = {
    "text for a price": lambda r: [
        17,
        r.request_id,
        "",
        "",
        1,
        "1733149800",
        "x",
        1,
        1,
        1,
        1,
        1,
        1,
    ],
    "an empty price": lambda r: [17, r.request_id, "", "", 1, "1733149800", "", 1, 1, 1, 1, 1, 1],
    "no date": lambda r: [17, r.request_id, "", "", 1, "soon", 1, 1, 1, 1, 1, 1, 1],
    "fewer bars than stated": lambda r: [17, r.request_id, "", "", 2, *bars_of(r)[0].fields()],
    "more bars than stated": lambda r: [17, r.request_id, "", "", 0, *bars_of(r)[0].fields()],
    "no count": lambda r: [17, r.request_id, "", "", "many"],
    "nothing more": lambda r: [17, r.request_id],
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_frame_is_told_at_once(gateway, make):
    failed(fetch_with(gateway, send_fields(make)), "malformed", retryable=True)


@pytest.mark.parametrize(
    "make",
    [lambda _: ["", ""], lambda _: [999, 1], lambda _: [17, 4711, "", "", 1], lambda _: [6, 2]],
    ids=["nothing", "an unknown kind", "an answer to nobody", "half an account value"],
)
def test_a_malformed_frame_about_something_else_does_no_harm(gateway, right, make):
    async def step(client, request):
        await send_fields(make)(client, request)
        await client.answer(request)

    assert delivered(fetch_with(gateway, step)) == right


def test_a_frame_that_never_ends_times_out(gateway):
    async def step(client, request):
        client.writer.write(b"\x7f\xff\xff\xff17")

    failed(fetch_with(gateway, step, **SHORT), "timeout", retryable=True)


def test_a_malformed_head_timestamp_leaves_one_symbol_without_first_session(gateway):
    gateway.script(send_fields(lambda r: [88, r.request_id, "long ago"]), on="head")
    with vendor_on(gateway) as vendor:
        known = vendor.fetch_metadata()
    assert isinstance(known, Instruments)
    assert known.frame["first_session"].to_list()[:2] == [None, dt.date(1999, 3, 1)]


def test_malformed_contract_details_are_malformed(gateway):
    gateway.script(send_fields(lambda r: [10, r.request_id, "AAPL", "STK"]), on="details")
    with vendor_on(gateway) as vendor:
        failed(vendor.fetch_candles(ASKED), "malformed", retryable=True)
        delivered(vendor.fetch_candles(ASKED))


def test_bars_that_come_twice_are_delivered_once(gateway, right):
    assert delivered(fetch_with(gateway, alter(lambda bars: bars + bars[-3:]))) == right


def test_bars_that_contradict_each_other_are_malformed(gateway):
    step = alter(lambda bars: [*bars, replace(bars[-1], close=bars[-1].close + 0.01)])
    message = failed(fetch_with(gateway, step), "malformed", retryable=True)
    assert "contradicts" in message


def test_bars_out_of_order_are_put_in_order(gateway, right):
    assert delivered(fetch_with(gateway, alter(lambda bars: bars[::-1]))) == right


@pytest.mark.parametrize(
    "change",
    [
        lambda bar: replace(bar, close=float("nan")),
        lambda bar: replace(bar, open=float("inf")),
        lambda bar: replace(bar, low=-1.0),
        lambda bar: replace(bar, stamp="1577975400"),
        lambda bar: replace(bar, stamp="20241202"),
    ],
    ids=["not a number", "infinite", "negative", "years before", "a date"],
)
def test_a_wrong_bar_makes_the_whole_answer_malformed(gateway, change):
    step = alter(lambda bars: [*bars[:-1], change(bars[-1])])
    failed(fetch_with(gateway, step), "malformed", retryable=True)


def test_an_empty_answer_without_a_reason_is_never_taken_for_no_data(gateway):
    failed(fetch_with(gateway, alter(lambda bars: [])), "empty", retryable=True)


def test_an_answer_without_a_bar_of_the_span_is_never_taken_for_no_data(gateway):
    failed(fetch_with(gateway, alter(lambda bars: bars[:3])), "empty", retryable=True)


def test_an_answer_with_too_many_bars_is_malformed(gateway):
    step = alter(lambda bars: bars * 60)
    message = failed(fetch_with(gateway, step, largest_reply_bars=400), "malformed", retryable=True)
    assert "bars are more than 400" in message


def test_an_answer_with_too_many_bytes_is_malformed(gateway):
    async def step(client, request):
        client.writer.write(b"\x7f\xff\xff\xff17" + b"1" * (1 << 21))

    message = failed(fetch_with(gateway, step, largest_reply_bars=400), "malformed", retryable=True)
    assert "bytes" in message


def test_the_error_of_an_earlier_request_is_not_taken_for_the_present_one(gateway, right):
    assert delivered(fetch_with(gateway, fail_an_earlier_request(200, "late"))) == right


def test_a_client_id_in_use_is_stepped_over(right):
    with patient_gateway(taken_client_ids=[17, 18]) as gateway, vendor_on(gateway) as vendor:
        assert delivered(vendor.fetch_candles(ASKED)) == right
        assert gateway.client_ids == [17, 18, 19]


def test_four_client_ids_in_use_are_a_failure():
    with patient_gateway(taken_client_ids=range(30)) as gateway, vendor_on(gateway) as vendor:
        failed(vendor.fetch_candles(ASKED), "client_id_in_use", retryable=False)
        assert gateway.client_ids == [17, 18, 19, 20]
        gateway.taken_client_ids.clear()
        delivered(vendor.fetch_candles(ASKED))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_gateway_is_unreachable_and_looked_for_once(gateway):
    port = free_port()
    with vendor_on(gateway, port=port) as vendor:
        failed(vendor.fetch_candles(ASKED), "unreachable", retryable=False)
        # A gateway that appears now is not noticed: the vendor does not look again.
        with patient_gateway(port=port) as late:
            failed(vendor.fetch_candles(ASKED), "unreachable", retryable=False)
            failed(vendor.fetch_metadata(), "unreachable", retryable=False)
            assert late.client_ids == []


def test_something_that_listens_but_says_nothing_is_unreachable(gateway):
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        port = mute.getsockname()[1]
        with vendor_on(gateway, port=port, connect_timeout_seconds=0.4) as vendor:
            failed(vendor.fetch_candles(ASKED), "unreachable", retryable=False)


def test_a_gateway_that_went_away_is_connectivity_until_it_is_back(right):
    with patient_gateway() as first:
        port = first.port
        with vendor_on(first) as vendor:
            assert delivered(vendor.fetch_candles(ASKED)) == right
            first.stop()
            for _ in range(3):
                failed(vendor.fetch_candles(ASKED), "connectivity", retryable=True)
            with patient_gateway(port=port):
                assert delivered(vendor.fetch_candles(ASKED)) == right


def test_the_account_shows_in_no_message_and_in_no_log(gateway, caplog):
    account = gateway.account
    texts = [f"pacing violation of {account}", f"invalid for {account}"]
    said = []
    gateway.script(
        refuse(162, texts[0]),
        refuse(321, texts[1]),
        tell((2103, f"farm of {account}"), then_answer=True),
        send_fields(lambda r: [17, r.request_id, account]),
        send_fields(lambda _: [6, 2, "NetLiquidation", account]),
        drop_in_mid_frame(),
    )
    with caplog.at_level(logging.DEBUG), vendor_on(gateway, **SHORT) as vendor:
        said += [vendor.fetch_candles(ASKED) for _ in range(7)]
    assert isinstance(said[-1], Candles)
    assert "***" in str(said[0])
    assert account not in str(said)
    assert account not in caplog.text
    assert "2103" in caplog.text


def test_an_unanswered_account_neither_shows_nor_hinders(caplog):
    silent = [ACCOUNT_VALUES, 76]
    with patient_gateway(silent_about=silent) as gateway, caplog.at_level(logging.DEBUG):
        with vendor_on(gateway, connect_timeout_seconds=4) as vendor:
            delivered(vendor.fetch_candles(ASKED))
        assert gateway.account not in caplog.text
