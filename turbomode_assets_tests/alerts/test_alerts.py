"""Alerts in words: one line each, the worst first, stamped where the market is made up."""

import datetime as dt

import polars as pl

from turbomode_assets.alerts.alerts import (
    LONGEST_LINE,
    MOST_LINES,
    alert_lines,
    message_of,
)
from turbomode_assets.alerts.conditions import Condition, News

SINCE = dt.datetime(2017, 11, 11, 7, 45, tzinfo=dt.UTC)


def news(happened, severity, name, *, minutes=0, detail="where it is"):
    condition = Condition(name, name.split(":")[0], severity, f"title of {name}", detail, "do this")
    return News(happened, condition, SINCE + dt.timedelta(minutes=minutes))


def test_a_message_has_one_line_for_each_the_worst_first_and_what_is_over_last():
    title, body, worst = message_of(
        [
            news("over", "critical", "silence:ingestion"),
            news("new", "info", "decision:4"),
            news("lasts", "warning", "drift:m", minutes=1),
            news("worse", "critical", "run:scanner:2017-11-10"),
            news("new", "warning", "late:2017-11-10"),
        ],
        tenant="alpha",
        simulated=False,
    )
    assert title == "turbomode alpha: 1 critical, 2 warning, 1 info, 1 over"
    assert worst == "critical"
    assert body.splitlines() == [
        "CRITICAL (worse): title of run:scanner:2017-11-10. where it is. Fix: do this "
        "[run:scanner:2017-11-10]",
        "WARNING: title of late:2017-11-10. where it is. Fix: do this [late:2017-11-10]",
        "WARNING (still): title of drift:m. where it is. Fix: do this [drift:m]",
        "INFO: title of decision:4. where it is. Fix: do this [decision:4]",
        "OVER: title of silence:ingestion (since 2017-11-11 07:45 UTC)",
    ]


def test_a_made_up_market_is_stamped_and_what_is_only_over_has_no_severity():
    title, _, worst = message_of([news("over", "critical", "a")], tenant="t", simulated=True)
    assert title == "turbomode t: 1 over [vendor=simulated]"
    assert worst is None


def test_a_text_of_many_lines_stays_one_line_and_is_cut():
    detail = "first\nCRITICAL: not an alert\r\n" + "x" * 2 * LONGEST_LINE
    _, body, _ = message_of([news("new", "info", "a", detail=detail)], tenant="t", simulated=False)
    assert len(body.splitlines()) == 1
    assert len(body) == LONGEST_LINE


def test_beyond_so_many_lines_the_last_says_where_the_rest_is():
    many = [news("new", "warning", f"late:{number}", minutes=number) for number in range(60)]
    _, body, _ = message_of(many, tenant="t", simulated=False)
    lines = body.splitlines()
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == "... and 35 more: turbomode alerts list"


def test_the_terminal_shows_name_history_and_remedy():
    row = {
        "severity": "warning",
        "fingerprint": "drift:m",
        "title": "Drift",
        "detail": "12 of 179 features",
        "remedy": "wait",
        "first_seen": SINCE,
        "sent_at": SINCE,
        "ended_at": None,
        "acknowledged_at": SINCE + dt.timedelta(hours=1),
        "acknowledged_by": "ada",
    }
    assert alert_lines(pl.DataFrame([row])) == [
        "WARNING  drift:m  since 2017-11-11 07:45 UTC, told 2017-11-11 07:45 UTC, "
        "acknowledged by ada 2017-11-11 08:45 UTC",
        "         Drift",
        "         12 of 179 features",
        "         fix: wait",
    ]
