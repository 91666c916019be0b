import json

import pytest
from pydantic import ValidationError

from turbomode_assets.config.loader import (
    BACKTEST_FILE,
    DATA_QUALITY_FILE,
    FILES,
    SCHEDULER_FILE,
    TRAINING_FILE,
    VENDORS_FILE,
    digest_of,
    load_backtest_file,
    load_data_quality_config,
    load_file,
    load_scheduler_config,
    load_training_config,
    load_vendors_config,
)
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets_tests.config.builders import CONFIGS, changed, shipped

LOADERS = {
    TRAINING_FILE: load_training_config,
    SCHEDULER_FILE: load_scheduler_config,
    VENDORS_FILE: load_vendors_config,
    DATA_QUALITY_FILE: load_data_quality_config,
    BACKTEST_FILE: load_backtest_file,
}


def refused(folder, name=TRAINING_FILE):
    """The error of loading a file; it always names the file and a remedy."""
    with pytest.raises(ConfigurationError) as caught:
        load_file(folder, name)
    assert caught.value.where == str(folder / name)
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("name", FILES)
def test_the_shipped_files_load(name):
    section = LOADERS[name](CONFIGS)
    assert type(section) is FILES[name]
    assert section == load_file(CONFIGS, name)


@pytest.mark.parametrize("name", FILES)
def test_every_value_of_a_shipped_file_reaches_its_section(name):
    content = {key: value for key, value in shipped(name).items() if key != "$schema"}
    assert load_file(CONFIGS, name).model_dump(mode="json") == content


@pytest.mark.parametrize("name", FILES)
def test_no_value_lives_in_the_code(name):
    def defaults(model, path):
        for key, field in model.model_fields.items():
            if not field.is_required():
                yield f"{path}.{key}"
            if hasattr(field.annotation, "model_fields"):
                yield from defaults(field.annotation, f"{path}.{key}")

    assert list(defaults(FILES[name], name)) == []


def test_a_section_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        load_training_config(CONFIGS).drift_detection.bins = 7


def test_an_unknown_key_is_named_with_its_value(tmp_path):
    error = refused(changed(tmp_path, TRAINING_FILE, lambda c: c["drift_detection"].update(bin=9)))
    assert error.what == "drift_detection.bin: Extra inputs are not permitted, got 9"
    assert error.fix == "remove the unknown key or correct its spelling"


def test_a_missing_key_is_named(tmp_path):
    error = refused(changed(tmp_path, TRAINING_FILE, lambda c: c["signals"].pop("buy_threshold")))
    assert error.what == "signals.buy_threshold: Field required"
    assert error.fix == "add the missing key"


def test_a_misspelt_key_is_reported_as_missing_and_unknown_at_once(tmp_path):
    def misspell(content):
        content["drift_detection"]["binz"] = content["drift_detection"].pop("bins")

    said = refused(changed(tmp_path, TRAINING_FILE, misspell)).what
    assert "drift_detection.bins: Field required" in said
    assert "drift_detection.binz: Extra inputs are not permitted" in said


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        (
            "drift_detection",
            "bins",
            "10",
            "drift_detection.bins: Input should be a valid integer, got '10'",
        ),
        (
            "drift_detection",
            "bins",
            10.5,
            "drift_detection.bins: Input should be a valid integer, got 10.5",
        ),
        (
            "drift_detection",
            "bins",
            True,
            "drift_detection.bins: Input should be a valid integer, got True",
        ),
        (
            "drift_detection",
            "bins",
            None,
            "drift_detection.bins: Input should be a valid integer, got None",
        ),
        (
            "drift_detection",
            "bins",
            3,
            "drift_detection.bins: Input should be greater than or equal to 4, got 3",
        ),
        (
            "drift_detection",
            "bins",
            51,
            "drift_detection.bins: Input should be less than or equal to 50, got 51",
        ),
        (
            "drift_detection",
            "warn_psi",
            "0.1",
            "drift_detection.warn_psi: Input should be a valid number, got '0.1'",
        ),
        ("signals", "buy_threshold", 1.2, "signals.buy_threshold: Input should be less than or"),
        ("triple_barrier", "entry", "open", "triple_barrier.entry: Input should be 'next_open' or"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_as_received(tmp_path, section, key, value, said):
    error = refused(changed(tmp_path, TRAINING_FILE, lambda c: c[section].update({key: value})))
    assert error.what.startswith(said)
    assert error.what.endswith(f"got {value!r}")
    assert "JSON Schema" in error.fix


def test_a_whole_number_may_stand_for_a_decimal_one(tmp_path):
    folder = changed(tmp_path, TRAINING_FILE, lambda c: c["triple_barrier"].update(profit_take=2))
    assert load_training_config(folder) == load_training_config(CONFIGS)


def test_text_is_no_truth_value(tmp_path):
    folder = changed(
        tmp_path, SCHEDULER_FILE, lambda c: c["sensors"]["freshness"].update(enabled="yes")
    )
    assert "sensors.freshness.enabled: Input should be a valid boolean, got 'yes'" in (
        refused(folder, SCHEDULER_FILE).what
    )


def test_a_date_that_is_none_is_refused(tmp_path):
    folder = changed(
        tmp_path, VENDORS_FILE, lambda c: c["simulated"].update(first_session="2024-02-30")
    )
    said = refused(folder, VENDORS_FILE).what
    assert said.startswith("simulated.first_session: Input should be a valid date")
    assert said.endswith("got '2024-02-30'")


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            TRAINING_FILE,
            lambda c: c["drift_detection"].update(warn_psi=0.3),
            "drift_detection: alert_psi (0.25) must be above warn_psi (0.3)",
        ),
        (
            TRAINING_FILE,
            lambda c: c.update(version="9.9.9"),
            "(whole file): changelog has no entry for version 9.9.9",
        ),
        (
            TRAINING_FILE,
            lambda c: c["validation_strategy"]["walk_forward"].update(test_sessions=2000),
            "(whole file): validation_strategy.walk_forward needs ",
        ),
        (
            VENDORS_FILE,
            lambda c: c["archive"].update(adjustment="split", adjusted_as_of=None),
            "archive: adjusted_as_of is the date up to which prices are adjusted",
        ),
        (
            VENDORS_FILE,
            lambda c: c.update(precedence=["simulated", "archive"]),
            "(whole file): the simulated market never stands in for a real vendor",
        ),
        (
            VENDORS_FILE,
            lambda c: c.update(precedence=["archive", "archive"]),
            "(whole file): precedence names a vendor twice",
        ),
    ],
)
def test_a_rule_across_keys_says_which_values_break_it(tmp_path, name, change, said):
    error = refused(changed(tmp_path, name, change), name)
    assert error.what.startswith(said)
    assert error.fix == "change the values so that the rule holds"


def test_five_complaints_are_listed_and_more_are_counted(tmp_path):
    said = refused(changed(tmp_path, TRAINING_FILE, lambda c: c["drift_detection"].clear())).what
    assert said.count("Field required") == 5

    def empty(content):
        content["drift_detection"].clear()
        content["signals"].clear()

    said = refused(changed(tmp_path, TRAINING_FILE, empty)).what
    assert said.count("Field required") == 5
    assert said.endswith("... (11 in all)")


def test_a_key_given_twice_is_refused(tmp_path):
    text = (CONFIGS / TRAINING_FILE).read_text(encoding="utf-8")
    (tmp_path / TRAINING_FILE).write_text(text.replace('"seed"', '"seed": 1, "seed"'))
    assert refused(tmp_path).what == "not valid JSON: key given twice: seed"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_json_does_not_know_as_a_number_is_refused(tmp_path, constant):
    text = (CONFIGS / TRAINING_FILE).read_text(encoding="utf-8")
    (tmp_path / TRAINING_FILE).write_text(text.replace('"seed": 7', f'"seed": {constant}'))
    assert f"{constant} is not a number" in refused(tmp_path).what


def test_broken_json_says_where_it_breaks(tmp_path):
    (tmp_path / TRAINING_FILE).write_text('{\n "version": "1.0.0",\n}')
    said = refused(tmp_path).what
    assert said.startswith("not valid JSON: ")
    assert "line" in said


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"'])
def test_a_file_that_holds_no_object_is_refused(tmp_path, content):
    (tmp_path / TRAINING_FILE).write_text(content)
    assert refused(tmp_path).what.startswith("(whole file): ")


def test_an_absent_file_is_named_with_the_way_to_set_its_folder(tmp_path):
    error = refused(tmp_path)
    assert error.what.startswith("configuration file cannot be read: ")
    assert "TURBOMODE_CONFIG_DIR" in error.fix


def test_a_folder_in_place_of_the_file_cannot_be_read(tmp_path):
    (tmp_path / TRAINING_FILE).mkdir()
    assert "cannot be read" in refused(tmp_path).what


def test_a_file_in_another_encoding_cannot_be_read(tmp_path):
    (tmp_path / TRAINING_FILE).write_bytes('{"version": "é"}'.encode("latin-1"))
    assert "cannot be read" in refused(tmp_path).what


def test_the_digest_is_of_the_rules_and_not_of_the_text(tmp_path):
    def reordered(value):
        if isinstance(value, dict):
            return {key: reordered(value[key]) for key in reversed(value)}
        return value

    content = reordered(shipped(TRAINING_FILE))
    content.pop("$schema")
    (tmp_path / TRAINING_FILE).write_text(json.dumps(content, indent=7))
    loaded, original = load_training_config(tmp_path), load_training_config(CONFIGS)
    assert digest_of(loaded) == digest_of(original)
    assert len(digest_of(loaded)) == 64


def test_any_change_of_a_rule_changes_the_digest(tmp_path):
    folder = changed(tmp_path, TRAINING_FILE, lambda c: c["training_orchestrator"].update(seed=8))
    assert digest_of(load_training_config(folder)) != digest_of(load_training_config(CONFIGS))
