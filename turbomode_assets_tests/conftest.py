"""Fixtures that several rooms' tests share."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis_settings

if TYPE_CHECKING:
    from turbomode_assets.orchestration.resources.settings import SettingsResource

# The same examples in every run; `make test-properties` looks at others each time.
hypothesis_settings.register_profile(
    "same", max_examples=50, deadline=None, derandomize=True, database=None
)
hypothesis_settings.register_profile("search", deadline=None, print_blob=True)
hypothesis_settings.load_profile("same")


@pytest.fixture(scope="session")
def _trained_market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Here, or every test of every room would wait for the graph and the calendar to load.
    from turbomode_assets.sessions import SessionSpan
    from turbomode_assets_tests.builders import run_assets, small_settings
    from turbomode_assets_tests.market import AS_OF, DERIVED, HISTORY, INGESTION

    root = tmp_path_factory.mktemp("market")
    settings = small_settings(root)
    run_assets(settings, INGESTION + DERIVED, HISTORY)
    run_assets(settings, ["ensemble"], SessionSpan(AS_OF, AS_OF))
    return root


@pytest.fixture
def market(_trained_market: Path, tmp_path: Path) -> "SettingsResource":
    """A small simulated market with history up to AS_OF and an ensemble; yours to change."""
    from turbomode_assets_tests.builders import small_settings

    shutil.copytree(_trained_market, tmp_path / "market")
    return small_settings(tmp_path / "market")
