import dataclasses
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest

from turbomode_assets.config.file_names import TRAINING_FILE
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.config.upgrades import AddKey
from turbomode_assets.contracts.errors import ContractError, StoreError
from turbomode_assets.ensemble import ensemble_version, load_ensemble, train_ensemble
from turbomode_assets.ensemble.record import read_record
from turbomode_assets.models import Matrix, Panel
from turbomode_assets_tests.config.builders import add_steps
from turbomode_assets_tests.ensemble.small import SMALL, small_tables, small_training_set

TRAINING = small_training_set(*small_tables())


@pytest.fixture
def folder(trained, tmp_path) -> Path:
    trained.save(tmp_path / "models" / "first")
    return tmp_path / "models" / "first"


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_saved_then_loaded_it_is_the_same_ensemble(trained, folder):
    loaded = load_ensemble(folder)
    expected = trained.predict_proba(TRAINING.matrix)
    assert np.array_equal(loaded.predict_proba(TRAINING.matrix), expected)
    assert loaded.columns == trained.columns == TRAINING.matrix.columns
    assert loaded.families == trained.families
    assert loaded.as_of == TRAINING.as_of
    assert loaded.metrics == trained.metrics
    assert loaded.rules.read(TrainingConfig) == SMALL
    assert loaded.look_back_sessions == 2
    assert loaded.out_of_sample.equals(trained.out_of_sample)
    assert list(loaded.models) == list(trained.models)


def test_the_same_rows_and_seed_give_the_same_bytes(folder, tmp_path):
    train_ensemble(TRAINING, SMALL, report=print).save(tmp_path / "again")
    assert _tree(tmp_path / "again") == _tree(folder)


def test_no_file_is_a_pickle(folder):
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} == {
        ".json",
        ".parquet",
        ".safetensors",
        ".txt",
    }


@pytest.mark.parametrize(
    "victim",
    [
        "lightgbm_dart/model.txt",
        "gru/weights.safetensors",
        "mlp/standardiser.json",
        "meta_learner.json",
        "out_of_sample.parquet",
        "manifest.json",
    ],
)
def test_an_altered_or_absent_file_is_refused_by_name(folder, victim):
    content = (folder / victim).read_bytes()
    at = len(content) // 2
    (folder / victim).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(StoreError, match=victim):
        load_ensemble(folder)
    (folder / victim).unlink()
    with pytest.raises(StoreError, match=victim):
        load_ensemble(folder)
    (folder / victim).write_bytes(content)
    load_ensemble(folder)


def test_a_metric_changed_in_the_manifest_is_noticed(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["metrics"]["ensemble"]["pooled"]["accuracy"] = 0.99
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"manifest\.json"):
        load_ensemble(folder)


def test_a_stranger_among_the_files_is_refused(folder):
    (folder / "gru" / "notes.txt").write_text("hello")
    with pytest.raises(StoreError, match=r"gru/notes\.txt"):
        load_ensemble(folder)


def test_saving_the_same_ensemble_twice_leaves_one_folder(trained, folder):
    before = _tree(folder)
    trained.save(folder)
    assert _tree(folder) == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_damaged_folder_is_replaced_and_another_ensemble_is_not(trained, folder):
    (folder / "meta_learner.json").write_text("{}")
    trained.save(folder)
    load_ensemble(folder)
    other = dataclasses.replace(trained, as_of=dt.date(2020, 1, 2))
    with pytest.raises(StoreError, match="already holds another ensemble"):
        other.save(folder)
    assert load_ensemble(folder).as_of == trained.as_of
    assert list(folder.parent.iterdir()) == [folder]


def test_a_save_that_fails_half_way_leaves_nothing(trained, tmp_path):
    class Unsaveable:
        def save(self, directory: Path) -> None:
            (directory / "half.txt").write_text("half")
            raise OSError("disk full")

    broken = dataclasses.replace(trained, models=dict(trained.models) | {"tcn": Unsaveable()})
    with pytest.raises(OSError, match="disk full"):
        broken.save(tmp_path / "broken")
    assert list(tmp_path.iterdir()) == []


def test_rules_unknown_to_this_version_matter_only_where_they_are_read(trained, tmp_path):
    elsewhere = dict(trained.configuration) | {"tomorrow": {"key": 1}}
    dataclasses.replace(trained, configuration=elsewhere).save(tmp_path / "elsewhere")
    loaded = load_ensemble(tmp_path / "elsewhere")
    assert np.array_equal(
        loaded.predict_proba(TRAINING.matrix), trained.predict_proba(TRAINING.matrix)
    )
    with pytest.raises(StoreError, match="rules at tomorrow"):
        loaded.rules.read(TrainingConfig)
    rules = dict(trained.configuration["ensemble_config"])
    rules["models"] = dict(rules["models"]) | {"transformer": {}}
    inside = dict(trained.configuration) | {"ensemble_config": rules}
    dataclasses.replace(trained, configuration=inside).save(tmp_path / "inside")
    with pytest.raises(StoreError, match=r"rules at ensemble_config\.models\.transformer"):
        load_ensemble(tmp_path / "inside")


def test_what_is_stored_of_its_columns_is_read_through_the_forms(trained, tmp_path, monkeypatch):
    features = dict(trained.configuration["feature_engineering"])
    del features["benchmark"]
    older = dict(trained.configuration) | {"feature_engineering": features}
    made = dict(trained.provenance) | {"model_version": "m1", "feature_digest": "abc"}
    dataclasses.replace(trained, configuration=older, provenance=made).save(tmp_path / "older")
    assert read_record(tmp_path / "older").stored_features.benchmark is None
    step = (AddKey("feature_engineering.benchmark", "SPY"),)
    add_steps(monkeypatch, TRAINING_FILE, step)
    assert read_record(tmp_path / "older").stored_features.benchmark == "SPY"


def test_other_columns_are_refused(trained):
    panel = TRAINING.matrix.panel
    turned = Panel(panel.values, panel.keys, panel.columns[::-1], panel.families)
    with pytest.raises(ContractError, match="another order"):
        trained.predict_proba(Matrix(turned, TRAINING.matrix.rows))


def test_the_version_names_the_session_and_changes_with_every_ingredient():
    parts = {"config_digest": "a", "feature_digest": "b", "seed": 7, "data_digest": "c"}
    parts |= {"made_with": {"torch": "2.13.0", "device": "cpu"}}
    version = ensemble_version(dt.date(2017, 6, 30), **parts)
    assert version.startswith("2017-06-30-")
    assert len(version) == len("2017-06-30-3f9c2a1b")
    assert ensemble_version(dt.date(2017, 6, 30), **parts) == version
    others = {
        ensemble_version(dt.date(2017, 6, 30), **(parts | {name: value}))
        for name, value in (
            ("config_digest", "x"),
            ("feature_digest", "x"),
            ("seed", 8),
            ("data_digest", "x"),
            ("made_with", {"torch": "2.13.0", "device": "cuda"}),
        )
    }
    assert len(others | {version}) == 6
