"""The whole asset graph, held against a file that a person has read.

After an intended change run `python -m turbomode_assets_tests.test_asset_graph` and review the
difference in version control.
"""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from turbomode_assets.config.scheduler import TasksConfig
from turbomode_assets.orchestration.automation.jobs import TASK_JOBS
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.partitions import SESSIONS
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.runs.tasks import NIGHTLY_TASKS

GOLDEN = Path(__file__).parent / "golden" / "asset_graph.txt"
REGENERATE = "python -m turbomode_assets_tests.test_asset_graph"
JOBS = (
    "ingestion",
    "train",
    "scanner",
    "backtest_generator",
    "drift_monitor",
    "weekly_maintenance",
    "nightly",
    "page",
    "backfill",
    "sweep",
    "rederive",
    "readjust",
    "reference",
)


@pytest.fixture(scope="module")
def definitions():
    return build(SettingsResource())


def assets_of(definitions):
    graph = definitions.resolve_asset_graph()
    return {key.to_user_string(): graph.get(key) for key in graph.materializable_asset_keys}


def selected_by(definitions, job):
    keys = definitions.resolve_job_def(job).asset_layer.selected_asset_keys
    return sorted(key.to_user_string() for key in keys)


def parents_of(node):
    """Names of the parents, each with the sessions that are read before the partition's own."""
    described = []
    for key in sorted(node.parent_keys, key=lambda key: key.to_user_string()):
        mapping = node.partition_mappings.get(key)
        name = key.to_user_string()
        described.append(name if mapping is None else f"{name}[{mapping.start_offset}]")
    return described


def describe(name, node):
    definition = node.assets_def
    facts = {
        "group": node.group_name,
        "parents": ", ".join(parents_of(node)) or "none",
        "partitions": {SESSIONS: "sessions", None: "none"}.get(node.partitions_def, "other"),
        "backfill": node.backfill_policy.policy_type.name.lower(),
        "io manager": definition.get_io_manager_key_for_asset_key(node.key),
        "resources": ", ".join(sorted(definition.required_resource_keys)),
        "kinds": ", ".join(sorted(node.kinds)),
        "owners": ", ".join(node.owners),
        "code version": node.code_version,
        "table": node.metadata.get("turbomode/table", "none"),
    }
    if isinstance(definition.node_def, dg.GraphDefinition):
        facts["steps"] = ", ".join(sorted(step.name for step in definition.node_def.nodes))
    return "\n".join([name, *(f"  {title + ':':<14}{fact}" for title, fact in facts.items())])


def describe_job(definitions, job):
    tags = definitions.resolve_job_def(job).tags
    own = "".join(f" [{key}={tags[key]}]" for key in sorted(tags) if key.startswith("turbomode/"))
    return f"job {job}{own}: {', '.join(selected_by(definitions, job))}"


def describe_check(check):
    blocking = " (blocking)" if check.blocking else ""
    return f"check {check.asset_key.to_user_string()}:{check.name}{blocking}"


def describe_sensor(sensor):
    jobs = ", ".join(target.job_name for target in sensor.targets) or "none"
    rhythm = f"every {sensor.minimum_interval_seconds} s, {sensor.default_status.value.lower()}"
    return f"sensor {sensor.name} ({sensor.sensor_type.value.lower()}, {rhythm}): {jobs}"


def describe_graph(definitions):
    """Text of the graph: one paragraph for each asset, one line for all else."""
    assets = [describe(name, node) for name, node in sorted(assets_of(definitions).items())]
    checks = [spec for each in definitions.asset_checks for spec in each.check_specs]
    others = [
        [describe_job(definitions, job) for job in JOBS],
        [describe_check(check) for check in sorted(checks, key=lambda check: check.name)],
        [describe_sensor(each) for each in sorted(definitions.sensors, key=lambda s: s.name)],
    ]
    return "\n\n".join([*assets, *("\n".join(lines) for lines in others)]) + "\n"


def test_the_graph_is_the_one_that_was_reviewed(definitions):
    described = describe_graph(definitions)
    assert described.splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines(), (
        f"the asset graph has changed; if that is intended, run `{REGENERATE}` and review the diff"
    )


def test_every_asset_says_what_it_is_and_whose(definitions):
    for name, node in assets_of(definitions).items():
        assert node.description, name
        assert node.owners, name
        assert node.kinds, name
        assert node.code_version, name
        assert node.group_name != "default", name


def test_every_asset_of_sessions_runs_a_range_at_once(definitions):
    partitioned = {n: node for n, node in assets_of(definitions).items() if node.is_partitioned}
    snapshots = {"symbol_metadata", "sector_mappings", "splits", "dividends"}
    snapshots |= {"fundamentals", "db_metadata", "completeness"}
    assert set(assets_of(definitions)) - set(partitioned) == snapshots
    for name, node in partitioned.items():
        assert node.partitions_def == SESSIONS, name
        assert node.backfill_policy == dg.BackfillPolicy.single_run(), name


def test_no_asset_reads_a_session_after_its_own(definitions):
    for name, node in assets_of(definitions).items():
        for parent, mapping in node.partition_mappings.items():
            assert isinstance(mapping, dg.TimeWindowPartitionMapping), (name, parent)
            assert mapping.start_offset <= 0, (name, parent)
            assert mapping.end_offset == 0, (name, parent)


def test_no_job_but_train_trains(definitions):
    assert "ensemble" not in selected_by(definitions, "ingestion")
    assert "ensemble" not in selected_by(definitions, "nightly")
    assert selected_by(definitions, "train") == ["ensemble"]
    assert "signals" in selected_by(definitions, "nightly")


def test_the_whole_repository_loads_so_no_job_is_named_as_an_asset(definitions):
    definitions.get_repository_def().load_all_definitions()
    assert {job.name for job in definitions.jobs} == set(JOBS)


def test_every_task_has_a_job_and_a_sensor_of_its_name(definitions):
    assert list(TASK_JOBS) == list(TasksConfig.model_fields)
    launch = {s.name: {t.job_name for t in s.targets} for s in definitions.sensors if s.targets}
    for task, job in TASK_JOBS.items():
        assert launch[task] == {job.name}
        assert definitions.resolve_job_def(job.name).tags["turbomode/task"] == task


def test_only_the_task_ingestion_talks_to_vendors(definitions):
    keys = {task: set(selected_by(definitions, job.name)) for task, job in TASK_JOBS.items()}
    asking = {
        name
        for name, node in assets_of(definitions).items()
        if "ingestion" in node.assets_def.required_resource_keys
    }
    assert {"raw_candles", "splits", "dividends", "fundamentals"} <= asking
    assert [task for task, names in keys.items() if names & asking] == ["ingestion"]


def test_a_night_in_one_run_does_what_its_tasks_do(definitions):
    tonight = set(selected_by(definitions, "nightly"))
    done = [set(selected_by(definitions, TASK_JOBS[task].name)) for task in NIGHTLY_TASKS]
    assert set().union(*done) == tonight
    assert [task for task in TASK_JOBS if task not in NIGHTLY_TASKS] == ["training", "maintenance"]


def test_no_sensor_but_training_trains(definitions):
    launch = {s.name: {t.job_name for t in s.targets} for s in definitions.sensors if s.targets}
    assert launch["training"] == {"train"}
    assert [name for name, jobs in launch.items() if "train" in jobs] == ["training"]
    assert not definitions.schedules


@pytest.mark.parametrize("selection", ["signals", "group:features", "group:signals"])
def test_asking_for_signals_never_trains(definitions, selection):
    graph = definitions.resolve_asset_graph()
    assert dg.AssetKey("ensemble") not in dg.AssetSelection.from_string(selection).resolve(graph)


LAZY = """
import sys
import turbomode_assets
assert "defs" in dir(turbomode_assets)
heavy = {"dagster", "torch", "polars", "deltalake", "duckdb", "pandas"}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""


def test_importing_the_package_loads_nothing_heavy():
    loaded = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LAZY], capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr


if __name__ == "__main__":
    GOLDEN.write_text(describe_graph(build(SettingsResource())), encoding="utf-8")
