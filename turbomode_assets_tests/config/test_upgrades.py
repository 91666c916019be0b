"""Files and stored rules of an older form mean what they meant, whatever came and went since."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from turbomode_assets.cli.config import config
from turbomode_assets.config import loader, stored, upgrades
from turbomode_assets.config.judging import ModelPromotionGateConfig
from turbomode_assets.config.loader import FILES, TRAINING_FILE, digest_of, load_file, trial_digest
from turbomode_assets.config.stored import StoredRules, rules_to_store
from turbomode_assets.config.training import SignalsConfig, TrainingConfig
from turbomode_assets.config.upgrades import (
    AddKey,
    ChangeContent,
    DropKey,
    RenameKey,
    present_form,
    upgraded,
)
from turbomode_assets.contracts.errors import ConfigurationError, StoreError
from turbomode_assets.vendors import universe
from turbomode_assets_tests.builders import REPOSITORY, write_configs

FIRST_FORMS = Path(__file__).with_name("forms")
NEW_KEY = "model_promotion_gate.minimum_rank_correlation"


def first_form(name):
    return FIRST_FORMS / f"{name.removesuffix('.json')}-1.json"


def first_content(name=TRAINING_FILE):
    content = json.loads(first_form(name).read_text(encoding="utf-8"))
    content.pop("$schema")
    return content


def load(folder, content):
    (folder / TRAINING_FILE).write_text(json.dumps(content), encoding="utf-8")
    return load_file(folder, TRAINING_FILE)


class WiderGate(ModelPromotionGateConfig):
    """The gate of a later program: one rule more."""

    minimum_rank_correlation: float


class LaterConfig(TrainingConfig):
    """The training configuration of a later program."""

    model_promotion_gate: WiderGate


@pytest.fixture
def later_program(monkeypatch):
    """A program with another form of the training file: a rule of the gate came, a key went."""
    steps = ((AddKey(NEW_KEY, -1.0),), (DropKey("signals.forgotten"),))
    monkeypatch.setattr(upgrades, "STEPS", {**upgrades.STEPS, TRAINING_FILE: steps})
    monkeypatch.setitem(loader.FILES, TRAINING_FILE, LaterConfig)
    monkeypatch.setitem(stored._SECTIONS, WiderGate, "model_promotion_gate")


@pytest.mark.parametrize("name", FILES)
def test_files_of_the_first_form_load(tmp_path, name):
    (tmp_path / name).write_bytes(first_form(name).read_bytes())
    assert load_file(tmp_path, name).version


@pytest.mark.usefixtures("later_program")
def test_a_file_from_before_a_rule_came_loads_and_keeps_its_digests(tmp_path):
    loaded = load(tmp_path, first_content())
    before = TrainingConfig.model_validate(first_content())
    assert loaded.model_promotion_gate.minimum_rank_correlation == -1.0
    assert digest_of(loaded) == digest_of(before)
    assert digest_of(loaded.model_promotion_gate) == digest_of(before.model_promotion_gate)
    assert trial_digest(loaded) == trial_digest(before)


@pytest.mark.usefixtures("later_program")
def test_a_rule_that_is_set_is_part_of_the_digest(tmp_path):
    content = first_content()
    before = digest_of(load(tmp_path, content))
    content["model_promotion_gate"]["minimum_rank_correlation"] = 0.1
    assert digest_of(load(tmp_path, content | {"form": 3})) != before


@pytest.mark.usefixtures("later_program")
def test_within_a_form_a_key_that_is_missing_or_unknown_is_an_error(tmp_path):
    content = first_content() | {"form": 3}
    with pytest.raises(ConfigurationError, match=f"{NEW_KEY}: Field required"):
        load(tmp_path, content)
    content["model_promotion_gate"] |= {"minimum_rank_correlation": 0.0}
    content["signals"]["forgotten"] = 1
    with pytest.raises(ConfigurationError, match=r"signals\.forgotten: Extra inputs"):
        load(tmp_path, content)


@pytest.mark.usefixtures("later_program")
def test_a_key_that_went_is_dropped_from_an_older_file(tmp_path):
    content = first_content()
    content["signals"]["forgotten"] = 1
    assert load(tmp_path, content).signals


@pytest.mark.usefixtures("later_program")
def test_rules_that_a_model_stored_are_read_section_by_section():
    content = first_content()
    rules = StoredRules(content, owner="model m")
    assert rules.read(SignalsConfig).buy_threshold == content["signals"]["buy_threshold"]
    assert rules.read(WiderGate).minimum_rank_correlation == -1.0
    content["validation_strategy"] = "of another program altogether"
    assert StoredRules(content, owner="model m").read(SignalsConfig)
    with pytest.raises(StoreError, match="breaks this version's rules at validation_strategy"):
        StoredRules(content, owner="model m").read(TrainingConfig)


def test_what_is_stored_with_a_model_reads_back(monkeypatch):
    rules = TrainingConfig.model_validate(first_content())
    assert "form" not in rules_to_store(rules)
    assert StoredRules(rules_to_store(rules), owner="m").read(TrainingConfig) == rules
    monkeypatch.setattr(upgrades, "STEPS", {**upgrades.STEPS, TRAINING_FILE: ((),)})
    assert rules_to_store(rules)["form"] == 2
    assert StoredRules(rules_to_store(rules), owner="m").read(TrainingConfig) == rules


def test_every_kind_of_change_leaves_the_rest_as_it_was(monkeypatch):
    def double(content):
        content["fetch"]["pages"] *= 2

    steps = (
        (AddKey("fetch.retries", 3), AddKey("absent.key", 1)),
        (RenameKey("fetch.size", "pages"), DropKey("old"), ChangeContent(double)),
    )
    monkeypatch.setattr(upgrades, "STEPS", {"vendors.json": steps})
    content = {"version": "1.0.0", "fetch": {"size": 5, "zone": "UTC"}, "old": {"a": 1}}
    after = upgraded("vendors.json", content, where="x")
    assert after == {"version": "1.0.0", "fetch": {"pages": 10, "zone": "UTC", "retries": 3}}
    assert list(after["fetch"]) == ["pages", "zone", "retries"]
    assert content["fetch"] == {"size": 5, "zone": "UTC"}
    half = {"form": 2, "version": "1.0.0", "fetch": {"size": 5}}
    assert upgraded("vendors.json", half, where="x")["fetch"] == {"pages": 10}


@pytest.mark.parametrize(
    ("form", "said"), [(7, "knows forms up to"), ("1", "no number"), (0, "no number")]
)
def test_a_form_of_another_program_is_refused_with_the_remedy(tmp_path, form, said):
    content = first_content("vendors.json") | {"form": form}
    (tmp_path / "vendors.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said) as refused:
        load_file(tmp_path, "vendors.json")
    assert refused.value.fix


@pytest.mark.usefixtures("later_program")
def test_the_command_shows_what_changes_and_writes_it_when_asked(tmp_path, monkeypatch):
    folder = write_configs(tmp_path / "configs")
    monkeypatch.setenv("TURBOMODE_CONFIG_DIR", str(folder))
    before = (folder / TRAINING_FILE).read_text(encoding="utf-8")
    shown = CliRunner().invoke(config, ["upgrade"], catch_exceptions=False)
    assert '+    "minimum_rank_correlation": -1.0' in shown.output
    assert (folder / TRAINING_FILE).read_text(encoding="utf-8") == before
    CliRunner().invoke(config, ["upgrade", "--write"], catch_exceptions=False)
    after = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))
    assert after["form"] == present_form(TRAINING_FILE) == 3
    assert [key for key in after if key != "form"] == list(json.loads(before))
    again = CliRunner().invoke(config, ["upgrade"], catch_exceptions=False)
    assert again.output == "every file has the present form\n"


def test_a_universe_from_before_a_column_came_reads(tmp_path, monkeypatch):
    shipped = pl.read_csv(REPOSITORY / "configs" / "universe.csv", infer_schema=False)
    path = tmp_path / "universe.csv"
    shipped.drop("primary_exchange").write_csv(path)
    with pytest.raises(ConfigurationError, match="the columns are"):
        universe.read_universe(path)
    monkeypatch.setitem(universe.LATER_COLUMNS, "primary_exchange", "SMART")
    read = universe.read_universe(path)
    assert read.columns == list(universe.UNIVERSE_SCHEMA)
    assert read["primary_exchange"].unique().to_list() == ["SMART"]
