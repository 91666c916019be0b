"""The book of calls: queries and entries that vendor budgets make inside their transactions.

Statements are built once: SQLAlchemy takes longer to build one than SQLite to run it.
"""

import datetime as dt
import functools
import hashlib

import sqlalchemy as sa

from turbomode_assets.config.budgets import BudgetConfig
from turbomode_assets.rationing.protocol import BudgetRefusal, Call
from turbomode_assets.rationing.rules import (
    BucketPast,
    BudgetGrant,
    history_needed,
    span_of,
    to_time,
)
from turbomode_assets.stores.operations.database import insert_into
from turbomode_assets.stores.operations.schema import (
    VENDOR_BREAKERS,
    VENDOR_BUCKETS,
    VENDOR_CALLS,
)

OPEN_CALL_EXPIRES = dt.timedelta(minutes=10)
"""After so long an open call counts as one whose worker died."""

LONGEST_KEY = 200
"""Identities and groups above so many characters are kept as digests: PostgreSQL's indexes refuse
entries of some thousand."""

_OPEN_CALL_SPAN = span_of(OPEN_CALL_EXPIRES.total_seconds())
_NUMBER: sa.BindParameter[int] = sa.bindparam("number")
_VENDOR: sa.BindParameter[str] = sa.bindparam("of_vendor")
_NOW: sa.BindParameter[int] = sa.bindparam("now")
_CALLS = VENDOR_CALLS.c

_ENTER = sa.insert(VENDOR_CALLS).returning(_CALLS.id)
_FINISH = sa.update(VENDOR_CALLS).where(_CALLS.id == _NUMBER).values(finished_at=_NOW)
_STRIKE = sa.delete(VENDOR_CALLS).where(_CALLS.id == _NUMBER)
_STRIKE_OLD = sa.delete(VENDOR_CALLS).where(
    _CALLS.vendor == _VENDOR, _CALLS.granted_at < sa.bindparam("oldest")
)
_COUNT_UNFINISHED = sa.select(
    sa.func.count(),
    sa.func.count(sa.case((_CALLS.granted_at > _NOW, 1))),
    sa.func.min(_CALLS.granted_at),
).where(
    _CALLS.vendor == _VENDOR,
    _CALLS.finished_at.is_(None),
    _CALLS.granted_at > sa.bindparam("alive_since"),
)
_BREAKER = sa.select(VENDOR_BREAKERS.c.reason, VENDOR_BREAKERS.c.until).where(
    VENDOR_BREAKERS.c.vendor == _VENDOR, VENDOR_BREAKERS.c.until > _NOW
)
_BUCKET = sa.select(VENDOR_BUCKETS.c.counted_to, VENDOR_BUCKETS.c.full_at).where(
    VENDOR_BUCKETS.c.vendor == _VENDOR
)


def with_short_keys(call: Call) -> Call:
    """Give the call as the book keeps it."""
    return Call(call.vendor, _shortened(call.identity), _shortened(call.group), call.weight)


def enter_call(connection: sa.Connection, call: Call, granted_at: int) -> int:
    """Enter a turn and return its number."""
    row = {
        "vendor": call.vendor,
        "identity": call.identity,
        "call_group": call.group,
        "weight": call.weight,
        "granted_at": granted_at,
    }
    number: int = connection.execute(_ENTER, row).scalar_one()
    return number


def finish_call(connection: sa.Connection, number: int, now: int) -> None:
    """Mark a call as over."""
    connection.execute(_FINISH, {"number": number, "now": now})


def strike_call(connection: sa.Connection, number: int) -> None:
    """Strike out a turn that was not used."""
    connection.execute(_STRIKE, {"number": number})


def strike_old_calls(
    connection: sa.Connection, config: BudgetConfig, vendor: str, now: int
) -> None:
    """Strike out calls that no rule of the vendor looks back to."""
    oldest = now - max(_OPEN_CALL_SPAN, *history_needed(config).values(), 0)
    connection.execute(_STRIKE_OLD, {"of_vendor": vendor, "oldest": oldest})


def granted_calls(
    connection: sa.Connection, config: BudgetConfig, call: Call, now: int
) -> list[BudgetGrant]:
    """Read the calls, past and future, that the vendor's rules count against this one."""
    needed = history_needed(config)
    vendor_span = needed.get("vendor", 0)
    group_span, identity_span = needed.get("group", 0), needed.get("identity", 0)
    query = _calls_in_reach(group_span > vendor_span, identity_span > vendor_span)
    values = {
        "of_vendor": call.vendor,
        "vendor_since": now - vendor_span,
        "of_group": call.group,
        "group_since": now - group_span,
        "of_identity": call.identity,
        "identity_since": now - identity_span,
    }
    return [BudgetGrant(*row) for row in connection.execute(query, values).all()]


def all_granted_calls(
    connection: sa.Connection, config: BudgetConfig, vendor: str, now: int
) -> list[BudgetGrant]:
    """Read every call of the vendor that any of its rules still counts."""
    span = max(history_needed(config).values(), default=0)
    values = {"of_vendor": vendor, "vendor_since": now - span}
    query = _calls_in_reach(False, False)
    return [BudgetGrant(*row) for row in connection.execute(query, values).all()]


def count_unfinished_calls(
    connection: sa.Connection, vendor: str, now: int
) -> tuple[int, int, int | None]:
    """Count calls not over, and those of them that wait for their turn; give the oldest's time."""
    values = {"of_vendor": vendor, "now": now, "alive_since": now - _OPEN_CALL_SPAN}
    unfinished, waiting, oldest = connection.execute(_COUNT_UNFINISHED, values).one()
    return unfinished, waiting, oldest


def open_call_expiry(granted_at: int) -> dt.datetime:
    """Say when a call that is never finished stops counting as open."""
    return to_time(granted_at + _OPEN_CALL_SPAN)


def breaker_in_force(connection: sa.Connection, vendor: str, now: int) -> BudgetRefusal | None:
    """Tell why and until when the vendor is left alone, if it is."""
    row = connection.execute(_BREAKER, {"of_vendor": vendor, "now": now}).one_or_none()
    return (
        None if row is None else BudgetRefusal(f"{vendor} is left alone: {row[0]}", to_time(row[1]))
    )


def set_breaker(connection: sa.Connection, vendor: str, until: int, reason: str) -> None:
    """Leave a vendor alone until then, or for longer if that is so already."""
    entry = insert_into(connection, VENDOR_BREAKERS)
    later = entry.on_conflict_do_update(
        index_elements=["vendor"],
        set_={"until": entry.excluded.until, "reason": entry.excluded.reason},
        where=VENDOR_BREAKERS.c.until < entry.excluded.until,
    )
    connection.execute(later, {"vendor": vendor, "until": until, "reason": reason})


def read_bucket(connection: sa.Connection, vendor: str) -> BucketPast:
    """Read what a vendor's bucket remembers; nothing before its first call."""
    row = connection.execute(_BUCKET, {"of_vendor": vendor}).one_or_none()
    return BucketPast() if row is None else BucketPast(row[0], row[1])


def write_bucket(connection: sa.Connection, vendor: str, past: BucketPast) -> None:
    """Keep what a vendor's bucket remembers."""
    values = {"counted_to": past.counted_to, "full_at": past.full_at}
    entry = insert_into(connection, VENDOR_BUCKETS)
    kept = {name: entry.excluded[name] for name in values}
    upsert = entry.on_conflict_do_update(index_elements=["vendor"], set_=kept)
    connection.execute(upsert, {"vendor": vendor, **values})


@functools.cache
def _calls_in_reach(by_group: bool, by_identity: bool) -> sa.Select[int, str, str, int]:
    reach = [_CALLS.granted_at >= sa.bindparam("vendor_since")]
    for wanted, column, name in (
        (by_group, _CALLS.call_group, "group"),
        (by_identity, _CALLS.identity, "identity"),
    ):
        if wanted:
            alike = column == sa.bindparam(f"of_{name}")
            reach.append(alike & (_CALLS.granted_at >= sa.bindparam(f"{name}_since")))
    return (
        sa.select(_CALLS.granted_at, _CALLS.identity, _CALLS.call_group, _CALLS.weight)
        .where(_CALLS.vendor == _VENDOR, sa.or_(*reach))
        .order_by(_CALLS.granted_at, _CALLS.id)
    )


def _shortened(key: str) -> str:
    if len(key) <= LONGEST_KEY:
        return key
    return hashlib.sha256(key.encode()).hexdigest()
