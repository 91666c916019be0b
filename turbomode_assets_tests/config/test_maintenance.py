"""Rules that tie maintenance to the tasks beside it."""

import json

import pytest

from turbomode_assets.config.loader import load_scheduler_config
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets_tests.builders import write_configs


def load_with(folder, **changes):
    path = write_configs(folder) / "scheduler_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for place, value in changes.items():
        section, key = place.split("__")
        owner = content["maintenance"] if section == "maintenance" else content["tasks"][section]
        assert key in owner
        owner[key] = value
    path.write_text(json.dumps(content), encoding="utf-8")
    return load_scheduler_config(folder)


def test_files_must_outlive_the_longest_run(tmp_path):
    told = r"vacuum_after_hours \(24\) must be longer than training may take \(1440 minutes\)"
    with pytest.raises(ConfigurationError, match=told):
        load_with(tmp_path, maintenance__vacuum_after_hours=24, training__timeout_minutes=1_440)
    kept = load_with(tmp_path, maintenance__vacuum_after_hours=25, training__timeout_minutes=1_440)
    assert kept.maintenance.vacuum_after_hours == 25


def test_runs_are_kept_as_long_as_their_sessions_may_be_owed(tmp_path):
    told = r"archive_after_days \(29\) must cover the misfire grace of ingestion \(43200 minutes\)"
    with pytest.raises(ConfigurationError, match=told):
        load_with(tmp_path, maintenance__archive_after_days=29)
    assert load_with(tmp_path, maintenance__archive_after_days=30).maintenance
