"""The sensors of the tasks, asked as the daemon asks them, over a real instance."""

import datetime as dt
import uuid

import dagster as dg
import pytest
import yaml
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.definitions.selector import InstigatorSelector
from dagster._core.run_coordinator import QueuedRunCoordinator

from turbomode_assets.orchestration.automation.jobs import TASK_JOBS
from turbomode_assets.orchestration.automation.switches import are_on, switch
from turbomode_assets.orchestration.automation.tasks import build_task_sensors
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.run_records import DagsterRunHistory
from turbomode_assets.runs.history import newest_of, runs_of
from turbomode_assets.runs.tasks import jobs_of, work_of_tasks
from turbomode_assets.sessions import offset_session
from turbomode_assets.stores import ModelMemory
from turbomode_assets_tests.builders import REPOSITORY, small_settings, write_configs
from turbomode_assets_tests.market import AS_OF
from turbomode_assets_tests.runs.nights import at, day

RUN, OK, BAD = (getattr(dg.DagsterRunStatus, name) for name in ("STARTED", "SUCCESS", "FAILURE"))
BEFORE = offset_session(AS_OF, -1)
CHECK = dg.AssetCheckKey(dg.AssetKey("audit"), "sessions_are_complete")
ANEW = {"parent_run_id": str(uuid.UUID(int=1)), "root_run_id": str(uuid.UUID(int=1))}


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def small(tmp_path):
    return small_settings(tmp_path)


def sensors(settings, now):
    """The sensors of the tasks at a simulated time."""
    made = build_task_sensors(settings.scheduler(), settings, lambda: at(now))
    return {sensor.name: sensor for sensor in made}


def look(settings, instance, task, now):
    """What a task's sensor answers: a skip message, or its run requests."""
    with dg.build_sensor_context(instance) as context:
        answer = sensors(settings, now)[task](context)
    return answer.skip_message if isinstance(answer, dg.SkipReason) else list(answer.run_requests)


def add(instance, job, session, status, **tags):
    given = {"dagster/partition": str(session)}
    given |= {f"turbomode/{name}": value for name, value in tags.items()}
    return instance.add_run(dg.DagsterRun(job_name=job, status=status, tags=given))


def asked(time):
    return at(time).isoformat()


def materialize(instance, *names):
    for name in names:
        event = dg.AssetMaterialization(name, partition=str(AS_OF))
        instance.report_runless_asset_event(event)


# --- what is asked for ----------------------------------------------------------------------------


def test_a_session_is_asked_for_with_all_that_makes_its_run_known_again(small, instance):
    (request,) = look(small, instance, "ingestion", "2017-11-24 22:45")
    assert request.partition_key == "2017-11-24"
    assert request.run_key == "ingestion:2017-11-24:attempt-1"
    assert request.tags == {
        "turbomode/task": "ingestion",
        "turbomode/session": "2017-11-24",
        "turbomode/requested_at": "2017-11-25T03:45:00+00:00",
        "turbomode/attempt": "1",
        "dagster/max_runtime": "7200",
        "dagster/max_retries": "0",
    }


def test_the_sensors_follow_the_configuration(small):
    made = sensors(small, "2017-11-24 22:45")
    assert list(made) == list(TASK_JOBS)
    assert {s.default_status for s in made.values()} == {dg.DefaultSensorStatus.STOPPED}
    assert {s.minimum_interval_seconds for s in made.values()} == {30}


def test_the_daemon_takes_the_request_as_a_run_of_the_job(small, instance):
    """Evaluated through the definitions, with the partition's own tags."""
    definitions = build(small, lambda: at("2017-11-24 22:45"))
    sensor = definitions.get_sensor_def("ingestion")
    with dg.build_sensor_context(
        instance, repository_def=definitions.get_repository_def()
    ) as context:
        (request,) = sensor.evaluate_tick(context).run_requests
    assert request.tags["dagster/partition"] == "2017-11-24"
    assert request.tags["turbomode/task"] == "ingestion"


# --- what counts as having run --------------------------------------------------------------------


def test_a_night_in_one_run_counts_for_each_of_its_tasks(small, instance):
    add(instance, "nightly", "2017-11-10", OK)
    late = "2017-11-13 12:00"
    for task in ("ingestion", "scanner", "backtest", "drift_monitor"):
        assert "nothing is owed" in look(small, instance, task, late), task
    assert jobs_of("training") == ["train"]


def test_a_range_by_hand_counts_for_all_its_sessions(small, instance):
    tags = {
        "dagster/asset_partition_range_start": "2017-11-01",
        "dagster/asset_partition_range_end": "2017-11-09",
    }
    instance.add_run(dg.DagsterRun(job_name="ingestion", status=OK, tags=tags))
    (request,) = look(small, instance, "ingestion", "2017-11-14 12:00")
    assert request.partition_key == "2017-11-10"


@pytest.mark.parametrize(
    "restricted",
    [
        {"asset_selection": frozenset({dg.AssetKey("raw_candles"), dg.AssetKey("audit")})},
        {"asset_selection": frozenset(), "asset_check_selection": frozenset({CHECK})},
        {"step_keys_to_execute": ["db_metadata"], **ANEW},
    ],
    ids=["some assets", "a check", "a step anew"],
)
def test_a_run_of_a_part_of_the_job_is_not_the_session_but_is_waited_for(
    small, instance, restricted
):
    add(instance, "ingestion", "2017-11-09", OK)
    tags = {"dagster/partition": "2017-11-10"}
    run = dg.DagsterRun(job_name="ingestion", status=RUN, tags=tags, **restricted)
    instance.add_run(run)
    assert "2017-11-10 is running" in look(small, instance, "ingestion", "2017-11-10 22:50")
    instance.delete_run(run.run_id)
    instance.add_run(run.with_status(OK))
    (request,) = look(small, instance, "ingestion", "2017-11-10 22:50")
    assert request.partition_key == "2017-11-10"


@pytest.mark.parametrize(
    "whole",
    [
        {
            "asset_selection": frozenset(
                map(dg.AssetKey, work_of_tasks(ingests=True)["ingestion"].assets)
            )
        },
        {
            "step_keys_to_execute": sorted(work_of_tasks(ingests=True)["ingestion"].assets),
            "asset_selection": frozenset(),
        },
        {"step_keys_to_execute": ["labels"], "tags": {"dagster/is_resume_retry": "true"}, **ANEW},
    ],
    ids=["every asset by name", "every step, in one process", "the rest of a failed run"],
)
def test_a_run_of_all_assets_or_of_what_a_failed_one_left_is_the_session(small, instance, whole):
    tags = {"dagster/partition": "2017-11-10", **whole.get("tags", {})}
    instance.add_run(dg.DagsterRun(job_name="ingestion", status=OK, **(whole | {"tags": tags})))
    assert "nothing is owed" in look(small, instance, "ingestion", "2017-11-10 22:50")


def test_the_assets_of_a_task_are_those_of_its_job(small):
    definitions, work = build(small), work_of_tasks(ingests=True)
    for task, job in TASK_JOBS.items():
        made = definitions.resolve_job_def(job.name).asset_layer.executable_asset_keys
        assert {key.to_user_string() for key in made} == work[task].assets, task


@pytest.mark.parametrize(
    ("first", "last"),
    [("2017-11-10", "2017-11-01"), ("2017-11-31", "2017-11-31"), ("1871-01-02", "2017-11-10")],
    ids=["backwards", "no day", "before the calendar"],
)
def test_a_run_whose_tags_name_no_sessions_keeps_no_task_from_being_judged(
    small, instance, first, last
):
    ends = {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }
    instance.add_run(dg.DagsterRun(job_name="ingestion", status=BAD, tags=ends))
    (request,) = look(small, instance, "ingestion", "2017-11-10 22:50")
    assert request.partition_key == "2017-11-10"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (OK, "nothing is owed"),
        (RUN, "2017-11-10 is running"),
        (dg.DagsterRunStatus.NOT_STARTED, "2017-11-10 is running"),
        (BAD, "has failed and is tried again at 2017-11-10 22:56"),
        (dg.DagsterRunStatus.CANCELED, "has failed and is tried again at 2017-11-10 22:56"),
    ],
)
def test_a_run_is_judged_by_its_status_and_by_when_the_sensor_asked(small, instance, status, said):
    add(instance, "ingestion", "2017-11-10", status, requested_at=asked("2017-11-10 22:46"))
    assert said in look(small, instance, "ingestion", "2017-11-10 22:55")


def test_a_failed_session_is_asked_for_again_under_another_key(small, instance):
    add(instance, "ingestion", "2017-11-10", BAD, requested_at=asked("2017-11-10 22:46"))
    (request,) = look(small, instance, "ingestion", "2017-11-10 22:56")
    assert request.run_key == "ingestion:2017-11-10:attempt-2"


def test_the_scanner_says_what_it_awaits(small, instance):
    add(instance, "scanner", "2017-11-09", OK)
    add(instance, "ingestion", "2017-11-10", RUN)
    said = look(small, instance, "scanner", "2017-11-10 23:30")
    assert said == "2017-11-10 awaits ingestion, which is running"


def test_only_runs_that_can_still_matter_are_read(small, instance):
    for session in ("2017-11-08", "2017-11-09"):
        add(instance, "ingestion", session, OK)
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    work = work_of_tasks(ingests=True)["ingestion"]
    history = DagsterRunHistory(instance, ingests=True)
    known = runs_of(history, work, history.created_since(tomorrow))
    assert [run.sessions.first for run in known.runs] == [day("2017-11-08")]
    assert known.first == day("2017-11-08")
    add(instance, "ingestion", "2017-11-10", RUN)
    assert len(runs_of(history, work, history.created_since(tomorrow)).runs) == 2


# --- training -------------------------------------------------------------------------------------

EVENING = f"{AS_OF} 23:00"


def trained_sessions_ago(settings, sessions, *, cadence):
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    with memory.transaction() as connection:
        earlier = offset_session(AS_OF, -sessions)
        connection.execute("UPDATE model_metadata SET as_of_session = ?", [earlier])
    changes = {"training_orchestrator.cadence_sessions": cadence}
    write_configs(settings.configs, training=changes)


def test_a_training_that_is_due_is_asked_for_with_its_cause(market, instance):
    trained_sessions_ago(market, 5, cadence=5)
    add(instance, "ingestion", AS_OF, OK)
    materialize(instance, "features", "labels")
    (request,) = look(market, instance, "training", EVENING)
    assert request.run_key == f"training:{AS_OF}:attempt-1"
    assert request.tags["dagster/max_runtime"] == str(360 * 60)
    cause = request.run_config["ops"]["ensemble"]["config"]["cause"]
    assert cause.startswith("cadence: 5 sessions since the last training")
    job = build(market).resolve_job_def("train")
    taken = dg.validate_run_config(job, request.run_config)
    assert taken["ops"]["ensemble.load_config_version"]["config"] == {"cause": cause}


def test_a_training_waits_for_its_ingestion_and_for_features_and_labels(market, instance):
    trained_sessions_ago(market, 5, cadence=5)
    awaits = f"{AS_OF} awaits ingestion, which has not succeeded, switched off"
    assert look(market, instance, "training", EVENING) == awaits
    add(instance, "ingestion", AS_OF, OK)
    for missing in ("features", "labels"):
        said = f"{AS_OF} cannot be trained: its {missing} have not been materialized"
        assert look(market, instance, "training", EVENING) == said
        materialize(instance, missing)


def test_where_no_training_is_due_none_is_asked_for_and_the_scanner_goes_ahead(market, instance):
    trained_sessions_ago(market, 5, cadence=6)
    add(instance, "ingestion", AS_OF, OK)
    add(instance, "scanner", BEFORE, OK)
    materialize(instance, "features", "labels")
    switch(instance, market.scheduler(), "training", on=True)
    assert look(market, instance, "training", EVENING) == f"{AS_OF} needs no training"
    (request,) = look(market, instance, "scanner", f"{AS_OF} 23:30")
    assert request.partition_key == str(AS_OF)


def test_a_scanner_waits_for_a_training_that_is_due_and_switched_on(market, instance):
    trained_sessions_ago(market, 5, cadence=5)
    add(instance, "ingestion", AS_OF, OK)
    add(instance, "scanner", BEFORE, OK)
    materialize(instance, "features", "labels")
    late = f"{AS_OF} 23:30"
    assert isinstance(look(market, instance, "scanner", late), list)
    switch(instance, market.scheduler(), "training", on=True)
    said = look(market, instance, "scanner", late)
    assert said == f"{AS_OF} awaits training, which has not succeeded"
    add(instance, "train", AS_OF, RUN)
    assert look(market, instance, "scanner", late) == f"{AS_OF} awaits training, which is running"


# --- switches, errors, and the instance -----------------------------------------------------------


def test_a_switch_lasts_and_is_the_one_that_dagster_looks_up(small, instance):
    config = small.scheduler()
    assert set(are_on(instance, config).values()) == {False}
    switch(instance, config, "scanner", on=True)
    assert [name for name, on in are_on(instance, config).items() if on] == ["scanner"]
    (state,) = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    assert state.selector == InstigatorSelector(
        location_name="turbomode_assets", repository_name="__repository__", name="scanner"
    )
    switch(instance, config, "scanner", on=False)
    assert set(are_on(instance, config).values()) == {False}
    assert len(instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)) == 1


def test_a_failed_run_tells_its_reason_in_a_line(instance):
    @dg.op
    def scan():
        raise dg.Failure("no champion\n  where: memory\n  fix:   train")

    @dg.op
    def divide():
        return 1 / 0

    for op, reason in ((scan, "no champion"), (divide, "ZeroDivisionError: division by zero")):
        job = dg.GraphDefinition("scanner", node_defs=[op]).to_job("scanner")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        history = DagsterRunHistory(instance, ingests=True)
        assert history.failure_of(result.run_id).line == reason
    newest = newest_of(history, work_of_tasks(ingests=True)["scanner"])
    assert newest.run_id == result.run_id


def test_the_instance_runs_each_task_once_at_a_time_whoever_launches_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TURBOMODE_DAGSTER_STORAGE", str(tmp_path))
    content = (REPOSITORY / "dagster.yaml").read_text(encoding="utf-8")
    (tmp_path / "dagster.yaml").write_text(content, encoding="utf-8")
    assert yaml.safe_load(content)["concurrency"]["runs"]["max_concurrent_runs"] == 2
    with dg.DagsterInstance.from_config(str(tmp_path)) as real:
        limits = real.get_concurrency_config().run_queue_config.tag_concurrency_limits
        assert isinstance(real.run_coordinator, QueuedRunCoordinator)
    assert list(limits) == [
        {"key": "turbomode/task", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]
