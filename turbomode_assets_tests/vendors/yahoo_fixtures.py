"""The fixture `desk`, as a pytest plugin: `pytest_plugins` of a test module names this module."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from turbomode_assets.vendors.yahoo import YahooVendor
from turbomode_assets_tests.vendors.builders import CountedBudget
from turbomode_assets_tests.vendors.fake_yahoo import FakeYahoo
from turbomode_assets_tests.vendors.yahoo_desk import UNIVERSE, Desk, config


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
def desk(certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with FakeYahoo(certificates) as yahoo:
        for name, value in yahoo.environment.items():
            monkeypatch.setenv(name, value)
        budget = CountedBudget()
        vendor = YahooVendor(config(), UNIVERSE, budget, tmp_path, lambda: yahoo.now)
        served = Desk(yahoo, tmp_path, budget, vendor)
        yield served
        served.vendor.close()
