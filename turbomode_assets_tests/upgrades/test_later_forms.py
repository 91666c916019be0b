"""The configuration gets a later form: files and the champion of an old installation go on."""

import pytest

from turbomode_assets.config import loader
from turbomode_assets.config.file_names import TRAINING_FILE
from turbomode_assets.config.judging import ModelPromotionGateConfig
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.config.upgrades import AddKey
from turbomode_assets_tests.config.builders import add_steps
from turbomode_assets_tests.upgrades.installations import (
    TABLES,
    printed_figures,
    printed_signals,
)

ALONE = "minimum_rank_correlation"


class WiderGate(ModelPromotionGateConfig):
    """The gate of a later program: one rule more."""

    minimum_rank_correlation: float


class LaterConfig(TrainingConfig):
    """The training configuration of a later program."""

    model_promotion_gate: WiderGate


@pytest.fixture
def later_program(monkeypatch):
    """A program to whose gate a rule came; the old file and the old champion lack it."""
    steps = ((AddKey(f"model_promotion_gate.{ALONE}", -1.0),),)
    add_steps(monkeypatch, TRAINING_FILE, *steps)
    monkeypatch.setitem(loader.FILES, TRAINING_FILE, LaterConfig)
    monkeypatch.setattr(loader, "TrainingConfig", LaterConfig)


@pytest.mark.usefixtures("later_program")
def test_the_files_are_accepted_and_keep_their_digests(shown, typed):
    stored = {row["digest"][:12] for row in shown.expected()["tables"]["configurations"]}
    (line,) = [each for each in typed("config", "check").splitlines() if TRAINING_FILE in each]
    assert line.split()[-1] in stored


@pytest.mark.usefixtures("later_program")
def test_the_old_champion_signals_and_is_explained_as_before(shown, typed):
    then = shown.expected()["explained"]
    assert printed_signals(typed("signals")) == shown.expected()["signals"]
    output = typed("explain", then["symbol"], then["session"])
    assert printed_figures(output)["probabilities"] == then["probabilities"]
    assert "DIFFER" not in output


@pytest.mark.usefixtures("later_program")
def test_the_old_champion_signals_the_next_night_what_it_would_have(installation, typed):
    following = installation.expected()["sessions"]["next"]
    for task in ("ingestion", "scanner"):
        typed("run", task, "--session", following)
    then = installation.expected()["next_night"]["active_signals"]
    now = installation.rows(TABLES["active_signals"])
    said = ("symbol", "signal", "model_version", "config_digest")
    assert [[row[name] for name in said] for row in now] == [
        [row[name] for name in said] for row in then
    ]
