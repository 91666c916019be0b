"""Two tenants on one master: alpha ingests, beta follows, each with an instance of its own."""

import datetime as dt

import dagster as dg
import pytest
from click.testing import CliRunner

from turbomode_assets.cli import main
from turbomode_assets.orchestration.automation.jobs import TASK_JOBS
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.keeper import KeeperResource
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import LakeResource
from turbomode_assets.runs.tasks import work_of_tasks
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import MasterReader
from turbomode_assets_tests.builders import run_assets, small_settings
from turbomode_assets_tests.runs.nights import at

NIGHT = dt.date(2017, 11, 10)
ONE = SessionSpan(NIGHT, NIGHT)
FETCHING = {"backfill", "sweep", "reference"}


@pytest.fixture
def alpha(tmp_path):
    return small_settings(tmp_path, tenant="alpha")


@pytest.fixture
def beta(alpha):
    return SettingsResource(
        data_root=alpha.data_root, config_dir=alpha.config_dir, tenant="beta", ingestion="no"
    )


@pytest.fixture
def instances(tmp_path):
    """One instance for each tenant."""
    with (
        dg.instance_for_test(temp_dir=str(_folder(tmp_path / "alpha"))) as first,
        dg.instance_for_test(temp_dir=str(_folder(tmp_path / "beta"))) as second,
    ):
        yield first, second


def _folder(path):
    path.mkdir()
    return path


def look(settings, instance, task, time):
    """What a task's sensor answers on the night: a skip message, or its one request."""
    definitions = build(settings, lambda: at(f"{NIGHT} {time}"))
    sensor = definitions.get_sensor_def(task)
    context = dg.build_sensor_context(
        instance, definitions=definitions, sensor_name=task, repository_name="__repository__"
    )
    with context:
        answer = sensor.evaluate_tick(context)
    return answer.skip_message or answer.run_requests[0]


def run_night(settings, instance=None, tags=None):
    """Run the task's job for the night, as the daemon does."""
    job = build(settings).resolve_job_def("ingestion")
    return job.execute_in_process(
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        instance=instance,
        partition_key=str(NIGHT),
        tags=tags,
        raise_on_error=False,
    )


def bars_of(settings):
    lake = LakeResource(settings=settings).open()
    return lake.read("bars", caller="test", span=ONE).rows


def failure_of(result):
    events = [event for event in result.all_events if event.is_step_failure]
    return "\n".join(event.step_failure_data.error.to_string() for event in events)


def shared(settings):
    """Versions of every master table, and each shared file and folder with its time and size."""
    master = MasterReader(settings.master_root)
    versions = {table: master.version(table) for table in master.tables if master.exists(table)}
    paths = [p for name in ("master", "operations") for p in (settings.root / name).rglob("*")]
    return versions, {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


def test_a_tenant_that_follows_derives_each_night_once_the_other_has_judged_it(
    alpha, beta, instances, tmp_path
):
    hers, his = instances
    waits = f"{NIGHT} waits: the master has no verdicts of {NIGHT} yet"
    assert look(beta, his, "ingestion", "22:45") == waits
    assert look(beta, his, "scanner", "23:30").startswith(f"{NIGHT} awaits ingestion")
    told = failure_of(run_night(beta))
    assert f"the master has no verdicts of {NIGHT} yet" in told
    assert "let the tenant that ingests run its task ingestion" in told

    assert run_night(alpha, hers).success
    before = shared(beta)
    request = look(beta, his, "ingestion", "23:45")
    assert request.partition_key == str(NIGHT)
    result = run_night(beta, his, request.tags)
    assert result.success, failure_of(result)
    made = {
        event.asset_key.to_user_string()
        for event in result.all_events
        if event.is_step_materialization
    }
    assert made == work_of_tasks(ingests=False)["ingestion"].assets
    assert bars_of(alpha).equals(bars_of(beta))
    assert look(beta, his, "ingestion", "23:59").startswith("nothing is owed")
    assert look(beta, his, "scanner", "23:59").partition_key == str(NIGHT)

    result = KeeperResource(settings=beta).maintain(his, dt.datetime.now(dt.UTC), list().append)
    assert result.notes == ["the master is left to the tenant that ingests"]
    said = turbomode(beta, "backup", str(tmp_path / "backup"))
    assert "master/candles" in said
    assert "operations" not in said
    assert "Backfill queue" not in turbomode(beta, "status")
    told = turbomode(beta, "backfill", "--from", str(NIGHT), "--to", str(NIGHT), code=1)
    assert "tenant beta does not ingest: asking vendors is not for it" in told
    assert shared(beta) == before


@pytest.mark.parametrize(
    "assets",
    [
        ["raw_candles"],
        ["symbol_metadata", "sector_mappings"],
        ["splits", "dividends"],
        ["fundamentals"],
        ["db_metadata"],
    ],
    ids=lambda assets: assets[0],
)
def test_what_asks_vendors_or_writes_the_master_is_refused_to_a_follower(beta, assets):
    told = failure_of(run_assets(beta, assets, ONE, raise_on_error=False))
    assert "tenant beta does not ingest" in told
    assert "environment variable TURBOMODE_INGESTS=no" in told
    assert not (beta.root / "master").exists()
    assert not (beta.root / "operations").exists()


def turbomode(settings, *words, code=0):
    places = {
        "TURBOMODE_DATA_ROOT": settings.data_root,
        "TURBOMODE_CONFIG_DIR": settings.config_dir,
        "TURBOMODE_TENANT": settings.tenant,
        "TURBOMODE_INGESTS": settings.ingestion,
    }
    result = CliRunner(env=places).invoke(main, list(words))
    assert result.exit_code == code, result.output
    return result.output


def test_the_demo_is_refused_to_a_follower(beta):
    assert "tenant beta does not ingest: the demo is not for it" in turbomode(beta, "demo", code=1)


def test_a_follower_is_offered_no_job_and_no_sensor_that_could_fetch_or_write(alpha, beta):
    whole, followed = build(alpha), build(beta)
    followed.get_repository_def().load_all_definitions()
    assert {job.name for job in whole.jobs} - {job.name for job in followed.jobs} == FETCHING
    assert {s.name for s in whole.sensors} - {s.name for s in followed.sensors} == {"completeness"}
    forbidden = {"ingestion", "master_writer"}
    for job in followed.jobs:
        layer = followed.resolve_job_def(job.name).asset_layer
        for key in layer.executable_asset_keys:
            asked = followed.resolve_asset_graph().get(key).assets_def.required_resource_keys
            assert not forbidden & asked, (job.name, key)
    work = work_of_tasks(ingests=False)
    for task, job in TASK_JOBS.items():
        made = followed.resolve_job_def(job.name).asset_layer.executable_asset_keys
        assert {key.to_user_string() for key in made} == work[task].assets, task
