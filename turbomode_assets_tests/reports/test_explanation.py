"""A signal's explanation as lines and as a page: the same words, escaped, within 80 columns."""

import dataclasses
import datetime as dt
import re
from html import unescape

import numpy as np
import polars as pl
import pytest

from turbomode_assets.reports.explanation import (
    ExplainedSignal,
    explanation_lines,
    explanation_page,
)

AT = dt.datetime(2017, 11, 10, 22, 5, tzinfo=dt.UTC)
SESSION = dt.date(2017, 11, 10)
NASTY = '<script>alert("x")</script> & [bold]more[/bold]'
LONG_NAME = "crossrankreturns60"


def contributions(*sides, count=8):
    return pl.concat(
        pl.DataFrame(
            {
                "class": side,
                "feature": [f"{LONG_NAME}{at}" for at in range(count)],
                "value": pl.Series([None, *np.linspace(-1e6, 1e6, count - 1)], dtype=pl.Float32),
                "contribution": 0.3 * (-0.7) ** np.arange(count),
                "rank": range(1, count + 1),
                "percentile": [None, *np.linspace(0.1, 99.9, count - 1)],
                "sessions": 5040,
                "formula": ["sum(max(v[1] - v, 0)) < 1e-12 & " * 9] * count,
            }
        )
        for side in sides
    )


def told(*sides, **changed):
    days = [SESSION - dt.timedelta(days=back) for back in (4, 3, 2, 1, 0)]
    decided = {"model_version": "2017-11-03-0123abcd", "decided_by": "gate", "replaced": None}
    explained = ExplainedSignal(
        title=f"BUY AAPL {SESSION}",
        vendor="yahoo",
        signal={"signal": "BUY", "rule": "P(BUY) 0.6 reaches its threshold " * 6},
        origin={"feature set": "f" * 64, "gate override": NASTY},
        live=pl.DataFrame(
            decided
            | {"role": "champion", "effective_session": SESSION, "decision": "promoted_by_hand"}
        ),
        decisions=pl.DataFrame(
            decided
            | {
                "decision": "promoted_by_hand",
                "effective_session": SESSION,
                "decided_at": AT,
                "reason": NASTY,
            },
            schema_overrides={"replaced": pl.String},
        ),
        probabilities_source="recorded with the signal",
        probabilities=pl.DataFrame(
            {"model": ["gru", "stack"], "p_sell": 0.1, "p_hold": 0.2, "p_buy": [0.7, 0.712345678]}
        ),
        contributions=contributions(*(sides or ("BUY",))),
        bars=pl.DataFrame(
            {
                "session": days,
                "open": 1234.5678,
                "high": 0.00012345,
                "low": 1.5,
                "close": 174.67,
                "volume": [None, 1.0, 25_061_183.0, 25_061_183.4, 1_234_567_890.0],
                "vendor": "yahoo",
                "verdict": ["GREEN", "GREEN", "AMBER", None, "GREEN"],
            }
        ),
        ledger=pl.DataFrame(
            {
                "session": SESSION,
                "timeframe": ["1d", "1m"],
                "verdict": ["GREEN", "RED"],
                "actual_rows": [1, 0],
                "expected_rows": [1, 390],
                "delivered_by": ["yahoo", None],
                "reasons": ["", "missing"],
                "checked_at": AT,
            }
        ),
        check="The stack's probabilities equal the stored ones.",
        check_failed=False,
    )
    return dataclasses.replace(explained, **changed)


def words_of_page(page):
    """Words that stand on the page; charts repeat what the tables say."""
    body = re.sub(r'(?s)<div aria-hidden="true" class="drawn">.*?</div>\s*</div>', "", page)
    body = body[body.index("<body>") :]
    return unescape(re.sub(r"<[^>]*>", " ", body)).split()


@pytest.mark.parametrize("sides", [("BUY",), ("BUY", "SELL")])
def test_terminal_and_page_say_the_same_words(sides):
    explained = told(*sides)
    lines = explanation_lines(explained)
    said = " ".join(line.plain for line in lines).split()
    page = words_of_page(explanation_page(explained))
    # Where a digest is folded over two lines, the page has it in one.
    assert "".join(sorted("".join(said))) == "".join(sorted("".join(page)))
    assert max(len(line.plain) for line in lines) <= 80
    assert {"P(BUY)", "0.712346", "1,234,567,890", "-", "audited"} <= set(page)


def test_every_text_of_the_page_is_escaped_and_it_asks_for_no_other_file():
    page = explanation_page(told(title=f"BUY {NASTY}", vendor=NASTY, warnings=[NASTY]))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 7
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["data:,"]
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page


def test_what_does_not_fit_stands_out_in_both():
    explained = told(check="The stack's probabilities DIFFER.", check_failed=True, warnings=["W!"])
    red = [line.plain.strip() for line in explanation_lines(explained) if "red" in str(line.style)]
    assert red == ["W!", "The stack's probabilities DIFFER."]
    assert re.findall('<p class="warn">([^<]*)</p>', explanation_page(explained)) == [
        "W!",
        "The stack&#39;s probabilities DIFFER.",
    ]


def test_a_session_without_a_ledger_is_said_to_have_none():
    lines = [line.plain for line in explanation_lines(told(ledger=told().ledger.clear()))]
    assert "  the ledger has no row of this session" in lines


def test_a_simulated_vendor_stands_out():
    page = explanation_page(told(vendor="simulated"))
    assert '<span class="warn">vendor=simulated</span>' in page
    assert "<span>vendor=yahoo</span>" in explanation_page(told())


def test_each_side_has_a_bar_for_each_feature_that_moved_it():
    page = explanation_page(told("BUY", "SELL"))
    found = re.findall(
        r'<b class="(rise|fall)" style="margin-left:([\d.]+)%;width:([\d.]+)%"', page
    )
    assert len(found) == 16
    assert found[0] == ("rise", "50", "50")
    assert found[1] == ("fall", "15", "35")


def test_a_signal_that_nothing_moved_has_no_chart():
    assert 'class="bars"' not in explanation_page(told(contributions=contributions("BUY").clear()))
