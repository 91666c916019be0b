import datetime as dt
from zoneinfo import ZoneInfo

import dagster as dg
import exchange_calendars
import pytest
from dagster._core.definitions.partitions.context import (
    PartitionLoadingContext,
    partition_loading_context,
)
from dagster._core.definitions.partitions.snap import PartitionsSnap
from dagster._core.definitions.temporal_context import TemporalContext

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.orchestration.partitions import SESSIONS, session_of_key, trailing_sessions

NEW_YORK = ZoneInfo("America/New_York")


def at(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)


def validate(key):
    SESSIONS.validate_partition_key(
        key,
        PartitionLoadingContext(
            temporal_context=TemporalContext(
                effective_dt=at("2026-11-20 18:00"), last_event_id=None
            ),
            dynamic_partitions_store=None,
        ),
    )


def test_the_partitions_are_the_sessions_of_the_exchange_day_by_day_over_twenty_years():
    exchange = exchange_calendars.get_calendar("XNYS", start="2004-01-02", end="2024-12-31")
    sessions = {stamp.strftime("%Y-%m-%d") for stamp in exchange.sessions}
    with partition_loading_context(at("2025-01-02 12:00")):
        keys = set(SESSIONS.get_partition_keys())
    day = dt.date(2004, 1, 2)
    while day <= dt.date(2024, 12, 31):
        assert (str(day) in keys) == (str(day) in sessions), day
        day += dt.timedelta(days=1)


@pytest.mark.parametrize(
    "closed",
    ["2001-09-11", "2004-06-11", "2007-01-02", "2012-10-29", "2018-12-05", "2025-01-09"],
)
def test_special_closures_are_no_partitions(closed):
    with partition_loading_context(at("2026-11-20 18:00")):
        assert not SESSIONS.has_partition_key(closed)


@pytest.mark.parametrize("half_day", ["2015-11-27", "2017-07-03", "2024-12-24"])
def test_half_days_are_partitions(half_day):
    with partition_loading_context(at("2026-11-20 18:00")):
        assert SESSIONS.has_partition_key(half_day)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-20 18:00", "2026-11-20"),
        ("2026-11-21 00:05", "2026-11-23"),
        ("2026-11-26 12:00", "2026-11-27"),
    ],
)
def test_the_last_key_can_be_a_session_that_has_not_closed(now, last):
    with partition_loading_context(at(now)):
        assert SESSIONS.get_last_partition_key() == last


def test_look_back_counts_sessions_across_holidays():
    subset = SESSIONS.subset_with_partition_keys(["2025-12-01"])
    with partition_loading_context(at("2026-11-20 18:00")):
        mapped = trailing_sessions(5).get_upstream_mapped_partitions_result_for_partitions(
            subset, SESSIONS, SESSIONS
        )
        keys = list(mapped.partitions_subset.get_partition_keys())
    assert keys == [
        "2025-11-21",
        "2025-11-24",
        "2025-11-25",
        "2025-11-26",
        "2025-11-28",
        "2025-12-01",
    ]


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("2017-11-12", r"\(Sunday\) is not an XNYS session"),
        ("2017-11-23", r"\(Thursday\) is not an XNYS session"),
        ("1999-06-01", "outside the partitions"),
        ("2026-11-23", "outside the partitions"),
        ("yesterday", "is no partition key"),
        ("2017-13-01", "is no partition key"),
    ],
)
def test_a_key_that_is_no_partition_is_refused_with_the_remedy(key, complaint):
    with pytest.raises(InputError, match=complaint) as caught:
        validate(key)
    assert "partition" in caught.value.where


def test_a_refused_sunday_names_the_sessions_around_it():
    with pytest.raises(InputError, match="2017-11-10 before it, 2017-11-13 after"):
        validate("2017-11-12")


def test_a_session_is_accepted():
    validate("2017-11-10")
    assert session_of_key("2017-11-10") == dt.date(2017, 11, 10)


def test_dagster_stores_and_restores_the_partitions():
    restored = PartitionsSnap.from_def(SESSIONS).get_partitions_definition()
    assert isinstance(restored, dg.TimeWindowPartitionsDefinition)
    with partition_loading_context(at("2026-11-20 18:00")):
        assert restored.get_partition_keys() == SESSIONS.get_partition_keys()
