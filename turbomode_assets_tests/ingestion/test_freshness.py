"""Which of the latest sessions are late, each against its own deadline."""

import datetime as dt

import pytest

from turbomode_assets.config.completeness import FreshnessConfig
from turbomode_assets.config.loader import load_data_quality_config
from turbomode_assets.contracts.tables import PARTITION_STATUS
from turbomode_assets.ingestion.freshness import WATCHED, watched_sessions
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.builders import REPOSITORY, make_rows, make_universe

WEDNESDAY, HALF_DAY, MONDAY = dt.date(2019, 11, 27), dt.date(2019, 11, 29), dt.date(2019, 12, 2)
"""Thanksgiving is between the first two; the Friday after it ends at 13:00 in New York."""
DEADLINES = {
    WEDNESDAY: dt.datetime(2019, 11, 28, 5, tzinfo=dt.UTC),
    HALF_DAY: dt.datetime(2019, 11, 30, 2, tzinfo=dt.UTC),
    MONDAY: dt.datetime(2019, 12, 3, 5, tzinfo=dt.UTC),
}
"""Eight hours after closes at 21:00, 18:00 and 21:00 UTC."""
NAMES = ["AAA", "BBB", "CCC", "DDD"]
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def writer(tmp_path):
    writer = MasterWriter(str(tmp_path))
    universe = make_universe(NAMES)
    writer.replace("symbol_metadata", universe, span=None, symbols=NAMES, caller="test")
    return writer


def audited(writer, session, *verdicts):
    """Let the ledger say these verdicts of the session, one for each symbol."""
    rows = [
        {"symbol": symbol, "actual_rows": int(verdict != "RED"), "verdict": verdict}
        for symbol, verdict in zip(NAMES, verdicts, strict=True)
    ]
    frame = make_rows(PARTITION_STATUS, *rows, session=session, checked_at=DEADLINES[session])
    span = SessionSpan(session, session)
    writer.replace("partition_status", frame, span=span, symbols=NAMES, caller="test")


def watched(writer, now, *, green_share=0.75, sessions=2, timeframes=("1d",)):
    shipped = load_data_quality_config(REPOSITORY / "configs")
    freshness = FreshnessConfig(deadline_hours=8, sessions=sessions, green_share=green_share)
    rules = shipped.model_copy(update={"freshness": freshness})
    return watched_sessions(writer, rules, list(timeframes), now)


def late(writer, now, **rules):
    return watched(writer, now, **rules).filter("is_late")["session"].to_list()


def test_a_session_is_late_from_its_deadline_on_and_not_before(writer):
    audited(writer, WEDNESDAY, "GREEN", "GREEN", "GREEN", "GREEN")
    deadline = DEADLINES[HALF_DAY]
    assert late(writer, deadline - MINUTE) == []
    assert late(writer, deadline) == [HALF_DAY]


@pytest.mark.parametrize("session", list(DEADLINES))
def test_deadlines_count_from_the_close_also_of_a_half_day(writer, session):
    told = watched(writer, DEADLINES[session]).row(-1, named=True)
    assert (told["session"], told["deadline"]) == (session, DEADLINES[session])


def test_each_session_is_judged_by_itself(writer):
    audited(writer, WEDNESDAY, "GREEN", "GREEN", "RED", "AMBER")
    audited(writer, HALF_DAY, "GREEN", "GREEN", "GREEN", "AMBER")
    told = watched(writer, DEADLINES[HALF_DAY])
    assert told.select("session", "green_share", "is_late").rows() == [
        (WEDNESDAY, 0.5, True),
        (HALF_DAY, 0.75, False),
    ]


def test_a_later_good_session_excuses_no_earlier_one(writer):
    audited(writer, HALF_DAY, "GREEN", "GREEN", "GREEN", "GREEN")
    assert late(writer, DEADLINES[HALF_DAY]) == [WEDNESDAY]


def test_a_timeframe_that_nobody_audited_counts_as_not_green(writer):
    audited(writer, HALF_DAY, "GREEN", "GREEN", "GREEN", "GREEN")
    told = watched(writer, DEADLINES[HALF_DAY], sessions=1, timeframes=("1d", "1h"))
    assert told["green_share"].to_list() == [0.5]


def test_without_any_audit_every_session_is_late_once_its_deadline_has_passed(writer):
    assert late(writer, DEADLINES[MONDAY] - MINUTE, sessions=3) == [WEDNESDAY, HALF_DAY]
    assert late(writer, DEADLINES[MONDAY], sessions=3) == [WEDNESDAY, HALF_DAY, MONDAY]


def test_without_symbols_nothing_is_watched(tmp_path):
    told = watched(MasterWriter(str(tmp_path)), DEADLINES[MONDAY])
    assert (told.schema, told.height) == (WATCHED, 0)
