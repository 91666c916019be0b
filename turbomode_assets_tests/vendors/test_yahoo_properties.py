import contextlib
import datetime as dt
import string

import hypothesis.strategies as st
import polars as pl
from hypothesis import given, settings

from turbomode_assets.sessions import FIRST_SESSION, SessionSpan, session_close, sessions_between
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA, Request
from turbomode_assets.vendors.yahoo.bars import ended_bars, rows_within
from turbomode_assets.vendors.yahoo.failures import YahooError, scrub
from turbomode_assets.vendors.yahoo.replies import Chart, read_chart, read_metrics, read_summary
from turbomode_assets.vendors.yahoo.windows import Window, windows_of
from turbomode_assets_tests.vendors.yahoo_desk import at, config

FRIDAY = Window(at("2024-03-08T05:00"), at("2024-03-09T05:00"))
OPEN = int(at("2024-03-08T14:30").timestamp())
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(OPEN - 90_000, OPEN + 90_000)
    | st.floats()
    | st.text(max_size=5)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
PLACES = (
    ("chart",),
    ("chart", "result"),
    ("chart", "result", 0),
    ("chart", "result", 0, "meta"),
    ("chart", "result", 0, "meta", "symbol"),
    ("chart", "result", 0, "meta", "firstTradeDate"),
    ("chart", "result", 0, "meta", "regularMarketTime"),
    ("chart", "result", 0, "timestamp"),
    ("chart", "result", 0, "timestamp", 0),
    ("chart", "result", 0, "events"),
    ("chart", "result", 0, "events", "splits"),
    ("chart", "result", 0, "events", "splits", "1"),
    ("chart", "result", 0, "indicators"),
    ("chart", "result", 0, "indicators", "quote"),
    ("chart", "result", 0, "indicators", "quote", 0),
    ("chart", "result", 0, "indicators", "quote", 0, "open"),
    ("chart", "result", 0, "indicators", "quote", 0, "volume", 0),
)


def healthy():
    quote = {"open": [1.0], "high": [2.0], "low": [0.5], "close": [1.5], "volume": [9]}
    result = {
        "meta": {"symbol": "AAPL", "firstTradeDate": 345479400, "regularMarketTime": OPEN + 23_402},
        "timestamp": [OPEN],
        "events": {"splits": {"1": {"date": OPEN, "numerator": 4, "denominator": 1}}},
        "indicators": {"quote": [quote]},
    }
    return {"chart": {"result": [result], "error": None}}


@given(st.sampled_from(PLACES), JSON, st.sampled_from(["1d", "1h", "1m"]))
def test_whatever_stands_in_a_reply_gives_candles_or_a_failure(place, junk, timeframe):
    reply = parent = healthy()
    for name in place[:-1]:
        parent = parent[name]
    parent[place[-1]] = junk
    with contextlib.suppress(YahooError):
        chart = rows_within(read_chart(reply, "AAPL", timeframe), FRIDAY)
        frame = ended_bars(chart, timeframe, "XNYS", at("2024-12-20T03:00"))
        assert_candles(frame)


def assert_candles(frame):
    assert frame.schema == CANDLE_SCHEMA
    assert frame["ts"].is_between(FRIDAY.begin, FRIDAY.end, closed="left").all()
    assert frame["ts"].is_unique().all()


@given(JSON)
def test_whatever_comes_instead_of_a_summary_or_info_is_read_or_refused(junk):
    for read in (read_summary, read_metrics):
        with contextlib.suppress(YahooError):
            read(junk)


@given(st.text(string.printable.strip(), min_size=4, max_size=40), st.text(string.ascii_letters))
def test_nothing_before_an_at_sign_is_told(secret, host):
    assert scrub(f"no way http://{secret}@{host}/x back") == f"no way ***@{host}/x back"


@given(
    st.dates(dt.date(2023, 6, 1), dt.date(2024, 12, 1)),
    st.integers(5, 40),
    st.integers(1, 30),
    st.sampled_from(["XNYS", "24/7"]),
    st.sampled_from(["1m", "1h", "1d"]),
)
@settings(max_examples=60)
def test_pieces_are_short_enough_and_cover_every_session_once(day, days, length, calendar, frame):
    sessions = sessions_between(day, day + dt.timedelta(days=days))
    limits = dict.fromkeys(("1m", "1h", "1d"), length)
    request = Request("X", calendar, SessionSpan(sessions[0], sessions[-1]), frame)
    unlimited = config(days_per_request=limits, look_back_days=dict.fromkeys(limits))
    windows = windows_of(request, unlimited, at("2024-12-20T03:00"))
    assert all(window.seconds[1] - window.seconds[0] <= length * 86400 for window in windows)
    for session in sessions:
        last_second = session_close(session).timestamp() - 1
        holding = [w for w in windows if w.seconds[0] <= last_second < w.seconds[1]]
        assert len(holding) == 1
    assert sessions[0] > FIRST_SESSION


@given(st.integers(0, 5), st.integers(0, 59))
def test_bars_that_have_ended_are_the_same_whenever_they_are_asked_for(hours, minutes):
    rows = pl.DataFrame(
        {
            "second": [OPEN + 3600 * n for n in range(7)],
            **{name: [1.0 + n for n in range(7)] for name in ("open", "high", "low", "close")},
            "volume": [5.0] * 7,
        }
    )
    now = at("2024-03-08T14:30") + dt.timedelta(hours=hours, minutes=minutes)
    all_rows = rows_within(Chart(rows, None, None, (), ()), FRIDAY)
    later = ended_bars(all_rows, "1h", "XNYS", at("2024-12-20T03:00"))
    assert ended_bars(all_rows, "1h", "XNYS", now).equals(later.head(hours))
