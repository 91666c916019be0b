import dagster as dg
import pytest

from turbomode_assets.automation.schedules import nightly_schedule, training_schedule
from turbomode_assets.config.scheduler import TaskConfig
from turbomode_assets.definitions import build
from turbomode_assets.sessions import offset_session
from turbomode_assets.stores import ModelMemory
from turbomode_assets_tests.automation.test_partitions import at
from turbomode_assets_tests.builders import write_configs
from turbomode_assets_tests.conftest import AS_OF

NIGHTLY = TaskConfig(hour=22, minute=45, enabled=True)
TRAINING = TaskConfig(hour=23, minute=45, enabled=True)


@pytest.mark.parametrize(
    ("now", "session"),
    [
        ("2026-11-20 22:45", "2026-11-20"),
        ("2026-11-27 22:45", "2026-11-27"),
        ("2026-11-21 22:45", "2026-11-20"),
        ("2026-11-26 22:45", "2026-11-25"),
        ("2026-11-21 00:30", "2026-11-20"),
        ("2026-11-23 12:00", "2026-11-20"),
    ],
    ids=["friday", "half day", "saturday", "thanksgiving", "after midnight", "session still open"],
)
def test_a_tick_asks_for_the_session_that_closed_last(now, session):
    with (
        dg.instance_for_test() as instance,
        dg.build_schedule_context(instance, scheduled_execution_time=at(now)) as context,
    ):
        request = nightly_schedule(NIGHTLY)(context)
    assert request.partition_key == session
    assert request.run_key == f"nightly:{session}:attempt-1"


def test_the_schedule_follows_its_configuration():
    schedule = nightly_schedule(NIGHTLY)
    assert schedule.cron_schedule == "45 22 * * *"
    assert schedule.execution_timezone == "America/New_York"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    off = nightly_schedule(NIGHTLY.model_copy(update={"enabled": False}))
    assert off.default_status == dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ([dg.DagsterRunStatus.SUCCESS], "2026-11-20 has run, or is running"),
        ([dg.DagsterRunStatus.STARTED], "2026-11-20 has run, or is running"),
        ([dg.DagsterRunStatus.FAILURE], "nightly:2026-11-20:attempt-2"),
        ([dg.DagsterRunStatus.FAILURE] * 2, "nightly:2026-11-20:attempt-3"),
        ([dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS], "has run"),
    ],
)
def test_a_night_that_failed_is_tried_again_and_one_that_ran_is_not(statuses, outcome):
    with dg.instance_for_test() as instance:
        for status in statuses:
            run = dg.DagsterRun(
                job_name="nightly", status=status, tags={"dagster/partition": "2026-11-20"}
            )
            instance.add_run(run)
        saturday = at("2026-11-21 22:45")
        with dg.build_schedule_context(instance, scheduled_execution_time=saturday) as context:
            answer = nightly_schedule(NIGHTLY)(context)
    said = answer.run_key if isinstance(answer, dg.RunRequest) else answer.skip_message
    assert outcome in said


@pytest.fixture
def ready():
    """An instance that has seen features and labels of AS_OF materialized."""
    with dg.instance_for_test() as instance:
        for name in ("features", "labels"):
            materialize(instance, name)
        yield instance


def materialize(instance, name):
    event = dg.AssetMaterialization(name, partition=AS_OF.isoformat())
    instance.report_runless_asset_event(event)


def trained_sessions_ago(settings, sessions, *, cadence):
    """Let the model have been trained so many sessions before AS_OF, under that cadence."""
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    with memory.transaction() as connection:
        earlier = offset_session(AS_OF, -sessions)
        connection.execute("UPDATE model_metadata SET as_of_session = ?", [earlier])
    changes = {"training_orchestrator.cadence_sessions": cadence}
    write_configs(settings.configs, training=changes)


def evening(settings, instance):
    """What the training schedule answers in the evening of AS_OF."""
    now = at(f"{AS_OF} 23:45")
    with dg.build_schedule_context(instance, scheduled_execution_time=now) as context:
        return training_schedule(TRAINING, settings)(context)


def test_the_training_schedule_follows_its_configuration(market):
    schedule = training_schedule(TRAINING, market)
    assert schedule.cron_schedule == "45 23 * * *"
    assert schedule.execution_timezone == "America/New_York"
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    off = training_schedule(TRAINING.model_copy(update={"enabled": False}), market)
    assert off.default_status == dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(("ago", "cadence"), [(0, 1), (5, 6)])
def test_where_no_training_is_due_none_is_asked_for_and_the_tick_says_so(
    market, ready, ago, cadence
):
    trained_sessions_ago(market, ago, cadence=cadence)
    answer = evening(market, ready)
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == f"no training is due on {AS_OF}"
    assert ready.get_runs_count() == 0


@pytest.mark.parametrize("missing", ["features", "labels"])
def test_a_training_that_is_due_waits_for_features_and_labels(market, missing):
    trained_sessions_ago(market, 5, cadence=5)
    with dg.instance_for_test() as instance:
        materialize(instance, "labels" if missing == "features" else "features")
        answer = evening(market, instance)
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == f"{missing} of {AS_OF} have not been materialized"


def test_a_training_that_is_due_is_asked_for_with_its_cause(market, ready):
    trained_sessions_ago(market, 5, cadence=5)
    request = evening(market, ready)
    assert request.partition_key == str(AS_OF)
    assert request.run_key == f"training:{AS_OF}:attempt-1"
    cause = request.run_config["ops"]["ensemble"]["config"]["cause"]
    trained = offset_session(AS_OF, -5)
    assert cause.startswith(f"cadence: 5 sessions since the last training as of {trained};")
    job = build(market).resolve_job_def("train")
    taken = dg.validate_run_config(job, request.run_config)
    assert taken["ops"]["ensemble.load_config_version"]["config"] == {"cause": cause}
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(job, {"ops": {"ensemble": {"config": {"why": cause}}}})


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ([dg.DagsterRunStatus.FAILURE], f"training:{AS_OF}:attempt-2"),
        ([dg.DagsterRunStatus.CANCELED] * 2, f"training:{AS_OF}:attempt-3"),
        ([dg.DagsterRunStatus.STARTED], f"trained as of {AS_OF}, or about to be"),
        ([dg.DagsterRunStatus.STARTING], f"trained as of {AS_OF}, or about to be"),
        ([dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS], f"trained as of {AS_OF}"),
    ],
)
def test_a_training_that_failed_is_tried_again_and_one_that_runs_is_not(
    market, ready, statuses, outcome
):
    trained_sessions_ago(market, 5, cadence=5)
    tags = {"dagster/partition": str(AS_OF)}
    for status in statuses:
        ready.add_run(dg.DagsterRun(job_name="train", status=status, tags=tags))
    answer = evening(market, ready)
    said = answer.run_key if isinstance(answer, dg.RunRequest) else answer.skip_message
    assert outcome in said
