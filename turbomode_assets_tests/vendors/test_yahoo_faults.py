import ast
import datetime as dt
import gzip
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

import turbomode_assets.vendors
from turbomode_assets.rationing.protocol import BudgetRefusal
from turbomode_assets.vendors.protocol import Candles, Fundamentals
from turbomode_assets.vendors.yahoo import YahooVendor
from turbomode_assets.vendors.yahoo.client import YahooSession
from turbomode_assets.vendors.yahoo.failures import YahooError, scrub
from turbomode_assets_tests.vendors.builders import CountedBudget
from turbomode_assets_tests.vendors.fake_yahoo import DOWN, HTML, TOO_MANY, Fault, make_certificates
from turbomode_assets_tests.vendors.yahoo_desk import UNIVERSE, config, failure, request

pytest_plugins = ["turbomode_assets_tests.vendors.yahoo_fixtures"]

LATER = dt.datetime(2024, 12, 20, 4, tzinfo=dt.UTC)
MARCH = ("AAPL", "2024-03-07", "2024-03-08")


class EmptyingBudget(CountedBudget):
    """Lets so many calls through, and no more."""

    def __init__(self, calls: int) -> None:
        super().__init__()
        self.left = calls

    @contextmanager
    def spend(self, call):
        if not self.left:
            yield BudgetRefusal("300 calls an hour", LATER)
            return
        self.left -= 1
        self.calls.append(call)
        yield None


def unauthorized():
    return Fault(status=401, body=b'{"finance":{"error":{"description":"Invalid Crumb"}}}')


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (TOO_MANY, ("rate_limited", True)),
        (HTML, ("malformed", True)),
        (Fault(body=b'{"chart":{"result":[{"meta":{"cur'), ("malformed", True)),
        (Fault(body=b""), ("malformed", True)),
        (Fault(body=b"[" * 100_000), ("malformed", True)),
        (Fault(body=b'{"chart": 7}'), ("malformed", True)),
        (Fault(body=b'{"chart":{"result":null,"error":null}}'), ("malformed", True)),
        (Fault(body=b"\xff\xfe\x00 not text"), ("malformed", True)),
        (Fault(breaks_off=True), ("connectivity", True)),
        (DOWN, ("connectivity", True)),
        (Fault(status=503, body=b"no"), ("connectivity", True)),
        (Fault(status=404, body=b"<html>"), ("no_contract", False)),
        (Fault(status=451, body=b"<html>"), ("denied", False)),
        (Fault(status=302, body=b"", headers={"Location": "https://example.com/"}), None),
        (Fault(status=302, body=b"", headers={"Location": "http://query1.yahoo.com/"}), None),
    ],
)
def test_a_fault_is_named_asked_once_and_forgotten_when_it_has_passed(desk, fault, expected):
    desk.yahoo.script("chart/AAPL", fault)
    assert failure(desk.candles(*MARCH)) == (expected or ("malformed", True))
    assert desk.yahoo.count("chart/AAPL") == 1
    assert desk.frame(*MARCH).height == 2


@pytest.mark.parametrize("column", ["open", "volume"])
@pytest.mark.parametrize("value", ["108", True, [1.0], {}, float("nan"), float("inf"), 10**400])
def test_values_of_wrong_types_and_impossible_numbers_are_malformed(desk, column, value):
    def change(reply):
        reply["chart"]["result"][0]["indicators"]["quote"][0][column][0] = value
        return reply

    desk.yahoo.script("chart/AAPL", Fault(change=change))
    assert failure(desk.candles(*MARCH)) == ("malformed", True)


def test_a_negative_volume_and_lists_of_unequal_length_are_malformed(desk):
    def negative(reply):
        reply["chart"]["result"][0]["indicators"]["quote"][0]["volume"][0] = -1
        return reply

    def short(reply):
        reply["chart"]["result"][0]["indicators"]["quote"][0]["close"].pop()
        return reply

    desk.yahoo.script("chart/AAPL", Fault(change=negative), Fault(change=short))
    assert "negative" in desk.candles(*MARCH).message
    assert "not as many of close" in desk.candles(*MARCH).message


def test_a_stalled_reply_is_a_timeout(desk):
    desk.rebuild(request_timeout_seconds=0.4)
    desk.yahoo.script("chart/AAPL", Fault(stalls=True))
    assert failure(desk.candles(*MARCH)) == ("timeout", True)


def test_a_reply_larger_than_allowed_is_malformed_also_when_it_is_packed(desk):
    desk.rebuild(largest_reply_bytes=20_000)
    packed = gzip.compress(b" " * 5_000_000)
    assert len(packed) < 20_000
    desk.yahoo.script(
        "chart/AAPL",
        Fault(body=b" " * 30_000),
        Fault(body=packed, headers={"Content-Encoding": "gzip"}),
    )
    for _ in range(2):
        answer = desk.candles(*MARCH)
        assert failure(answer) == ("malformed", True)
        assert "larger than 20000 bytes" in answer.message
    assert desk.frame(*MARCH).height == 2


def test_every_request_that_yfinance_makes_is_spent(desk):
    desk.frame(*MARCH)
    desk.vendor.fetch_fundamentals(request(*MARCH))
    assert len(desk.budget.calls) == len(desk.yahoo.requests) == 6
    assert [call.identity.split("?")[0] for call in desk.budget.calls] == [
        "https://fc.yahoo.com",
        "https://query1.finance.yahoo.com/v1/test/getcrumb",
        "https://query2.finance.yahoo.com/v8/finance/chart/AAPL",
        "https://query2.finance.yahoo.com/v10/finance/quoteSummary/AAPL",
        "https://query1.finance.yahoo.com/v7/finance/quote",
        "https://query1.finance.yahoo.com/ws/fundamentals-timeseries/v1/finance/timeseries/AAPL",
    ]
    assert {(call.vendor, call.group, call.weight) for call in desk.budget.calls} == {
        ("yahoo", "AAPL", 1)
    }
    assert not any("crumb=" in call.identity for call in desk.budget.calls)


def test_redirects_are_spent_too(desk):
    desk.yahoo.script("fc.yahoo.com", Fault(status=404, body=b"<html></html>"), forever=True)
    desk.yahoo.script("query1.finance.yahoo.com/v1/test/getcrumb", HTML, forever=True)
    assert desk.frame(*MARCH).height == 2  # by the consent form, to which yfinance is sent on
    sent_on = desk.yahoo.requests.index("guce.yahoo.com/consent") + 1
    assert desk.yahoo.requests[sent_on].startswith("consent.yahoo.com/v2/collectConsent")
    assert len(desk.budget.calls) == len(desk.yahoo.requests)


def test_endless_redirects_end(desk):
    again = Fault(status=302, body=b"", headers={"Location": "/v8/finance/chart/AAPL"})
    desk.yahoo.script("chart/AAPL", again, forever=True)
    answer = desk.candles(*MARCH)
    assert failure(answer) == ("malformed", True)
    assert "redirects" in answer.message


def test_a_spent_budget_makes_no_request_and_says_when_to_come_again(desk):
    desk.budget.closed_until = LATER
    answer = desk.candles(*MARCH)
    assert failure(answer) == ("budget", True)
    assert (answer.message, answer.retry_at) == ("closed for the test", LATER)
    assert desk.vendor.fetch_fundamentals(request(*MARCH)).kind == "budget"
    assert desk.vendor.fetch_metadata().retry_at == LATER
    assert desk.yahoo.requests == []


@pytest.mark.parametrize("calls", range(1, 5))
def test_a_budget_spent_on_the_way_is_told_though_yfinance_hides_exceptions(desk, calls):
    budget = EmptyingBudget(calls)
    vendor = YahooVendor(config(), UNIVERSE, budget, desk.folder, lambda: desk.yahoo.now)
    answer = vendor.fetch_fundamentals(request(*MARCH))
    vendor.close()
    assert failure(answer) == ("budget", True)
    assert answer.retry_at == LATER
    assert len(desk.yahoo.requests) == calls


def test_a_refusal_holds_until_the_next_question(desk):
    budget = EmptyingBudget(0)
    session = YahooSession(config(), budget)
    for _ in range(2):
        session.begin("AAPL")
        with pytest.raises(YahooError) as first:
            session.get("https://query2.finance.yahoo.com/x")
        budget.left = 5
        with pytest.raises(YahooError) as second:
            session.get("https://query2.finance.yahoo.com/x")
        assert second.value is first.value
        budget.left = 0
    session.close()
    assert desk.yahoo.requests == []


def test_a_storm_of_refusals_opens_the_breaker_with_one_request(desk):
    desk.yahoo.script("chart/AAPL", TOO_MANY, forever=True)
    assert failure(desk.candles(*MARCH)) == ("rate_limited", True)
    assert desk.yahoo.count("chart/AAPL") == 1
    [(vendor, reason)] = desk.budget.cooled_off
    assert vendor == "yahoo"
    assert "429" in reason


@pytest.mark.parametrize("fault", [TOO_MANY, Fault(body=b"Too Many Requests\r\n")])
def test_a_refused_crumb_opens_the_breaker_too(desk, fault):
    desk.yahoo.script("test/getcrumb", fault)
    assert failure(desk.candles(*MARCH)) == ("rate_limited", True)
    assert len(desk.budget.cooled_off) == 1
    assert desk.yahoo.count("chart") == 0


def test_a_bad_answer_is_not_remembered(desk):
    desk.yahoo.listings["AAPL"].peg_ratio = 2.5
    desk.yahoo.script("fundamentals-timeseries", HTML)
    assert failure(desk.vendor.fetch_fundamentals(request(*MARCH))) == ("malformed", True)
    answer = desk.vendor.fetch_fundamentals(request(*MARCH))
    assert isinstance(answer, Fundamentals)
    assert answer.frame.rows() == [("trailingPegRatio", 2.5)]
    desk.yahoo.listings["AAPL"].peg_ratio = 2.6
    assert desk.vendor.fetch_fundamentals(request(*MARCH)).frame.rows()[0][1] == 2.6


def test_a_crumb_that_yahoo_takes_no_longer_is_fetched_anew(desk):
    desk.yahoo.script("quoteSummary/AAPL", unauthorized())
    desk.yahoo.listings["AAPL"].values = {"summaryDetail": {"beta": 1.25}}
    answer = desk.vendor.fetch_fundamentals(request(*MARCH))
    assert isinstance(answer, Fundamentals)
    assert desk.yahoo.count("getcrumb") == 2


def test_a_crumb_that_yahoo_never_takes_is_denied(desk):
    desk.yahoo.script("quoteSummary/AAPL", unauthorized(), forever=True)
    assert failure(desk.vendor.fetch_fundamentals(request(*MARCH))) == ("denied", True)


def test_bars_are_fetched_where_the_cookie_host_is_blocked(desk):
    desk.yahoo.script("fc.yahoo.com", Fault(breaks_off=True, body=b"12"), forever=True)
    assert desk.frame(*MARCH).height == 2


def test_after_close_a_new_session_fetches_its_own_crumb(desk):
    desk.frame(*MARCH)
    desk.vendor.close()
    desk.vendor.close()
    assert desk.frame(*MARCH).height == 2
    assert desk.yahoo.count("getcrumb") == 2


def test_two_vendors_in_one_process_keep_their_crumbs(desk):
    other = YahooVendor(config(), UNIVERSE, desk.budget, desk.folder / "b", lambda: desk.yahoo.now)
    for vendor in (desk.vendor, other, desk.vendor, other):
        assert isinstance(vendor.fetch_candles(request(*MARCH)), Candles)
        assert not hasattr(vendor.fetch_metadata(), "kind")
    other.close()
    assert desk.yahoo.count("getcrumb") == 2


def test_threads_take_turns_at_one_vendor(desk):
    asked = [("AAPL", "XNYS"), ("BTC-USD", "24/7"), ("SPY", "XNYS")] * 3
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda pair: desk.candles(pair[0], *MARCH[1:]), asked))
    assert [answer.frame.height for answer in answers] == [2] * 9
    assert all(call.group in call.identity for call in desk.budget.calls[2:])


def test_the_cache_lies_in_its_folder(desk):
    desk.frame(*MARCH)
    assert (desk.folder / "cookies.db").exists()


def test_a_stored_cookie_that_cannot_be_read_costs_one_answer(desk):
    strange = {"Set-Cookie": "B=1; Domain=.yahoo.com; Path=/; Max-Age=1000; Secure"}
    desk.yahoo.script("fc.yahoo.com", Fault(status=404, body=b"", headers=strange))
    answer = desk.candles(*MARCH)
    assert failure(answer) == ("malformed", True)
    assert "KeyError" in answer.message
    assert desk.frame(*MARCH).height == 2


def test_a_cookie_file_that_is_none_is_a_failure_and_not_an_exception(desk):
    (desk.folder / "cookies.db").write_bytes(b"no database " * 1000)
    assert failure(desk.candles(*MARCH)) == ("cache", True)


def test_a_certificate_of_nobody_we_know_is_a_failure_of_the_way(desk, monkeypatch, tmp_path):
    make_certificates(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other" / "ca.pem"))
    assert failure(desk.candles(*MARCH)) == ("connectivity", True)
    assert desk.yahoo.requests == []


@pytest.mark.parametrize(
    "proxy",
    [
        "http://trader:s3cret@127.0.0.1:9",
        "http://trader:s3cret@[bad",
        "trader:s3cret@127.0.0.1:9",
        "nonsense://trader:s3cret@127.0.0.1:9",
    ],
)
def test_a_proxys_password_is_never_told(desk, monkeypatch, caplog, capfd, proxy):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    with caplog.at_level(logging.DEBUG):
        answer = desk.candles(*MARCH)
    assert failure(answer) == ("connectivity", True)
    told = answer.message + caplog.text + "".join(capfd.readouterr())
    assert "s3cret" not in told
    assert "trader" not in told
    assert not any(logging.getLogger(name).propagate for name in ("yfinance", "peewee"))


def test_a_proxy_with_a_password_is_used(desk, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://trader:s3cret@127.0.0.1:{desk.yahoo.port}")
    assert desk.frame(*MARCH).height == 2


def test_texts_are_short_and_without_credentials():
    assert scrub("to http://a:b@h:1/x and c:d@e") == "to ***@h:1/x and ***@e"
    assert scrub("two\n lines") == "two lines"
    assert len(scrub("word " * 10_000)) < 310


def test_one_module_imports_yfinance_and_curl():
    folder = Path(turbomode_assets.vendors.__file__).parent.parent
    importers = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {name.split(".")[0] for name in names} & {"yfinance", "curl_cffi"}:
                importers.add(path.relative_to(folder).as_posix())
    assert importers == {"vendors/yahoo/client.py"}
