"""Training as the graph runs it: thirteen steps, a second model against the first, changed rules.

The last sessions of a small market are trained on twice by one set of definitions, which knows of
no change to the configuration file between the two but what the file says.
"""

import base64
import functools
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from turbomode_assets.config.loader import digest_of, load_training_config
from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.orchestration.assets.training.data_steps import _sweep_workbenches
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Artifacts, ModelMemory
from turbomode_assets.stores.artifacts import REPORTS
from turbomode_assets.stores.learning_memory import replay_buffer
from turbomode_assets.stores.model_registry import champion_or_none
from turbomode_assets.stores.promotions import promotions
from turbomode_assets_tests.builders import REPOSITORY, small_settings
from turbomode_assets_tests.market import AS_OF, DERIVED, INGESTION, NIGHT

STEPS = (
    "load_config_version",
    "load_raw_data_from_master",
    "build_datasets",
    "apply_regime_labels",
    "apply_balanced_sampling",
    "train_ensemble",
    "apply_regime_weighted_loss",
    "run_regime_aware_validation",
    "run_sector_symbol_analysis",
    "run_drift_detection",
    "run_shap_analysis",
    "compare_models_promotion_gate",
    "store_model_and_metadata",
)
BETWEEN = {"plan_cross_validation", "cross_validate"}
"""What the graph needs besides: combinatorial paths, one step for each model they are asked of."""
PICTURES = {
    "learning_curves": "run_regime_aware_validation",
    "reliability": "run_regime_aware_validation",
    "regime_confusion": "run_regime_aware_validation",
    "ablation_picture": "run_regime_aware_validation",
    "importance": "run_shap_analysis",
}
LATER = offset_session(AS_OF, 3)
SINCE = SessionSpan(NIGHT, LATER)
SHIPPED = load_training_config(REPOSITORY / "configs").version
CAUSE = "drift: 5 sessions with a drift alarm"
CHANGED = {
    "validation_strategy.walk_forward.test_sessions": 40,
    "model_promotion_gate.improvement_lag_horizons": 1.0,
    "model_promotion_gate.shadow_sessions": 5,
}
"""Enough sessions in common for a lag of one horizon, and a promotion that takes effect later."""


@dataclass
class TrainedNetwork:
    """A market with three sessions more than its champion, and the runs that trained on them."""

    settings: SettingsResource
    instance: dg.DagsterInstance
    runs: list[dg.ExecuteInProcessResult] = field(default_factory=list)

    @property
    def memory(self) -> ModelMemory:
        return ModelMemory(self.settings.memory_path, self.settings.tenant_name)

    @property
    def versions(self) -> list[str]:
        """Model of each run, and before them the champion that they met."""
        return (
            self.memory.query("SELECT model_version FROM training_runs ORDER BY finished_at")
            .to_series()
            .to_list()
        )

    def folder(self, number: int) -> Path:
        return Artifacts(self.settings.artifacts_root).model_folder(self.versions[number])

    def row(self, table: str, number: int) -> dict[str, object]:
        version = self.versions[number]
        rows = self.memory.query(f"FROM {table} WHERE model_version = ?", [version])
        return rows.row(0, named=True)


def execute(job, instance, assets, *, ops=None):
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    return job.execute_in_process(
        run_config=quiet | ({"ops": ops} if ops else {}),
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in assets],
        tags={
            "dagster/asset_partition_range_start": str(SINCE.first),
            "dagster/asset_partition_range_end": str(SINCE.last),
        },
        raise_on_error=False,
    )


def at(content, path):
    """Section and key that a dotted path names."""
    *parents, key = path.split(".")
    return functools.reduce(lambda section, name: section[name], parents, content), key


def change(settings, changes, *, version=None):
    """Write other rules into the configuration file, under a new version or the old one."""
    path = settings.configs / "turbomode_training_config.json"
    content = json.loads(path.read_text())
    for name, value in changes.items():
        section, key = at(content, name)
        section[key] = value
    if version:
        content["version"] = version
        content["changelog"][version] = "Other rules."
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def trained(_trained_market, tmp_path_factory):
    root = tmp_path_factory.mktemp("steps") / "market"
    shutil.copytree(_trained_market, root)
    settings = small_settings(root)
    with dg.DagsterInstance.ephemeral() as instance:
        job = build(settings).resolve_implicit_global_asset_job_def()
        assert execute(job, instance, INGESTION + DERIVED).success
        done = TrainedNetwork(settings, instance)
        caused = {"ensemble": {"config": {"cause": CAUSE}}}
        done.runs.append(execute(job, instance, ["ensemble"], ops=caused))
        change(settings, CHANGED, version="9.0.0")
        done.runs.append(execute(job, instance, ["ensemble"]))
        change(settings, {"model_promotion_gate.minimum_recall": 0.9})
        done.runs.append(execute(job, instance, ["ensemble"]))
        yield done


def outputs(run):
    """Metadata of every step, by its name: a step inside train_ensemble by both names."""
    return {
        event.step_key.removeprefix("ensemble."): event.step_output_data.metadata
        for event in run.all_events
        if event.event_type_value == "STEP_OUTPUT"
    }


def materializations(run):
    return [
        event.step_materialization_data.materialization
        for event in run.all_events
        if event.is_step_materialization
    ]


def decision(trained, number):
    version = trained.versions[number]
    (row,) = promotions(trained.memory).filter(pl.col("model_version") == version).to_dicts()
    return row | {"rules": {rule["name"]: rule for rule in json.loads(row["rules"])}}


def test_the_runs_went_as_far_as_they_should(trained):
    assert [run.success for run in trained.runs] == [True, True, False]
    assert len(set(trained.versions)) == 3


def test_a_run_has_the_thirteen_steps_and_each_says_what_it_did(trained):
    said = outputs(trained.runs[0])
    steps = {name.split("[")[0].split(".")[0] for name in said} - BETWEEN
    assert steps | {"store_model_and_metadata"} == set(STEPS)
    for name, metadata in said.items():
        assert metadata or name.startswith("plan_"), name
    (stored,) = materializations(trained.runs[0])
    assert {"model_version", "decision", "cause", "out_of_sample"} <= set(stored.metadata)


def test_the_eight_base_models_are_steps_of_their_own_and_are_stacked_in_one(trained):
    inside = {
        name.removeprefix("train_ensemble.")
        for name in outputs(trained.runs[0])
        if name.startswith("train_ensemble.")
    }
    assert inside == set(ModelsConfig.model_fields) | {"stack_models"}
    assert len(inside) == 9


def test_the_last_session_of_the_range_alone_is_trained_and_materialized(trained):
    for run in trained.runs[:2]:
        (stored,) = materializations(run)
        assert stored.partition == str(LATER)
    assert trained.instance.get_materialized_partitions(dg.AssetKey("ensemble")) == {str(LATER)}
    assert {trained.row("training_runs", number)["as_of_session"] for number in (1, 2)} == {LATER}


def test_no_workbench_is_left_of_a_training_that_succeeded(trained):
    benches = trained.settings.artifacts_root / "workbenches"
    succeeded = {run.run_id for run in trained.runs[:2]}
    assert succeeded.isdisjoint(path.name for path in benches.iterdir())


@pytest.mark.parametrize(("picture", "step"), PICTURES.items())
def test_a_picture_is_shown_by_its_step_and_kept_with_the_model(trained, picture, step):
    kept = (trained.folder(1) / REPORTS / f"{picture}.png").read_bytes()
    assert kept.startswith(b"\x89PNG")
    shown = outputs(trained.runs[0])[step][picture].value
    assert base64.b64encode(kept).decode() in shown


def test_the_record_says_why_with_what_rules_and_from_which_versions(trained):
    record = trained.row("training_runs", 1)
    assert record["cause"] == CAUSE
    said = outputs(trained.runs[0])
    assert said["load_config_version"]["cause"].value == CAUSE
    versions = said["load_raw_data_from_master"]["store_versions"].value
    assert json.loads(record["store_versions"]) == versions
    earlier = json.loads(trained.row("training_runs", 0)["store_versions"])
    assert versions["features"] > earlier["features"]
    assert json.loads(record["configuration"])["version"] == SHIPPED
    assert trained.row("training_runs", 2)["cause"] == "by hand"


def test_the_second_model_is_held_against_the_champion(trained):
    champion = trained.versions[0]
    for run in trained.runs[:2]:
        said = outputs(run)
        for step in ("run_drift_detection", "run_shap_analysis", "compare_models_promotion_gate"):
            assert said[step]["champion"].value == champion, step
    assert outputs(trained.runs[0])["run_shap_analysis"]["rank_correlation"].value <= 1


def test_too_few_shared_sessions_refuse_the_second_model_by_name(trained):
    refused = decision(trained, 1)
    assert refused["decision"] == "refused"
    assert refused["effective_session"] is None
    assert refused["rules"]["improvement_p_value"]["figure"] is None
    assert "improvement_p_value not measured" in refused["reason"]
    assert (
        champion_or_none(trained.memory, offset_session(LATER, 4)).model_version
        == (trained.versions[0])
    )


def test_a_measured_improvement_promotes_it_after_its_time_in_the_shadow(trained):
    promoted = decision(trained, 2)
    assert promoted["decision"] == "promoted"
    assert 0 <= promoted["rules"]["improvement_p_value"]["figure"] <= 1
    effective = offset_session(LATER, 5)
    assert promoted["effective_session"] == effective
    assert promoted["replaced"] == trained.versions[0]
    assert champion_or_none(trained.memory, effective).model_version == trained.versions[2]


def test_the_log_holds_one_decision_of_each_model_and_the_first_met_nobody(trained):
    log = promotions(trained.memory)
    assert log["model_version"].to_list() == trained.versions
    assert log["decision"].to_list() == ["promoted", "refused", "promoted"]
    assert "improvement_p_value" not in decision(trained, 0)["rules"]


def test_what_the_champion_got_wrong_is_replayed_to_its_successor(trained):
    buffer = replay_buffer(trained.memory)
    assert buffer["model_version"].unique().to_list() == [trained.versions[0]]
    metadata = outputs(trained.runs[0])["apply_balanced_sampling"]
    assert metadata["replayed_errors"].value == buffer.height > 0
    inputs = trained.folder(1) / "inputs" / "error_replay.parquet"
    assert pl.read_parquet(inputs).equals(buffer)


def test_a_changed_file_rules_the_next_run_of_the_same_definitions(trained):
    said = outputs(trained.runs[1])["load_config_version"]
    assert (said["version"].value, said["change"].value) == ("9.0.0", "Other rules.")
    record = json.loads(trained.row("training_runs", 2)["configuration"])
    for name, value in CHANGED.items():
        section, key = at(record, name)
        assert section[key] == value
    assert trained.row("model_metadata", 2)["config_version"] == "9.0.0"
    audited = trained.memory.query(
        "SELECT version, digest FROM config_audit_log ORDER BY loaded_at"
    )
    assert [version for version, _ in audited.rows()] == [SHIPPED, SHIPPED, "9.0.0"]
    assert audited["digest"][2] == trained.row("model_metadata", 2)["config_digest"]


def test_another_configuration_is_another_trial_and_a_refit_is_none(trained):
    trials = [
        outputs(run)["run_regime_aware_validation"]["trials"].value for run in trained.runs[:2]
    ]
    assert trials == [1, 2]


def test_a_file_changed_under_its_old_version_is_refused_and_nothing_is_recorded(trained):
    (failure,) = [event for event in trained.runs[2].all_events if event.is_step_failure]
    assert failure.step_key == "ensemble.load_config_version"
    error = failure.step_failure_data.error.to_string()
    assert "turbomode_training_config.json" in error
    assert "version 9.0.0 was loaded on" in error
    assert "raise `version` and add a `changelog` entry" in error
    changed = digest_of(trained.settings.training())
    audited = trained.memory.query("SELECT digest FROM config_audit_log")
    assert changed not in audited["digest"].to_list()
    assert not materializations(trained.runs[2])


def test_what_ended_runs_left_behind_is_swept_and_a_running_one_keeps_its_bench(tmp_path):
    artifacts = Artifacts(tmp_path)
    with dg.instance_for_test() as instance:
        runs = {
            status: instance.add_run(dg.DagsterRun(job_name="train", status=status)).run_id
            for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED)
        }
        for run_id in (*runs.values(), "of-another-instance"):
            artifacts.workbench(run_id).mkdir(parents=True)
        _sweep_workbenches(instance, artifacts)
    left = {runs[dg.DagsterRunStatus.STARTED], "of-another-instance"}
    assert set(artifacts.workbenches()) == left
