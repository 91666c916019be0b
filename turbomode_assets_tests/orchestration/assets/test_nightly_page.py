"""The nightly page as the graph writes it: over real stores, whatever is missing in them."""

import datetime as dt
import json
import shutil

import dagster as dg
import polars as pl
import pytest

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.nightly.contents import gather_report
from turbomode_assets.nightly.pages import NightlyPages
from turbomode_assets.nightly.writing import write_page
from turbomode_assets.orchestration.assets.nightly_page import nightly_sources
from turbomode_assets.orchestration.resources.stores import (
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.sessions import SessionSpan, last_closed_session, offset_session
from turbomode_assets.stores import Artifacts, ModelMemory
from turbomode_assets_tests.builders import run_assets, small_settings
from turbomode_assets_tests.market import AS_OF, DERIVED, INGESTION, NIGHT
from turbomode_assets_tests.reports.html_reading import missing_from, read_page

DECIDED = ["drift_metrics", "signals", "outcomes"]
NEXT = offset_session(NIGHT, 1)
NOW = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def one(session):
    return SessionSpan(session, session)


def pages_of(settings):
    return NightlyPages(Artifacts(settings.artifacts_root))


def memory_of(settings):
    return ModelMemory(settings.memory_path, settings.tenant_name)


def figures_of(settings, session=NIGHT):
    return json.loads(pages_of(settings).figures(session).read_text(encoding="utf-8"))


def page_of(settings, session=NIGHT):
    return read_page(pages_of(settings).page(session).read_text(encoding="utf-8"))


def write(settings, session=NIGHT, **more):
    return run_assets(settings, ["nightly_page"], one(session), **more)


def sources_of(settings, instance):
    resources = (kind(settings=settings) for kind in (MasterReaderResource, MemoryResource))
    return nightly_sources(settings, *resources, LakeResource(settings=settings), instance)


def gather(settings, session):
    with dg.DagsterInstance.ephemeral() as instance:
        return gather_report(sources_of(settings, instance), session, NOW)


def settle_old_signals(settings):
    """Store what a champion said 30 sessions ago, BUY and SELL by turns, and settle it."""
    first = offset_session(AS_OF, -30)
    memory = memory_of(settings)
    model = memory.query("SELECT model_version FROM model_metadata").item()
    symbols = [f"SIM{n:03}" for n in range(1, 7)]
    said = pl.DataFrame(
        {
            "session": [first] * 6,
            "symbol": symbols,
            "signal": ["BUY", "SELL"] * 3,
            "p_sell": [0.2, 0.7] * 3,
            "p_hold": [0.1] * 6,
            "p_buy": [0.7, 0.2] * 3,
            "model_version": [model] * 6,
            "role": ["champion"] * 6,
            **{
                name: ["x"] * 6
                for name in ("feature_digest", "config_digest", "store_versions", "vendor")
            },
        }
    )
    with memory.transaction() as connection:
        connection.register("said", said)
        connection.execute("INSERT INTO signal_history BY NAME FROM said")
    run_assets(settings, ["outcomes"], SessionSpan(first, AS_OF))


@pytest.fixture(scope="module")
def _signalled_market(_trained_market, tmp_path_factory):
    root = tmp_path_factory.mktemp("signalled") / "market"
    shutil.copytree(_trained_market, root)
    settings = small_settings(root)
    settle_old_signals(settings)
    run_assets(settings, [*INGESTION, *DERIVED, *DECIDED], one(NIGHT))
    return root


@pytest.fixture
def night(_signalled_market, tmp_path):
    """A market in which NIGHT was signalled, with six old signals; yours to change."""
    shutil.copytree(_signalled_market, tmp_path / "market")
    return small_settings(tmp_path / "market")


def test_a_night_leaves_a_page_and_the_same_figures_as_json(night):
    result = write(night)
    told, page = figures_of(night), page_of(night)
    memory = memory_of(night)
    said = memory.query("SELECT * FROM signal_history WHERE session = ?", [NIGHT])
    shown = {row["symbol"]: row for row in told["signals"]["rows"]}
    assert set(shown) == set(said["symbol"])
    for row in said.iter_rows(named=True):
        assert shown[row["symbol"]]["signal"] == row["signal"]
        assert shown[row["symbol"]]["p_buy"] == row["p_buy"]
        assert row["symbol"] in page.text
    assert [row["rank"] for row in told["signals"]["rows"] if row["rank"]] == sorted(
        said["rank"].drop_nulls()
    )
    settled = memory.query("FROM signal_outcomes")
    overall = told["outcomes"]["groups"][0]
    assert (overall["group"], overall["rows"]) == ("positions", settled.height)
    assert overall["wins"] == settled.filter(outcome="win").height
    assert told["calibration"]["rows"] == settled.height
    assert told["outcomes"]["overdue"] == 6 - settled.height
    verdict = memory.query("SELECT * FROM drift_verdicts WHERE session = ?", [NIGHT])
    assert told["drift"]["exceeding"] == verdict["exceeding"].item()
    assert told["drift"]["verdict"] == verdict["verdict"].item()
    assert len(told["drift"]["worst"]) == 10
    assert told["green"]["expected"] == told["green"]["green"] == len(told["coverage"]["rows"])
    assert told["vendors"] == ["simulated"]
    assert "SIMULATED MARKET" in page.text
    assert "There is no backtest" in told["backtest"]["why_none"]
    assert missing_from(page, json.dumps(told)) == []
    (written,) = result.asset_materializations_for_node("nightly_page")
    path = pages_of(night).page(NIGHT)
    assert written.metadata["page"].value == str(path)
    assert written.metadata["page_url"].value == path.as_uri()
    assert (path.parent / "latest.html").read_bytes() == path.read_bytes()


def test_a_session_that_has_not_closed_gets_no_page_that_would_pass_for_the_latest(tmp_path):
    settings = small_settings(tmp_path)
    future = offset_session(last_closed_session(dt.datetime.now(dt.UTC)), 1)
    with dg.DagsterInstance.ephemeral() as instance:
        sources = sources_of(settings, instance)
        with pytest.raises(InputError, match="has not closed yet"):
            write_page(sources, pages_of(settings), future)
    assert pages_of(settings).sessions() == []


def test_a_page_shows_nothing_that_came_later(night):
    before = gather(night, NIGHT)
    run_assets(night, [*INGESTION, *DERIVED, *DECIDED], one(NEXT))
    with memory_of(night).transaction() as connection:
        connection.execute(
            "INSERT INTO backtest_equity VALUES (?, 1, 1, 0, 0, 0, 0)",
            [NEXT],
        )
        connection.execute("INSERT INTO backtest_figures VALUES (?, '{}', '', '')", [NEXT])
    assert gather(night, NIGHT) == before
    assert gather(night, NEXT) != before


def test_a_page_comes_out_of_empty_stores_and_says_so_on_top(tmp_path):
    settings = small_settings(tmp_path)
    result = write(settings)
    (written,) = result.asset_materializations_for_node("nightly_page")
    told, page = figures_of(settings), page_of(settings)
    assert written.metadata["verdict"].value == told["level"] == "act"
    assert f"There are no signals of {NIGHT}" in page.text
    assert "Something is wrong" in page.text
    for section in ("signals", "outcomes", "calibration", "drift", "coverage", "backtest"):
        assert told[section]["why_none"] in page.text
    assert not settings.memory_path.exists()
    assert missing_from(page, json.dumps(told)) == []


def test_a_session_without_signals_names_the_last_that_has_some_and_the_remedy(night):
    later = offset_session(NIGHT, 3)
    write(night, later)
    why = figures_of(night, later)["signals"]["why_none"]
    assert f"the newest before are those of {NIGHT}" in why
    assert f"--select signals --partition {later}" in why


def test_what_failed_is_on_the_page_with_its_reason(market):
    with dg.DagsterInstance.ephemeral() as instance:
        run_assets(market, ["signals"], one(NIGHT), instance=instance, raise_on_error=False)
        write(market, instance=instance)
    own, failed = figures_of(market)["runs"]["rows"]
    assert (own["job"], own["status"], own["sessions"]) == ("nightly_page", "STARTED", str(NIGHT))
    assert (failed["job"], failed["status"]) == ("signals", "FAILURE")
    assert failed["failure"].startswith("signals: 1 sessions of bars have no rows")
    concerns = [each["text"] for each in figures_of(market)["concerns"] if each["level"] == "act"]
    assert any(failed["failure"] in text for text in concerns)
    assert failed["failure"] in page_of(market).text


def test_alerts_and_the_backtest_are_told(night):
    with memory_of(night).transaction() as connection:
        for day, equity in ((AS_OF, 100_000.0), (NIGHT, 99_000.0)):
            connection.execute(
                "INSERT INTO backtest_equity VALUES (?, ?, 1, 0, 0, 0, ?)",
                [day, equity, 1 - equity / 1e5],
            )
        figures = json.dumps({"sharpe": 0.7, "signals": {"traded": 3}})
        connection.execute("INSERT INTO backtest_figures VALUES (?, ?, '', '')", [NIGHT, figures])
        connection.execute(
            "INSERT INTO alerts (fingerprint, kind, severity, title, detail, remedy, first_seen,"
            " last_seen, times)"
            " VALUES ('a', 'late', 'critical', 'It is <late>', 'd', 'r', ?, ?, 2)",
            [NOW, NOW],
        )
    write(night)
    told, page = figures_of(night), page_of(night)
    assert [point["equity"] for point in told["backtest"]["equity"]] == [100_000.0, 99_000.0]
    assert told["backtest"]["figures"] == [
        {"name": "sharpe", "value": 0.7},
        {"name": "signals: traded", "value": 3},
    ]
    (alert,) = told["alerts"]["rows"]
    assert (alert["severity"], alert["times"]) == ("critical", 2)
    assert alert["first_seen"] == "2020-01-01T00:00:00+00:00"
    assert "It is <late>" in page.text
    assert told["level"] == "act"


def test_a_range_writes_the_page_of_each_session(market):
    span = SessionSpan(AS_OF, NIGHT)
    run_assets(market, ["nightly_page"], span)
    assert pages_of(market).sessions() == span.sessions
    assert figures_of(market, AS_OF)["session"] == str(AS_OF)
