"""Fixtures that several tests of assets share."""

import shutil

import pytest

from turbomode_assets_tests.backtest.builders import random_case
from turbomode_assets_tests.backtest.stored import FREE, settings_at, store_case


@pytest.fixture(scope="module")
def _stored(tmp_path_factory):
    root = tmp_path_factory.mktemp("stored")
    store_case(settings_at(root / "case"), random_case())
    return root / "case"


@pytest.fixture
def stored(_stored, tmp_path):
    """A market made by chance with its signals, as the graph stores them; yours to change."""
    shutil.copytree(_stored, tmp_path / "case")
    return settings_at(tmp_path / "case", **FREE)
