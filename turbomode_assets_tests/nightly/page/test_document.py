"""The nightly page and its JSON: what they say, that they agree, and that nothing breaks out."""

import dataclasses
import datetime as dt
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.nightly.figures import (
    SCHEMA,
    Alerts,
    Coverage,
    CoverageRow,
    CoverageSession,
    Drift,
    Green,
    Outcomes,
    Runs,
    Signals,
)
from turbomode_assets.nightly.page.document import SECTIONS, nightly_json, nightly_page
from turbomode_assets.nightly.page.sections.coverage import COLOURS
from turbomode_assets.nightly.verdict import concerns_of, worst_level
from turbomode_assets.runs.failures import ALL_OF_IT
from turbomode_assets_tests.nightly.page.reports import (
    LAST_60,
    NIGHT,
    empty_report,
    full_coverage,
    full_drift,
    full_outcomes,
    full_report,
    full_signals,
    make_alert,
    make_run,
    make_signal,
)
from turbomode_assets_tests.reports.html_reading import missing_from, read_page

GOOD = {
    "session": NIGHT,
    "green": Green(100, 100, 0, 0, 0.95, 0.5),
    "signals": Signals((make_signal(1),)),
    "outcomes": Outcomes(NIGHT, due_tonight=5, unsettled_tonight=1),
    "drift": Drift(0.05, "warn", features=179, exceeding=3, share=3 / 179),
    "runs": Runs((make_run(),)),
    "alerts": Alerts(),
}


def concerns(**changed):
    return concerns_of(**{**GOOD, **changed})


def levels(**changed):
    return [concern.level for concern in concerns(**changed)]


def test_the_page_says_the_figures_as_people_read_them():
    text = read_page(nightly_page(full_report())).text
    for said in (
        "Night of 2017-11-10",
        "Friday",
        "SIMULATED MARKET",
        "vendor=simulated",
        "Signals may be used; 1 thing to look at.",
        "2 BUY 1 SELL",
        "86.96 %",
        "61.1 %",
        "+0.89 %",
        "62.1 %",
        "101.24",
        "0.9877",
        "2017-12-04",
        "11 of 179 features exceed their limits",
        "$5,120",
        "512",
        "8.1 %",
        "signals: 3 bars are missing",
        "83.2 s",
        "Drift for 3 sessions",
        "p_buymoved0.7310.210 to 0.4421.9130.605",
        "p_sellas in training–0.251 to 0.461–0.594",
        "lower barrier",
        "two halts are known",
        "2017-11-11 05:31 UTC",
    ):
        assert said in text, said


def test_the_json_has_the_schema_and_plain_values():
    told = json.loads(nightly_json(full_report()))
    names = [field.name for field in dataclasses.fields(full_report())]
    assert list(told) == ["schema", *names]
    assert told["schema"] == SCHEMA
    assert told["session"] == "2017-11-10"
    assert told["written_at"] == "2017-11-11T05:31:07+00:00"
    assert told["signals"]["rows"][0]["p_buy"] == 0.6213
    assert told["outcomes"]["settled"][0]["return"] == 0.0333
    assert told["backtest"]["figures"][4] == {"name": "overfitting_probability", "value": None}
    assert told["green"] == {
        "expected": 23,
        "green": 20,
        "amber": 2,
        "red": 1,
        "wanted_share": 0.95,
        "floor_share": 0.5,
    }


@pytest.mark.parametrize("report", [full_report(), empty_report()], ids=["full", "empty"])
def test_every_figure_of_the_json_is_on_the_page(report):
    assert missing_from(read_page(nightly_page(report)), nightly_json(report)) == []


def test_every_section_with_nothing_in_it_says_why():
    report = empty_report()
    read = read_page(nightly_page(report))
    for name, heading in SECTIONS.items():
        assert heading in read.text
        assert f"why no {name}" in read.text
        assert ("section", {"id": name}) in read.elements
    assert "Something is wrong" in read.text
    assert "SIMULATED" not in read.text
    assert "vendor=none" in read.text


def test_only_a_simulated_market_is_stamped():
    for vendors, stamped in ((("archive",), False), (("archive", "simulated"), True)):
        page = nightly_page(full_report(vendors=vendors))
        assert ("SIMULATED MARKET" in page) is stamped


def test_the_page_loads_and_runs_nothing():
    read = read_page(nightly_page(full_report()))
    assert {tag for tag, _ in read.elements}.isdisjoint({"script", "img", "iframe", "object"})
    for name, attributes in read.elements:
        assert "src" not in attributes
        assert not [key for key in attributes if key.startswith("on")]
        target = attributes.get("href", "#")
        assert target.startswith(("#", "data:,")) or target == "2017-11-10.json", (name, target)
    assert "url(" not in nightly_page(full_report())
    policies = [a["content"] for t, a in read.elements if "http-equiv" in a]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_hostile_names_and_texts_stay_text():
    hostile = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&lt;"
    calm = full_report()
    signals = Signals(
        rows=tuple(
            dataclasses.replace(make_signal(n, side, symbol=hostile), model_version=hostile)
            for n, side in ((1, "BUY"), (2, "HOLD"))
        ),
        models=tuple(dataclasses.replace(m, model_version=hostile) for m in calm.signals.models),
        gate_overrides=(hostile,),
    )
    report = full_report(
        tenant=hostile,
        vendors=(hostile,),
        signals=signals,
        concerns=tuple(dataclasses.replace(c, text=hostile) for c in calm.concerns),
        outcomes=dataclasses.replace(
            calm.outcomes,
            groups=tuple(dataclasses.replace(g, group=hostile) for g in calm.outcomes.groups),
            settled=tuple(
                dataclasses.replace(s, symbol=hostile, exit_reason=hostile)
                for s in calm.outcomes.settled
            ),
        ),
        drift=dataclasses.replace(
            calm.drift,
            model_version=hostile,
            worst=tuple(dataclasses.replace(w, feature=hostile) for w in calm.drift.worst),
        ),
        coverage=dataclasses.replace(
            calm.coverage, rows=(CoverageRow(hostile, "G" * len(LAST_60)),)
        ),
        runs=Runs((make_run("FAILURE", job=hostile, failure=hostile, sessions=hostile),)),
        alerts=Alerts((make_alert(title=hostile, by=hostile),)),
    )
    read = read_page(nightly_page(report))
    known = {tag for tag, _ in read_page(nightly_page(calm)).elements}
    assert {tag for tag, _ in read.elements} <= known
    assert not [a for _, attributes in read.elements for a in attributes if a.startswith("on")]
    assert read.text.count(hostile) >= 14
    assert missing_from(read, nightly_json(report)) == []


def test_a_page_of_eighty_symbols_stays_small():
    report = full_report(
        signals=full_signals(80),
        coverage=full_coverage(80),
        runs=Runs(tuple(make_run() for _ in range(30))),
    )
    assert len(nightly_page(report).encode()) < 400_000
    assert len(nightly_json(report).encode()) < 120_000


def test_signals_without_what_is_traded_on_them_say_so():
    old = dataclasses.replace(
        make_signal(1), rank=None, confidence=None, entry_price_estimate=None, expiry_session=None
    )
    text = read_page(nightly_page(full_report(signals=Signals((old,))))).text
    assert "did not keep them" in text
    held = Signals((make_signal(1, "HOLD"),))
    text = read_page(nightly_page(full_report(signals=held))).text
    assert "No symbol is a BUY or a SELL tonight" in text


def test_a_good_night_has_no_concern():
    assert concerns() == ()
    assert worst_level(()) == "well"
    assert "All is well." in nightly_page(full_report(level="well", concerns=()))


@pytest.mark.parametrize(
    ("changed", "level", "said"),
    [
        ({"signals": Signals(why_none="nobody signalled")}, "act", "nobody signalled"),
        ({"signals": full_signals()}, "look", "two halts are known"),
        ({"green": Green(0, 0, 0, 0, 0.95, 0.5)}, "act", "No daily candle"),
        ({"green": Green(100, 49, 1, 50, 0.95, 0.5)}, "act", "the limit is 50 %"),
        ({"green": Green(100, 94, 6, 0, 0.95, 0.5)}, "look", "94.00 % of the daily candles"),
        ({"drift": Drift(0.05)}, "look", "was not measured"),
        (
            {"drift": Drift(0.05, "alert", features=179, exceeding=11, retrain=True)},
            "look",
            "11 of 179",
        ),
        (
            {"drift": Drift(0.05, "stable", predictions_verdict="alert")},
            "look",
            "Predictions have drifted",
        ),
        ({"outcomes": Outcomes(NIGHT, due_tonight=5, unsettled_tonight=5)}, "look", "5 signals"),
        ({"alerts": Alerts((make_alert("critical"),))}, "act", "Drift for 3 sessions"),
        ({"alerts": Alerts((make_alert(),))}, "look", "Drift for 3 sessions"),
        (
            {"runs": Runs((make_run("FAILURE", failure="broke", undone=ALL_OF_IT),))},
            "act",
            "failed: broke",
        ),
        (
            {"runs": Runs((make_run("FAILURE", failure="broke", undone="labels of 2017-11-10"),))},
            "act",
            "failed: broke; left undone: labels of 2017-11-10",
        ),
        (
            {"runs": Runs((make_run("CANCELED", covers=False, undone=ALL_OF_IT),))},
            "look",
            "was canceled",
        ),
    ],
)
def test_each_thing_that_is_wrong_is_a_concern(changed, level, said):
    (concern,) = concerns(**changed)
    assert concern.level == level
    assert said in concern.text
    assert concern.section in SECTIONS


def test_what_is_looked_after_is_no_concern():
    assert levels(alerts=Alerts((make_alert("critical", by="ada"), make_alert("info")))) == []
    mended = Runs((make_run(), make_run("FAILURE")))
    assert levels(runs=mended) == []
    latest = make_run("FAILURE", undone=ALL_OF_IT)
    again = Runs((make_run("STARTED"), latest, make_run("FAILURE")))
    assert levels(runs=again) == ["act"]


def test_many_failures_are_counted_not_listed():
    runs = Runs(
        tuple(
            make_run("FAILURE", job=f"job-{n}", covers=n == 4, undone=ALL_OF_IT) for n in range(6)
        )
    )
    told = concerns(runs=runs)
    assert told[-1].text == "3 more runs failed"
    assert len(told) == 4


def test_the_worst_concern_stands_first_and_decides():
    found = concerns(
        drift=Drift(0.05), signals=Signals(why_none="none"), alerts=Alerts((make_alert(),))
    )
    assert [concern.level for concern in found] == ["act", "look", "look"]
    assert worst_level(found) == "act"


def test_a_heat_map_draws_one_rectangle_for_a_stretch_of_equal_cells():
    days = LAST_60[:5]
    coverage = Coverage(
        sessions=tuple(CoverageSession(day, 1, 1, 0) for day in days),
        rows=(CoverageRow("A", "GGGGG"), CoverageRow("B", "GA.RR")),
    )
    found = re.findall(
        r'<rect class="(\w+)" x="(\d)" y="(\d)" width="(\d)" height="1">',
        nightly_page(full_report(coverage=coverage)),
    )
    assert set(COLOURS.values()) == {"green", "amber", "red"}
    assert found == [
        ("green", "0", "0", "5"),
        ("green", "0", "1", "1"),
        ("amber", "1", "1", "1"),
        ("red", "3", "1", "2"),
    ]


@settings(max_examples=25)
@given(st.text(min_size=1), st.floats(0, 1), st.integers(0, 10**9))
def test_page_and_json_agree_whatever_they_say(text, share, number):
    outcomes = dataclasses.replace(full_outcomes(), open=number)
    report = full_report(
        tenant=text,
        outcomes=outcomes,
        drift=dataclasses.replace(full_drift(LAST_60[:2]), share=share),
        signals=Signals((make_signal(1, symbol=text, confidence=share),), full_signals().models),
        calibration=empty_report().calibration,
        backtest=empty_report().backtest,
        coverage=full_coverage(2),
    )
    told = json.loads(nightly_json(report))
    assert told["signals"]["rows"][0]["symbol"] == text
    if not re.search(r"[\r\x00]", text) and text.strip():
        assert missing_from(read_page(nightly_page(report)), nightly_json(report)) == []


def test_times_are_told_in_utc():
    moment = dt.datetime(2017, 11, 11, 0, 31, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
    report = full_report(written_at=moment)
    assert json.loads(nightly_json(report))["written_at"] == "2017-11-11T05:31:00+00:00"
    assert "2017-11-11 05:31 UTC" in read_page(nightly_page(report)).text
