"""Files and stored rules of an older form mean what they meant, whatever came and went since."""

import datetime as dt
import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from pydantic import create_model

from turbomode_assets.cli.config import config
from turbomode_assets.config import loader, stored, upgrades
from turbomode_assets.config.judging import ModelPromotionGateConfig
from turbomode_assets.config.loader import FILES, TRAINING_FILE, digest_of, load_file, trial_digest
from turbomode_assets.config.scheduler import SchedulerConfig, TaskConfig, TasksConfig
from turbomode_assets.config.section import Section
from turbomode_assets.config.stored import StoredRules, rules_to_store
from turbomode_assets.config.training import SignalsConfig, TrainingConfig
from turbomode_assets.config.upgrades import (
    AddKey,
    ChangeSection,
    DropKey,
    RenameKey,
    in_first_form,
    present_form,
    upgraded,
    upgraded_text,
)
from turbomode_assets.config.vendors import VendorsConfig
from turbomode_assets.contracts.errors import ConfigurationError, StoreError
from turbomode_assets.stores.memory import ModelMemory
from turbomode_assets.stores.model_registry import audit_configuration
from turbomode_assets.vendors import universe
from turbomode_assets_tests.builders import REPOSITORY, write_configs
from turbomode_assets_tests.config.builders import add_steps

FIRST_FORMS = Path(__file__).with_name("forms")
WINDOW = "liquidity_window_sessions"
NEW_KEY = "model_promotion_gate.minimum_rank_correlation"


def first_form(name):
    return FIRST_FORMS / f"{name.removesuffix('.json')}-1.json"


def first_content(name=TRAINING_FILE):
    content = json.loads(first_form(name).read_text(encoding="utf-8"))
    content.pop("$schema")
    return content


def present_content():
    content = upgraded(TRAINING_FILE, first_content(), where="here")
    return content | {"form": present_form(TRAINING_FILE)}


def load(folder, content):
    (folder / TRAINING_FILE).write_text(json.dumps(content), encoding="utf-8")
    return load_file(folder, TRAINING_FILE)


PRESENT = TrainingConfig.model_validate(upgraded(TRAINING_FILE, first_content(), where="here"))
"""The rules of the first form as this program reads them."""
PRESENT_DIGESTS = digest_of(PRESENT), digest_of(PRESENT.model_promotion_gate), trial_digest(PRESENT)


class WiderGate(ModelPromotionGateConfig):
    """The gate of a later program: one rule more."""

    minimum_rank_correlation: float


class LaterConfig(TrainingConfig):
    """The training configuration of a later program."""

    model_promotion_gate: WiderGate


@pytest.fixture
def later_program(monkeypatch):
    """A later program: a rule of the gate came and stayed, a key came and went."""
    came = (AddKey(NEW_KEY, -1.0), AddKey("signals.forgotten", 1))
    steps = (came, (DropKey("signals.forgotten", 1),))
    add_steps(monkeypatch, TRAINING_FILE, *steps)
    monkeypatch.setitem(loader.FILES, TRAINING_FILE, LaterConfig)
    monkeypatch.setitem(stored._SECTIONS, WiderGate, "model_promotion_gate")


@pytest.mark.parametrize("name", FILES)
def test_files_of_the_first_form_load(tmp_path, name):
    (tmp_path / name).write_bytes(first_form(name).read_bytes())
    assert load_file(tmp_path, name).version


@pytest.mark.usefixtures("later_program")
def test_a_file_from_before_a_rule_came_loads_and_keeps_its_digests(tmp_path):
    loaded = load(tmp_path, first_content())
    assert loaded.model_promotion_gate.minimum_rank_correlation == -1.0
    digests = digest_of(loaded), digest_of(loaded.model_promotion_gate), trial_digest(loaded)
    assert digests == PRESENT_DIGESTS


@pytest.mark.usefixtures("later_program")
def test_a_rule_that_is_set_is_part_of_the_digest(tmp_path):
    content = present_content()
    before = digest_of(load(tmp_path, content))
    content["model_promotion_gate"]["minimum_rank_correlation"] = 0.1
    assert digest_of(load(tmp_path, content)) != before


@pytest.mark.usefixtures("later_program")
def test_within_a_form_a_key_that_is_missing_or_unknown_is_an_error(tmp_path):
    content = present_content()
    del content["model_promotion_gate"]["minimum_rank_correlation"]
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


def test_one_key_is_read_whatever_became_of_its_neighbours():
    content = first_content()
    gate = content["model_promotion_gate"]
    del gate["minimum_sharpe"]
    gate["of_another_program"] = 1
    rules = StoredRules(content, owner="model m")
    assert rules.read_key(ModelPromotionGateConfig, "ab_share") == gate["ab_share"]
    gate["ab_share"] = 1.5
    with pytest.raises(StoreError, match=r"rules at model_promotion_gate\.ab_share"):
        rules.read_key(ModelPromotionGateConfig, "ab_share")


DIGESTS = {
    "turbomode_training_config.json": "a35ee4a6c2fb7a99",
    "scheduler_config.json": "32b0d00083f1184e",
    "vendors.json": "e39d8f9fc9ecb751",
    "data_quality_config.json": "f2222aace2bb125b",
    "backtest_config.json": "9eed7c686f0add33",
}
"""Of the first forms, as programs before forms took them; model memories hold such digests."""


@pytest.mark.parametrize("name", FILES)
def test_digests_are_what_model_memories_hold(tmp_path, name):
    (tmp_path / name).write_bytes(first_form(name).read_bytes())
    assert digest_of(load_file(tmp_path, name)).startswith(DIGESTS[name])


def test_digests_of_a_trial_and_a_section_are_what_model_memories_hold():
    rules = PRESENT
    assert trial_digest(rules).startswith("4547c59c42475155")
    assert digest_of(rules.triple_barrier).startswith("937732ccd9fa3d73")


def test_what_is_stored_with_a_model_reads_back(monkeypatch):
    rules = PRESENT
    assert StoredRules(rules_to_store(rules), owner="m").read(TrainingConfig) == rules
    add_steps(monkeypatch, TRAINING_FILE, ())
    assert rules_to_store(rules)["form"] == present_form(TRAINING_FILE)
    assert StoredRules(rules_to_store(rules), owner="m").read(TrainingConfig) == rules


def changes_of_every_kind():
    def double(section):
        section["pages"] *= 2

    def halve(section):
        section["pages"] //= 2

    return (
        (AddKey("fetch.retries", 3), AddKey("absent.key", 1)),
        (RenameKey("fetch.size", "pages"), DropKey("old", {"a": 1})),
        (ChangeSection("fetch", double, halve), RenameKey("fetch", "requests")),
    )


def test_every_kind_of_change_leaves_the_rest_as_it_was(monkeypatch):
    monkeypatch.setattr(upgrades, "STEPS", {"vendors.json": changes_of_every_kind()})
    content = {"version": "1.0.0", "fetch": {"size": 5, "zone": "UTC"}, "old": {"a": 1}}
    after = upgraded("vendors.json", content, where="x")
    assert after == {"version": "1.0.0", "requests": {"pages": 10, "zone": "UTC", "retries": 3}}
    assert list(after["requests"]) == ["pages", "zone", "retries"]
    assert content["fetch"] == {"size": 5, "zone": "UTC"}
    half = {"form": 2, "version": "1.0.0", "fetch": {"size": 5}}
    assert upgraded("vendors.json", half, where="x")["requests"] == {"pages": 10}


def test_every_kind_of_change_is_taken_back_in_the_file_and_in_its_sections(monkeypatch):
    monkeypatch.setattr(upgrades, "STEPS", {"vendors.json": changes_of_every_kind()})
    content = {"version": "1.0.0", "fetch": {"size": 5, "zone": "UTC"}, "old": {"a": 1}}
    after = upgraded("vendors.json", content, where="x")
    assert in_first_form("vendors.json", after) == content
    assert in_first_form("vendors.json", after["requests"], ("requests",)) == content["fetch"]
    after["requests"]["retries"] = 4
    assert in_first_form("vendors.json", after)["fetch"] == {"size": 5, "zone": "UTC", "retries": 4}


def test_a_section_that_came_and_then_grew_and_then_went_leaves_no_trace(monkeypatch):
    came, grew = AddKey("extra", {"a": 1}), AddKey("extra.b", 2)
    monkeypatch.setattr(upgrades, "STEPS", {"vendors.json": ((came,), (grew,))})
    after = upgraded("vendors.json", {"version": "1.0.0"}, where="x")
    assert after == {"version": "1.0.0", "extra": {"a": 1, "b": 2}}
    assert in_first_form("vendors.json", after) == {"version": "1.0.0"}
    went = DropKey("extra", {"a": 1, "b": 2})
    monkeypatch.setattr(upgrades, "STEPS", {"vendors.json": ((came,), (grew,), (went,))})
    assert in_first_form("vendors.json", {"version": "1.0.0"}) == {"version": "1.0.0"}


def without(kind, key, **more):
    """A section of a later program: one key went, others may have come."""
    kept = {name: (field.annotation, ...) for name, field in kind.model_fields.items()}
    del kept[key]
    return create_model(kind.__name__, __base__=Section, **kept, **more)


@pytest.mark.parametrize(
    ("signals", "change"),
    [
        (without(SignalsConfig, WINDOW), DropKey(f"signals.{WINDOW}", 20)),
        (
            without(SignalsConfig, WINDOW, volume_sessions=(int, ...)),
            RenameKey(f"signals.{WINDOW}", "volume_sessions"),
        ),
    ],
    ids=["went", "was renamed"],
)
def test_an_unedited_file_is_no_other_content_when_a_key_went_or_was_renamed(
    tmp_path, monkeypatch, signals, change
):
    memory = ModelMemory(tmp_path / "memory.duckdb", "default")
    before = load(tmp_path, first_content())
    audit(memory, before)
    later = create_model("Later", __base__=TrainingConfig, signals=(signals, ...))
    add_steps(monkeypatch, TRAINING_FILE, (change,))
    monkeypatch.setitem(loader.FILES, TRAINING_FILE, later)
    loaded = load(tmp_path, first_content())
    audit(memory, loaded)
    assert digest_of(loaded.signals) == digest_of(before.signals)
    assert digest_of(loaded.triple_barrier) == digest_of(before.triple_barrier)
    assert trial_digest(loaded) == trial_digest(before)
    edited = first_content()
    edited["signals"]["buy_threshold"] = 0.61
    with pytest.raises(ConfigurationError, match="with other content"):
        audit(memory, load(tmp_path, edited))


def audit(memory, rules):
    audit_configuration(
        memory,
        file=TRAINING_FILE,
        version=rules.version,
        digest=digest_of(rules),
        purpose="test",
        loaded_at=dt.datetime(2017, 11, 13, tzinfo=dt.UTC),
    )


class PolygonConfig(Section):
    """A vendor of a later program."""

    calls_at_once: int


class LaterVendors(VendorsConfig):
    """Vendors of a later program: one more."""

    polygon: PolygonConfig


class LaterTasks(TasksConfig):
    """Tasks of a later program: one more."""

    report: TaskConfig


class LaterScheduler(SchedulerConfig):
    """Schedules of a later program."""

    tasks: LaterTasks


def vendor_changes():
    budget = first_content("vendors.json")["budgets"]["yahoo"]
    return AddKey("polygon", {"calls_at_once": 2}), AddKey("budgets.polygon", budget)


def task_changes():
    off = first_content("scheduler_config.json")["tasks"]["backtest"] | {"enabled": False}
    return (AddKey("tasks.report", off),)


@pytest.mark.parametrize(
    ("name", "later", "changes"),
    [
        ("vendors.json", LaterVendors, vendor_changes()),
        ("scheduler_config.json", LaterScheduler, task_changes()),
    ],
    ids=["vendor", "task"],
)
def test_a_file_from_before_a_vendor_or_a_task_came_loads_and_keeps_its_digest(
    tmp_path, monkeypatch, name, later, changes
):
    (tmp_path / name).write_bytes(first_form(name).read_bytes())
    before = digest_of(load_file(tmp_path, name))
    barriers = PRESENT.triple_barrier
    label_rule = digest_of(barriers)
    add_steps(monkeypatch, name, changes)
    monkeypatch.setitem(loader.FILES, name, later)
    assert digest_of(load_file(tmp_path, name)) == before
    assert digest_of(barriers) == label_rule
    if name == "scheduler_config.json":
        assert list(load_file(tmp_path, name).tasks.by_name())[-1] == "report"


def test_a_section_that_lies_in_several_places_has_no_digest_of_its_own(tmp_path):
    name = "scheduler_config.json"
    (tmp_path / name).write_bytes(first_form(name).read_bytes())
    with pytest.raises(ValueError, match="TaskConfig lies in several places"):
        digest_of(load_file(tmp_path, name).tasks.scanner)


@pytest.mark.parametrize(
    ("form", "said"), [(7, "knows forms up to"), ("1", "no number"), (0, "no number")]
)
def test_a_form_of_another_program_is_refused_with_the_remedy(tmp_path, form, said):
    content = first_content("vendors.json") | {"form": form}
    (tmp_path / "vendors.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said) as refused:
        load_file(tmp_path, "vendors.json")
    assert refused.value.fix


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The shipped files, where the commands look for them."""
    monkeypatch.setenv("TURBOMODE_CONFIG_DIR", str(tmp_path / "configs"))
    return write_configs(tmp_path / "configs")


@pytest.mark.usefixtures("later_program")
def test_what_is_rewritten_keeps_letters_lists_rights_and_links(tmp_path, folder):
    real = tmp_path / "real.json"
    text = first_form(TRAINING_FILE).read_text(encoding="utf-8")
    text = text.replace("Triple barrier at two", "Größe: at two")
    real.write_text(text, encoding="utf-8")
    real.chmod(0o640)
    (folder / TRAINING_FILE).unlink()
    (folder / TRAINING_FILE).symlink_to(real)
    CliRunner().invoke(config, ["upgrade", "--write"], catch_exceptions=False)
    assert (folder / TRAINING_FILE).is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    before, after = (
        {line.rstrip(",") for line in each.splitlines()}
        for each in (text, real.read_text(encoding="utf-8"))
    )
    assert before <= after
    came = {f'  "form": {present_form(TRAINING_FILE)}', '    "minimum_rank_correlation": -1.0'}
    assert came <= after - before


def test_a_list_that_stood_on_one_line_stays_on_it(monkeypatch):
    name = "scheduler_config.json"
    add_steps(monkeypatch, name, (AddKey("new", 1),))
    before = first_form(name).read_text(encoding="utf-8")
    after = upgraded_text(name, before, where=name)
    came = set(after.splitlines()) - set(before.splitlines())
    assert came == {f'  "form": {present_form(name)},', "  },", '  "new": 1'} - set(
        before.splitlines()
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[1]", "whole file"),
        ('{"version": "1.0.0", "version": "1.0.1"}', "key given twice: version"),
        (None, "cannot be read"),
    ],
)
@pytest.mark.usefixtures("later_program")
def test_no_file_is_rewritten_while_one_is_not_whole(folder, text, said):
    broken, training = folder / "backtest_config.json", folder / TRAINING_FILE
    before = training.read_bytes()
    broken.unlink()
    if text is not None:
        broken.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said) as refused:
        CliRunner().invoke(config, ["upgrade", "--write"], catch_exceptions=False)
    assert refused.value.fix
    assert training.read_bytes() == before


@pytest.mark.usefixtures("later_program")
def test_the_command_shows_what_changes_and_writes_it_when_asked(folder):
    before = (folder / TRAINING_FILE).read_text(encoding="utf-8")
    shown = CliRunner().invoke(config, ["upgrade"], catch_exceptions=False)
    assert '+    "minimum_rank_correlation": -1.0' in shown.output
    assert (folder / TRAINING_FILE).read_text(encoding="utf-8") == before
    CliRunner().invoke(config, ["upgrade", "--write"], catch_exceptions=False)
    after = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))
    assert after["form"] == present_form(TRAINING_FILE)
    assert after.keys() - {"form"} == json.loads(before).keys() - {"form"}
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
