"""The partitions of every asset: the sessions of XNYS."""

import datetime as dt

import dagster as dg
from dagster._core.definitions.partitions.context import PartitionLoadingContext

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import (
    FIRST_SESSION,
    NEW_YORK,
    SessionSpan,
    closures,
    require_session,
    session_of,
)


class SessionPartitionsDefinition(dg.DailyPartitionsDefinition):
    """Daily partitions that explain which session was meant when a key is none."""

    def validate_partition_key(self, partition_key: str, context: PartitionLoadingContext) -> None:
        """Accept a session's key; refuse any other with the sessions nearest to it."""
        try:
            day = dt.date.fromisoformat(partition_key)
        except ValueError as error:
            raise InputError(
                f"{partition_key!r} is no partition key",
                where="--partition or --partition-range",
                fix="write a session as YYYY-MM-DD, a range as YYYY-MM-DD...YYYY-MM-DD",
            ) from error
        require_session(day, where="--partition or --partition-range")
        with dg.partition_loading_context(new_ctx=context):
            if not self.has_partition_key(partition_key):
                raise InputError(
                    f"session {day} is outside the partitions",
                    where="--partition or --partition-range",
                    fix=f"use a session from {FIRST_SESSION} to {self.get_last_partition_key()}",
                )


SESSIONS = SessionPartitionsDefinition(
    start_date=FIRST_SESSION.isoformat(),
    timezone=NEW_YORK,
    exclusions=[
        "0 0 * * 6,0",
        *(dt.datetime.combine(day, dt.time()) for day in closures()),
    ],
    end_offset=1,
)
"""Exactly the sessions of XNYS. The last key can be a session that has not closed yet."""


def trailing_sessions(count: int) -> dg.TimeWindowPartitionMapping:
    """Map a session to itself and the `count` sessions before it."""
    return dg.TimeWindowPartitionMapping(start_offset=-count)


def session_span(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> SessionSpan:
    """Sessions that a run materializes.

    Raises:
        InputError: the range ends before it begins.
    """
    keys = context.partition_key_range
    return SessionSpan(session_of_key(keys.start), session_of_key(keys.end))


def session_of_key(key: str) -> dt.date:
    """Read a partition key."""
    return session_of(dt.date.fromisoformat(key))
