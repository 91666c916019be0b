"""Dagster's `dg` command finds the graph by pyproject.toml, and runs assets of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from turbomode_assets_tests.builders import REPOSITORY, write_configs

BESIDE_PYTHON = Path(sys.executable).parent / "dg"
DG = os.environ.get("TURBOMODE_TEST_DG") or shutil.which(BESIDE_PYTHON) or shutil.which("dg")

pytestmark = pytest.mark.skipif(
    DG is None,
    reason="no dg here: pip install -c requirements.lock -e '.[dg]', or TURBOMODE_TEST_DG=/path/dg",
)


@pytest.fixture
def run_dg(tmp_path):
    """Run dg in a project like the repository, on a data root and a home of its own.

    Not in the repository's folder: dg lets a .env there overrule the environment.
    """
    root, home, project = tmp_path / "data", tmp_path / "home", tmp_path / "project"
    for folder in (root, home, project):
        folder.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    shutil.copy(REPOSITORY / "pyproject.toml", project)
    (project / "turbomode_assets").symlink_to(REPOSITORY / "turbomode_assets")
    places = {
        "DAGSTER_HOME": home,
        "TURBOMODE_DAGSTER_STORAGE": home,
        "TURBOMODE_DATA_ROOT": root,
        "TURBOMODE_CONFIG_DIR": write_configs(tmp_path / "configs"),
        "TURBOMODE_TENANT": "default",
        "TURBOMODE_INGESTS": "yes",
        "PYTHONPATH": REPOSITORY,
    }

    def run(*arguments):
        done = subprocess.run(
            [DG, *arguments],
            capture_output=True,
            text=True,
            cwd=project,
            env=os.environ | {name: str(value) for name, value in places.items()},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.data_root = root
    return run


def test_it_lists_the_assets_of_the_graph(run_dg):
    listed = json.loads(run_dg("list", "defs", "--json"))
    keys = {asset["asset_key"] for asset in listed["assets"]}
    assert {"raw_candles", "bars", "features", "labels", "ensemble", "signals"} <= keys


def test_it_finds_nothing_wrong_with_the_definitions(run_dg):
    assert "All definitions loaded successfully" in run_dg("check", "defs")


def test_it_runs_assets(run_dg):
    run_dg("launch", "--assets", "symbol_metadata,sector_mappings")
    assert (run_dg.data_root / "master" / "symbol_metadata" / "_delta_log").is_dir()
