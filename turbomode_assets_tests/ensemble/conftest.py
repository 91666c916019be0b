import pytest

from turbomode_assets.ensemble import Ensemble, TrainingSet, train_ensemble
from turbomode_assets_tests.ensemble.small import SMALL, small_tables, small_training_set


@pytest.fixture(scope="session")
def training() -> TrainingSet:
    return small_training_set(*small_tables())


@pytest.fixture(scope="session")
def lines() -> list[str]:
    """What training reported."""
    return []


@pytest.fixture(scope="session")
def trained(training, lines) -> Ensemble:
    return train_ensemble(training, SMALL, report=lines.append)
