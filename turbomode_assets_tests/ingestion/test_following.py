"""Who ingests, and which sessions of the master a tenant that does not may derive from."""

import datetime as dt

import pytest

from turbomode_assets.config.loader import load_data_quality_config
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.contracts.tables import AUDITS, PARTITION_STATUS
from turbomode_assets.ingestion.following import (
    backfill_remedy,
    sessions_without_verdicts,
    why_not_followed,
)
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan, offset_session, session_close
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.builders import REPOSITORY, make_rows, make_universe

RULES = load_data_quality_config(REPOSITORY / "configs")
FRIDAY = dt.date(2017, 11, 10)
MONDAY = offset_session(FRIDAY, 1)
BOTH = SessionSpan(FRIDAY, MONDAY)
NAMES = ["AAA", "BBB", "CCC"]
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def writer(tmp_path):
    writer = MasterWriter(str(tmp_path))
    universe = make_universe(NAMES)
    writer.replace("symbol_metadata", universe, span=None, symbols=NAMES, caller="test")
    return writer


def judged(writer, session, verdicts="GGG", *, timeframe="1d"):
    """Let the ledger say G or R of the first symbols in a session."""
    rows = [
        {
            "symbol": symbol,
            "actual_rows": int(verdict == "G"),
            "verdict": "GREEN" if verdict == "G" else "RED",
            "reasons": "" if verdict == "G" else "missing",
        }
        for symbol, verdict in zip(NAMES, verdicts, strict=False)
    ]
    cells = {"session": session, "timeframe": timeframe, "checked_at": session_close(session)}
    frame, span = make_rows(PARTITION_STATUS, *rows, **cells), SessionSpan(session, session)
    writer.replace(
        "partition_status", frame, span=span, symbols=NAMES, timeframes=[timeframe], caller="test"
    )


def audited(writer, first, last, *, at):
    """Let an audit of a stretch have begun at a time, and not been broken off."""
    row = {"audited_at": at, "as_of_session": last, "first_session": first, "session": last}
    writer.append("audits", make_rows(AUDITS, row), caller="test")


def waiting(writer, span=BOTH):
    return sessions_without_verdicts(writer, RULES, span)


def test_a_master_in_which_nothing_was_judged_has_no_verdicts(writer, tmp_path):
    assert waiting(writer) == [FRIDAY, MONDAY]
    empty = MasterReader(str(tmp_path / "nothing"))
    assert why_not_followed(empty, RULES, FRIDAY) == f"the master has no verdicts of {FRIDAY} yet"


def test_sessions_that_were_judged_after_their_close_may_be_derived_from(writer):
    for session in BOTH.sessions:
        judged(writer, session)
    audited(writer, FRIDAY, FRIDAY, at=session_close(FRIDAY) + HOUR)
    assert waiting(writer) == [MONDAY]
    audited(writer, FRIDAY, MONDAY, at=session_close(MONDAY) - HOUR)
    assert waiting(writer) == [MONDAY]  # the audit began before the close
    audited(writer, FRIDAY, MONDAY, at=session_close(MONDAY))
    assert waiting(writer) == []
    assert why_not_followed(writer, RULES, MONDAY) is None


def test_an_audit_that_was_broken_off_has_judged_nothing(writer):
    judged(writer, FRIDAY)  # its verdicts are there, its entry among the audits is not
    assert waiting(writer) == [FRIDAY, MONDAY]


def test_a_session_within_an_audits_stretch_needs_a_verdict_on_every_daily_candle(writer):
    judged(writer, FRIDAY)
    judged(writer, MONDAY, "GG")
    judged(writer, MONDAY, timeframe="1h")
    audited(writer, FRIDAY, MONDAY, at=session_close(MONDAY) + HOUR)
    assert waiting(writer) == [MONDAY]


def test_a_session_that_was_judged_before_its_candles_came_is_waited_for(writer):
    judged(writer, FRIDAY, "GRR")
    audited(writer, FRIDAY, FRIDAY, at=session_close(FRIDAY) + HOUR)
    master = writer
    said = f"33.3% of {FRIDAY} is GREEN in the master, 50.0% are needed"
    assert why_not_followed(master, RULES, FRIDAY) == said
    judged(writer, FRIDAY, "GGR")
    assert why_not_followed(master, RULES, FRIDAY) is None


@pytest.mark.parametrize(("given", "ingests"), [(None, True), ("yes", True), ("no", False)])
def test_a_tenant_ingests_unless_the_environment_says_no(monkeypatch, given, ingests):
    monkeypatch.delenv("TURBOMODE_INGESTS", raising=False)
    if given is not None:
        monkeypatch.setenv("TURBOMODE_INGESTS", given)
    assert SettingsResource().ingests is ingests


@pytest.mark.parametrize("given", ["", "No", "false", "0", " no"])
def test_anything_but_yes_and_no_is_refused_and_nothing_loads(monkeypatch, given):
    monkeypatch.setenv("TURBOMODE_INGESTS", given)
    with pytest.raises(ConfigurationError, match="is neither yes nor no") as caught:
        build(SettingsResource())
    assert caught.value.where == "environment variable TURBOMODE_INGESTS"


def test_a_follower_is_told_who_can_fetch():
    command = "turbomode backfill --from 2017-11-10 --to 2017-11-13"
    assert backfill_remedy(SettingsResource(ingestion="yes"), BOTH) == command
    told = backfill_remedy(SettingsResource(ingestion="no"), BOTH)
    assert told == f"{command}, run by the tenant that ingests"
