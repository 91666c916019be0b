"""The nightly page as people see it: a real headless browser, a phone and a desk."""

import json
from dataclasses import replace

import pytest

from turbomode_assets.nightly.page.document import SECTIONS, nightly_json, nightly_page
from turbomode_assets_tests.browser import browser
from turbomode_assets_tests.nightly.page.reports import (
    empty_report,
    full_coverage,
    full_report,
    full_signals,
    make_signal,
)
from turbomode_assets_tests.reports.html_reading import leaves

SCREENS = {"phone": (390, 844), "desk": (1440, 900)}
HOSTILE = "<img src=http://example.invalid/x onerror=alert(1)><script>alert(2)</script>" + "W" * 90
IS_SEEN = """
[...document.querySelectorAll("main h2")].map(h => {
  const box = h.getBoundingClientRect();
  return [h.textContent, box.width > 0 && box.height > 0 && box.left >= 0 && box.right <= innerWidth
    && getComputedStyle(h).visibility === "visible"];
})
"""
FIGURES = "[...document.querySelectorAll('data')].map(each => each.getAttribute('value'))"
WIDTHS = "[document.documentElement.scrollWidth, innerWidth]"
UNFOLD = "document.querySelectorAll('details').forEach(each => each.open = true)"
WIDER_THAN_THEIR_PLACE = """
[...document.querySelectorAll(".scroll")].filter(each => each.scrollWidth > each.clientWidth)
  .map(each => each.closest("section").id)
"""


def hostile_report():
    report = full_report(tenant=HOSTILE)
    rows = (make_signal(1, symbol=HOSTILE), *report.signals.rows[1:])
    return full_report(tenant=HOSTILE, signals=type(report.signals)(rows, report.signals.models))


def costly_report():
    """Figures as wide as they come: a coin's prices."""
    costly = {
        "symbol": "BTC-USD",
        "signal": "SELL",
        "confidence": 1.0,
        "p_buy": 1.0,
        "p_hold": 1.0,
        "p_sell": 1.0,
        "entry_price_estimate": 123_456.78,
        "profit_take_price": 123_456.78,
        "stop_loss_price": 123_456.78,
    }
    signals = full_signals()
    rows = tuple(replace(row, **costly) for row in signals.rows)
    return full_report(signals=replace(signals, rows=rows))


REPORTS = {
    "full": full_report,
    "large": lambda: full_report(signals=full_signals(80), coverage=full_coverage(80)),
    "empty": empty_report,
    "hostile": hostile_report,
    "costly": costly_report,
}


@pytest.mark.browser
@pytest.mark.parametrize("name", REPORTS)
def test_the_page_shows_everything_on_a_phone_and_on_a_desk(name, tmp_path):
    report = REPORTS[name]()
    path = tmp_path / "page.html"
    path.write_text(nightly_page(report), encoding="utf-8")
    with browser(tmp_path / "profile") as page:
        for width, height in SCREENS.values():
            page.open(path.as_uri(), width=width, height=height)
            assert page.complaints == []
            assert page.requests == [path.as_uri()]
            scrolled, seen = page.evaluate(WIDTHS)
            assert scrolled <= seen == width
            page.evaluate(UNFOLD)
            if (width, height) == SCREENS["desk"]:
                assert page.evaluate(WIDER_THAN_THEIR_PLACE) == []
            assert page.evaluate(IS_SEEN) == [[heading, True] for heading in SECTIONS.values()]
            carried = set(page.evaluate(FIGURES))
            shown = page.evaluate("document.body.textContent")
            for leaf in leaves(json.loads(nightly_json(report))):
                if isinstance(leaf, str):
                    assert leaf in shown or leaf in carried, leaf
                else:
                    assert repr(leaf) in carried, leaf


@pytest.mark.browser
def test_the_page_is_dark_where_people_prefer_that(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(nightly_page(full_report()), encoding="utf-8")
    paper = "getComputedStyle(document.body).backgroundColor"
    with browser(tmp_path / "profile") as page:
        page.open(path.as_uri(), width=390, height=844)
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        page.open(path.as_uri(), width=390, height=844, dark=True)
        assert page.evaluate(paper) == "rgb(16, 23, 29)"
