import itertools

import pytest

from turbomode_assets_tests.vendors.fake_ib_market import FakeContract, FakeRequest, Pacing, bars_of

AAPL = FakeContract(1, "AAPL", "STK", "SMART", "NASDAQ", "USD")
NUMBERS = itertools.count()


def asked(end: str = "20241202 21:00:00 UTC", **values) -> FakeRequest:
    defaults = {
        "kind": "bars",
        "request_id": next(NUMBERS),
        "contract": AAPL,
        "what_to_show": "TRADES",
        "regular_hours": True,
        "end": end,
        "duration": "1 D",
        "bar_size": "30 mins",
    }
    return FakeRequest(**(defaults | values))


def other(number: int) -> FakeRequest:
    contract = FakeContract(number, f"S{number}", "STK", "SMART", "NYSE", "USD")
    return asked(contract=contract)


def pacing_at(*times: float) -> Pacing:
    return Pacing(iter(times).__next__)


def test_the_same_request_twice_within_15_seconds_breaks_a_rule():
    pacing = pacing_at(0, 14.9, 30)
    rules = [pacing.broken_by(asked()) for _ in range(3)]
    assert rules == [None, "identical within 15 s", None]


def test_the_sixth_request_for_one_contract_within_two_seconds_breaks_a_rule():
    pacing = pacing_at(0, 0.1, 0.2, 0.3, 0.4, 1.9, 3.95)
    rules = [pacing.broken_by(asked(f"202412{day:02} 21:00:00 UTC")) for day in range(2, 9)]
    assert rules[:5] == [None] * 5
    assert rules[5].startswith("six for one contract")
    assert rules[6] is None


def test_more_than_sixty_requests_in_ten_minutes_break_a_rule():
    pacing = pacing_at(*range(61), 601.5)
    rules = []
    for number in range(62):
        request = other(number)
        rules.append(pacing.broken_by(request))
        pacing.open_requests.discard(request.request_id)
    assert rules[:60] == [None] * 60
    assert rules[60:] == ["more than 60 in 10 min", None]


def test_bid_ask_counts_twice():
    pacing = pacing_at(0, 0.1, 0.2)
    rules = [
        pacing.broken_by(asked(f"202412{day:02} 21:00:00 UTC", what_to_show="BID_ASK"))
        for day in (2, 3, 4)
    ]
    assert rules[:2] == [None, None]
    assert rules[2].startswith("six for one contract")


def test_the_51st_open_request_breaks_a_rule():
    pacing = pacing_at(*range(51))
    assert [pacing.broken_by(other(number)) for number in range(51)][-1] == "more than 50 open"


@pytest.mark.parametrize(
    ("bar_size", "count", "second"),
    [("30 mins", 13, "15:00"), ("1 hour", 7, "15:00"), ("1 min", 390, "14:31")],
)
def test_bars_are_aligned_to_the_clock_as_ib_aligns_them(bar_size, count, second):
    bars = bars_of(asked(bar_size=bar_size))
    assert len(bars) == count
    starts = [int(bar.stamp) % 86400 // 60 for bar in bars]
    hour, minute = divmod(starts[1], 60)
    assert starts[0] == 14 * 60 + 30
    assert f"{hour}:{minute:02}" == second
