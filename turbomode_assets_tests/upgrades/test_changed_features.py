"""Features change over an old installation: its champion says what it would have said."""

import datetime as dt

import pytest

from turbomode_assets.contracts.tables import lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Lake
from turbomode_assets_tests.builders import run_assets
from turbomode_assets_tests.features.changed_program import GONE, MENDED, NEW, change_features
from turbomode_assets_tests.upgrades.installations import TABLES

TASKS = ("ingestion", "scanner")
MADE_ANEW = {"store_versions"}


def day(text):
    return dt.date.fromisoformat(text)


def lake_of(settings):
    return Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))


def features_in(span):
    return lake_of(SettingsResource()).read("features", caller="test", span=span).rows


@pytest.fixture
def following(installation, typed, monkeypatch):
    """The session after the last, done by a program with other features."""
    change_features(monkeypatch)
    session = installation.expected()["sessions"]["next"]
    for task in TASKS:
        typed("run", task, "--session", session)
    return day(session)


def test_the_champion_says_that_night_what_it_would_have_said(installation, following):
    then = installation.expected()["next_night"]["active_signals"]
    now = installation.rows(TABLES["active_signals"])
    kept = [name for name in then[0] if name not in MADE_ANEW]
    assert [[row[name] for name in kept] for row in now] == [
        [row[name] for name in kept] for row in then
    ]


def test_one_command_fills_the_range_and_every_other_column_stays_to_the_bit(
    installation, following, typed
):
    first = lake_of(SettingsResource()).stored_span("features").first
    stored = SessionSpan(first, day(installation.expected()["sessions"]["last"]))
    before = features_in(stored)
    run_assets(SettingsResource(), ["features"], stored)
    after = features_in(stored)
    same = [
        name for name in before.columns if name not in (*NEW, GONE, MENDED) and "__" not in name
    ]
    assert len(same) == 2 + 179 - 2
    assert after.select(same).equals(before.select(same), null_equal=True)
    places = {name.split("__")[0]: name for name in after.columns if "__" in name}
    for name in (GONE, MENDED):
        assert after[places[name]].alias(name).equals(before[name], null_equal=True)
    assert all(after[name].null_count() == 0 for name in NEW)
    explained = installation.expected()["explained"]
    for session in (explained["session"], str(following)):
        told = typed("explain", explained["symbol"], session)
        assert "DIFFER" not in told
