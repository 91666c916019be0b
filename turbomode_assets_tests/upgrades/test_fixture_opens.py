"""What people have goes on working: installations of earlier versions, opened by this one."""

import datetime as dt
import json
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from turbomode_assets.orchestration.definitions import build
from turbomode_assets_tests.upgrades.installations import (
    TABLES,
    exact,
    last_runs,
    missing_cells,
    printed_figures,
    printed_signals,
    tasks_on,
)

NEW_YORK = ZoneInfo("America/New_York")
TASKS = ("ingestion", "scanner", "backtest", "drift_monitor")
TOLERANCE = 1e-6
"""Of what is computed anew: another machine may round otherwise. The program's own is the same."""
REMADE = {"store_versions"}
"""The search for holes has written tables since; a session done anew names the versions of now."""


def rows_as_of(installation, table):
    """Rows that a table has now, of the columns that it had then."""
    then = installation.expected()["tables"][table]
    now = installation.rows(TABLES[table])
    return [{name: row[name] for name in then[0]} for row in now]


def evening_of(session):
    """A moment at which every task of a session's night is due."""
    midnight = dt.datetime.combine(dt.date.fromisoformat(session), dt.time(), NEW_YORK)
    return (midnight + dt.timedelta(hours=24, minutes=45)).astimezone(dt.UTC)


def asked_for(task, moment):
    """Sessions that the sensor of a task asks for at a moment, or why it asks for none."""
    definitions = build(now=lambda: moment)
    with (
        dg.DagsterInstance.get() as instance,
        dg.build_sensor_context(
            instance, repository_def=definitions.get_repository_def()
        ) as context,
    ):
        tick = definitions.get_sensor_def(task).evaluate_tick(context)
    return [request.tags["turbomode/session"] for request in tick.run_requests], tick.skip_message


# --- the home -------------------------------------------------------------------------------------


def test_a_home_starts_with_the_classes_that_it_names_and_has_all_its_runs(shown):
    assert "turbomode_assets." in (shown.home / "dagster.yaml").read_text(encoding="utf-8")
    assert shown.runs() == shown.expected()["runs"]


def test_what_a_run_logged_is_still_read(shown):
    (failed,) = [run for run in shown.expected()["runs"] if run["status"] == "FAILURE"]
    with dg.DagsterInstance.get() as instance:
        entries = instance.all_logs(failed["run_id"], of_type=dg.DagsterEventType.STEP_FAILURE)
        features = instance.get_materialized_partitions(dg.AssetKey("features"))
    sessions = shown.expected()["sessions"]
    assert sessions["last"] in entries[0].dagster_event.step_failure_data.error.message
    assert {sessions["as_of"], sessions["last"]} <= set(features)


def test_configuration_files_are_accepted_and_the_graph_loads_with_them(shown, typed):
    typed("config", "check")
    definitions = build()
    assert set(TASKS) <= {sensor.name for sensor in definitions.sensors}


def test_tasks_that_were_on_stay_on_and_their_last_runs_are_known(shown, typed):
    expected, status = shown.expected(), typed("status")
    assert tasks_on(status) == expected["tasks_on"]
    then = {task: tuple(run) for task, run in expected["last_runs"].items()}
    assert last_runs(status) == then
    told = json.loads(typed("status", "--json"))
    on = [task["name"] for task in told["tasks"] if task["is_on"]]
    assert sorted(on) == sorted(expected["tasks_on"])
    assert told["completeness"]["as_of"] == expected["sessions"]["last"]
    counted = sum(session["cells"] for session in told["completeness"]["sessions"])
    assert counted == sum(
        session["GREEN"] + session["AMBER"] + session["RED"]
        for session in told["completeness"]["sessions"]
    )
    assert {hole["first_session"] for hole in told["completeness"]["queue"]} >= {
        expected["sessions"]["hole"]
    }


def test_a_task_is_switched_off_and_on_again(installation, typed):
    typed("pause", "scanner")
    assert "scanner" not in tasks_on(typed("status"))
    typed("resume", "scanner")
    assert tasks_on(typed("status")) == installation.expected()["tasks_on"]


@pytest.mark.parametrize("task", TASKS)
def test_a_session_that_was_done_is_not_asked_for_again(shown, task):
    sessions = shown.expected()["sessions"]
    asked, why = asked_for(task, evening_of(sessions["last"]))
    assert asked == []
    assert "nothing is owed" in why


def test_the_next_session_is_asked_for_alone_in_its_order(shown):
    sessions = shown.expected()["sessions"]
    assert asked_for("ingestion", evening_of(sessions["next"]))[0] == [sessions["next"]]
    asked, why = asked_for("scanner", evening_of(sessions["next"]))
    assert asked == []
    assert why.startswith(f"{sessions['next']} awaits ingestion")


# --- what is remembered ---------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_model_memory_holds_the_same_rows_to_the_bit(shown, typed, table):
    typed("models", "list")  # whatever opens the memory first may bring its tables up to date
    assert rows_as_of(shown, table) == shown.expected()["tables"][table]


def test_the_same_signals_are_printed(shown, typed):
    assert printed_signals(typed("signals")) == shown.expected()["signals"]


def test_a_stored_signal_is_explained_by_the_same_figures(shown, typed):
    then = shown.expected()["explained"]
    output = typed("explain", then["symbol"], then["session"])
    now = printed_figures(output)
    assert now["probabilities"] == then["probabilities"]
    assert now["features"] == then["features"]
    assert "DIFFER" not in output
    row = shown.expected()["tables"]["active_signals"][0]
    assert row["symbol"] == then["symbol"]
    assert row["feature_digest"] in output
    assert row["config_digest"] in output


def test_the_champion_is_the_same(shown, typed):
    (model,) = shown.expected()["tables"]["model_metadata"]
    for command in ("list", "live"):
        (line,) = [line for line in typed("models", command).splitlines() if "champion " in line]
        assert model["model_version"] in line
        assert "promoted_by_hand" in line
    assert "demonstration" in typed("models", "show", model["model_version"])


def test_the_page_of_the_last_night_is_found_where_the_stores_are_now(shown, typed):
    page = Path(typed("page").strip())
    assert page.is_relative_to(shown.data)
    assert shown.expected()["sessions"]["last"] in page.name
    assert page.is_file()


# --- going on -------------------------------------------------------------------------------------


def test_one_more_night_gives_the_signals_that_the_version_of_then_gave(installation, typed):
    expected = installation.expected()
    following = expected["sessions"]["next"]
    for task in TASKS:
        typed("run", task, "--session", following)
    for table, then in expected["next_night"].items():
        assert_alike(installation.rows(TABLES[table]), then)
    assert all(run == (following, "succeeded") for run in runs_of_tasks(typed("status")))
    assert "nothing is owed" in asked_for("scanner", evening_of(following))[1]
    explained = expected["explained"]
    assert "DIFFER" not in typed("explain", explained["symbol"], following)
    # What was written since changes nothing about the signals before.
    again = printed_figures(typed("explain", explained["symbol"], explained["session"]))
    assert again["probabilities"] == explained["probabilities"]
    assert again["features"] == explained["features"]


def test_a_session_that_is_done_anew_gives_the_same_signals(installation, typed):
    expected = installation.expected()
    typed("run", "scanner", "--session", expected["sessions"]["last"])
    then = expected["tables"]["active_signals"]
    assert_alike(installation.rows(TABLES["active_signals"]), then)


def runs_of_tasks(status):
    return [run for task, run in last_runs(status).items() if task in TASKS]


def assert_alike(now, then):
    """Rows made anew are those of then: names and sessions equal, figures within TOLERANCE."""
    assert len(now) == len(then)
    for row, before in zip(now, then, strict=True):
        for name in before.keys() - REMADE:
            assert number_or_text(row[name]) == pytest.approx(
                number_or_text(before[name]), abs=TOLERANCE
            ), (row["symbol"], name)


def number_or_text(value):
    return float.fromhex(value) if re.match("-?0x", str(value)) else value


def test_the_hole_is_planned_and_filled(installation, typed):
    expected = installation.expected()
    hole = expected["sessions"]["hole"]
    plan = typed("backfill", "--from", hole, "--to", hole, answer="n\n", code=1)
    assert missing_cells(plan) == expected["missing_cells"]
    typed("backfill", "--from", hole, "--to", hole, "--yes")
    again = typed("backfill", "--from", hole, "--to", hole, "--yes")
    assert missing_cells(again) == 0
    assert re.search(r"^ +1d +(\d+) +\1 +100 %", typed("status"), re.MULTILINE)


@pytest.mark.slow
def test_the_job_of_a_whole_night_runs_in_a_process_of_its_own(installation):
    expected = installation.expected()
    installation.job("nightly", *[expected["sessions"]["next"]] * 2)
    then = expected["next_night"]["active_signals"]
    assert_alike(installation.rows(TABLES["active_signals"]), then)
    assert installation.runs()[-1]["status"] == "SUCCESS"


def test_reproducing_a_model_ends_with_a_verdict(shown, typed):
    """Its rows are the same; whether all of its bits are hangs on the libraries and the machine."""
    (model,) = shown.expected()["tables"]["model_metadata"]
    version = model["model_version"]
    output = typed("models", "reproduce", version, code=None)
    assert "rows learned from: equal" in output
    is_changed = re.search("^.+ was .+ then and is .+ now$", output, re.MULTILINE)
    equal, unequal = f"{version} was reproduced", "the model trained again differs in"
    assert equal in output or (is_changed and unequal in output), output


def test_maintenance_leaves_what_signals_and_models_were_made_from(installation, typed):
    expected = installation.expected()
    typed("run", "maintenance", "--session", expected["sessions"]["last"])
    explained = expected["explained"]
    now = printed_figures(typed("explain", explained["symbol"], explained["session"]))
    assert now["features"] == explained["features"]
    assert tasks_on(typed("status")) == expected["tasks_on"]
    assert installation.runs()[: len(expected["runs"])] == expected["runs"]


def test_values_are_compared_to_the_bit():
    assert exact(0.1 + 0.2) != exact(0.3)
    assert exact(dt.datetime(2016, 1, 4, 22, tzinfo=NEW_YORK)) == "2016-01-05T03:00:00+00:00"
