"""The sections of the training configuration: all there, frozen, closed, and explained."""

import json
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from turbomode_assets.config.gate_rules import gate_rules
from turbomode_assets.config.loader import TRAINING_FILE, load_training_config, trial_digest
from turbomode_assets.config.schemas import json_schema
from turbomode_assets.config.section import Section
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets_tests.config.builders import CONFIGS, changed, shipped

NAMED = (
    "rare_event_archive",
    "regime_labeling",
    "balanced_sampling",
    "validation_strategy",
    "regime_weighted_loss",
    "drift_detection",
    "dynamic_archive_updates",
    "error_replay_buffer",
    "sector_symbol_tracking",
    "model_promotion_gate",
    "shap_analysis",
    "training_orchestrator",
    "ensemble_config",
    "feature_engineering",
    "data_sources",
)
BESIDE_THEM = ("triple_barrier", "signals")
SHIPPED = load_training_config(CONFIGS)


def parts(section: Section, path: str) -> Iterator[tuple[str, Section]]:
    """A section and all that lie in it, by their dotted paths."""
    yield path, section
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, Section):
            yield from parts(value, f"{path}.{key}")


PARTS = dict(
    part for name in (*NAMED, *BESIDE_THEM) for part in parts(getattr(SHIPPED, name), name)
)


def refused(folder, change) -> str:
    """What is said against the shipped file with a change."""
    with pytest.raises(ConfigurationError) as caught:
        load_training_config(changed(folder, TRAINING_FILE, change))
    return caught.value.what


def test_the_file_and_its_schema_hold_the_fifteen_named_sections_and_two_beside_them():
    about_the_file = {"version", "changelog"}
    expected = {*NAMED, *BESIDE_THEM} | about_the_file
    assert len(NAMED) == 15
    assert set(shipped(TRAINING_FILE)) == expected | {"$schema"}
    assert set(json.loads(json_schema(TrainingConfig))["properties"]) == expected | {
        "$schema",
        "form",
    }
    assert set(TrainingConfig.model_fields) == expected


@pytest.mark.parametrize("path", PARTS)
def test_a_section_is_frozen(path):
    section = PARTS[path]
    for key in type(section).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, getattr(section, key))


@pytest.mark.parametrize("path", PARTS)
def test_a_section_refuses_strangers(tmp_path, path):
    def add_stranger(content):
        for key in path.split("."):
            content = content[key]
        content["stranger"] = 1

    said = refused(tmp_path, add_stranger)
    assert said == f"{path}.stranger: Extra inputs are not permitted, got 1"


@pytest.mark.parametrize("path", PARTS)
def test_every_key_is_named_where_its_section_is_explained(path):
    """In backticks, by the section's docstring or the one it extends; or a gate rule itself."""
    section = type(PARTS[path])
    explained = " ".join(
        each.__doc__ or "" for each in section.__mro__ if issubclass(each, Section)
    )
    keys = [
        key for key in section.model_fields if not isinstance(getattr(PARTS[path], key), Section)
    ]
    keys = [key for key in keys if key not in gate_rules(section)]
    assert [key for key in keys if f"`{key}`" not in explained] == []


def test_folds_that_need_more_sessions_than_are_learned_from_are_refused(tmp_path):
    def shorten(sessions):
        return lambda content: content["data_sources"].update(training_sessions=sessions)

    folds = SHIPPED.validation_strategy.walk_forward
    needed = folds.minimum_train_sessions + folds.folds * folds.test_sessions
    assert refused(tmp_path, shorten(needed - 1)) == (
        f"(whole file): validation_strategy.walk_forward needs {needed} sessions "
        f"(minimum_train_sessions + folds x test_sessions), more than "
        f"data_sources.training_sessions ({needed - 1})"
    )
    loaded = load_training_config(changed(tmp_path, TRAINING_FILE, shorten(needed)))
    assert loaded.data_sources.training_sessions == needed


def test_holding_out_all_that_the_first_fold_may_learn_from_is_refused(tmp_path):
    def hold_out(sessions):
        return lambda content: content["validation_strategy"].update(
            inner_validation_sessions=sessions
        )

    least = SHIPPED.validation_strategy.walk_forward.minimum_train_sessions
    assert refused(tmp_path, hold_out(least)) == (
        f"(whole file): validation_strategy.inner_validation_sessions ({least}) leaves nothing "
        f"to learn from in walk_forward.minimum_train_sessions ({least})"
    )
    loaded = load_training_config(changed(tmp_path, TRAINING_FILE, hold_out(least - 1)))
    assert loaded.validation_strategy.inner_validation_sessions == least - 1


def test_a_version_without_an_entry_in_the_changelog_is_refused(tmp_path):
    said = refused(tmp_path, lambda content: content["changelog"].pop(content["version"]))
    assert said == f"(whole file): changelog has no entry for version {SHIPPED.version}"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"test_groups": 6}, "test_groups (6) must be below groups (6)"),
        ({"models": ["mlp", "mlp"]}, "models names one twice: ['mlp', 'mlp']"),
    ],
)
def test_combinatorial_groups_and_models_that_make_no_sense_are_refused(tmp_path, keys, said):
    found = refused(
        tmp_path, lambda content: content["validation_strategy"]["combinatorial"].update(keys)
    )
    assert found == f"validation_strategy.combinatorial: {said}"


def test_events_that_would_leave_the_archive_within_their_own_gap_are_refused(tmp_path):
    said = refused(
        tmp_path,
        lambda content: content["dynamic_archive_updates"].update(
            minimum_gap_sessions=20, retention_sessions=20
        ),
    )
    assert said == (
        "dynamic_archive_updates: minimum_gap_sessions (20) must be below retention_sessions (20)"
    )


def test_only_what_shapes_a_fit_or_its_folds_makes_another_trial():
    config = load_training_config(CONFIGS)
    gate = config.model_promotion_gate.model_copy(update={"minimum_sharpe": 2.0})
    same = config.model_copy(update={"model_promotion_gate": gate, "version": "9.9.9"})
    assert trial_digest(same) == trial_digest(config)
    barrier = config.triple_barrier.model_copy(update={"profit_take": 3.0})
    seeded = config.training_orchestrator.model_copy(update={"seed": 8})
    for other in ({"triple_barrier": barrier}, {"training_orchestrator": seeded}):
        assert trial_digest(config.model_copy(update=other)) != trial_digest(config)
