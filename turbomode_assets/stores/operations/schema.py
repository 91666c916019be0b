"""The tables of the operations store, for SQLite and PostgreSQL alike.

Times are whole microseconds since 1970 (UTC): compared exactly, and the same in both.
"""

import sqlalchemy as sa

OPERATIONS_VERSION = 2

METADATA = sa.MetaData()

_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts only INTEGER up

SCHEMA_VERSION = sa.Table(
    "operations_schema",
    METADATA,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)

VENDOR_CALLS = sa.Table(
    "vendor_calls",
    METADATA,
    sa.Column("id", _ROW_NUMBER, primary_key=True),
    sa.Column("vendor", sa.Text, nullable=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("call_group", sa.Text, nullable=False),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("granted_at", sa.BigInteger, nullable=False),
    sa.Column("finished_at", sa.BigInteger),
    sa.Index("vendor_calls_by_vendor", "vendor", "granted_at"),
    sa.Index("vendor_calls_by_group", "vendor", "call_group", "granted_at"),
    sa.Index("vendor_calls_by_identity", "vendor", "identity", "granted_at"),
)
"""Turns, past and future; `finished_at` is null until the call is over."""

sa.Index(
    "vendor_calls_open",
    VENDOR_CALLS.c.vendor,
    VENDOR_CALLS.c.granted_at,
    sqlite_where=VENDOR_CALLS.c.finished_at.is_(None),
    postgresql_where=VENDOR_CALLS.c.finished_at.is_(None),
)

VENDOR_BUCKETS = sa.Table(
    "vendor_buckets",
    METADATA,
    sa.Column("vendor", sa.Text, primary_key=True),
    sa.Column("counted_to", sa.BigInteger, nullable=False),
    sa.Column("full_at", sa.BigInteger, nullable=False),
)
"""What each token bucket remembers of calls up to `counted_to`."""

VENDOR_BREAKERS = sa.Table(
    "vendor_breakers",
    METADATA,
    sa.Column("vendor", sa.Text, primary_key=True),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
"""Vendors that are left alone for a while, and why."""

LEASES = sa.Table(
    "leases",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)
"""Who works on what, and until when nobody else may."""

BACKFILL_QUEUE = sa.Table(
    "backfill_queue",
    METADATA,
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("timeframe", sa.Text, primary_key=True),
    sa.Column("first_session", sa.Date, primary_key=True),
    sa.Column("last_session", sa.Date, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("not_before", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("enqueued_at", sa.BigInteger, nullable=False),
    sa.Column("importance", sa.Double, nullable=False, server_default="0"),
    sa.Column("dead_at", sa.BigInteger),
    sa.Column("claimed_by", sa.Text),
    sa.Column("claimed_until", sa.BigInteger),
)
"""Cells of the candles grid that are to be fetched again, and who is at it until when."""

CHECKS = sa.Table(
    "checks",
    METADATA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("symbol", sa.Text, primary_key=True),
    sa.Column("timeframe", sa.Text, primary_key=True),
    sa.Column("session", sa.Date, primary_key=True),
    sa.Column("as_of", sa.Date, nullable=False),
    sa.Index("checks_by_session", "kind", "session"),
)
"""A cell was last fetched when `as_of` was the last closed session."""

STEPS_TO_NEXT_VERSION: dict[int, tuple[str, ...]] = {
    1: (
        "ALTER TABLE backfill_queue ADD COLUMN importance DOUBLE PRECISION NOT NULL DEFAULT 0",
        "ALTER TABLE backfill_queue ADD COLUMN dead_at BIGINT",
        "ALTER TABLE backfill_queue ADD COLUMN claimed_by TEXT",
        "ALTER TABLE backfill_queue ADD COLUMN claimed_until BIGINT",
    ),
}
"""What makes a store of each older version one of the next, in SQL that both databases know."""
