"""Statements for leases: who works on what, so that two workers never do the same at once."""

from collections.abc import Iterable

import sqlalchemy as sa

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.rationing.rules import span_of
from turbomode_assets.stores.operations.database import insert_into
from turbomode_assets.stores.operations.schema import LEASES

NAMES_PER_QUERY = 5000
"""SQLite takes 32,766 values in one statement."""


def take(
    connection: sa.Connection, names: Iterable[str], owner: str, now: int, seconds: float
) -> set[str]:
    """Take what is free or the owner's already, and name what it now holds."""
    wanted = _in_order(names)
    entry = insert_into(connection, LEASES)
    free = (LEASES.c.owner == entry.excluded.owner) | (LEASES.c.expires_at <= now)
    taken = {"owner": entry.excluded.owner, "expires_at": entry.excluded.expires_at}
    expires_at = expiry(now, seconds, owner)
    if wanted:
        connection.execute(
            entry.on_conflict_do_update(index_elements=["name"], set_=taken, where=free),
            [{"name": name, "owner": owner, "expires_at": expires_at} for name in wanted],
        )
    return _held(connection, wanted, owner)


def prolong(
    connection: sa.Connection, names: Iterable[str], owner: str, now: int, seconds: float
) -> set[str]:
    """Prolong what is the owner's and name it."""
    wanted = _in_order(names)
    update = sa.update(LEASES).where(
        LEASES.c.owner == owner, LEASES.c.name == sa.bindparam("wanted")
    )
    expires_at = expiry(now, seconds, owner)
    if wanted:
        connection.execute(
            update.values(expires_at=expires_at), [{"wanted": name} for name in wanted]
        )
    return _held(connection, wanted, owner)


def give_back(connection: sa.Connection, names: Iterable[str], owner: str) -> None:
    """Remove what is the owner's."""
    delete = sa.delete(LEASES).where(
        LEASES.c.owner == owner, LEASES.c.name == sa.bindparam("wanted")
    )
    wanted = _in_order(names)
    if wanted:
        connection.execute(delete, [{"wanted": name} for name in wanted])


def expiry(now: int, seconds: float, owner: str) -> int:
    """Say when a lease taken now ends.

    Raises:
        InputError: it would last no time.
    """
    if seconds <= 0:
        raise InputError(
            f"a lease for {seconds:g} seconds",
            where=f"owner {owner}",
            fix="lease for as long as the work takes at most, and renew it meanwhile",
        )
    return now + span_of(seconds)


def _in_order(names: Iterable[str]) -> list[str]:
    # One order for every worker: two that want the same names cannot wait for each other.
    return sorted(set(names))


def _held(connection: sa.Connection, names: list[str], owner: str) -> set[str]:
    held: set[str] = set()
    for start in range(0, len(names), NAMES_PER_QUERY):
        part = names[start : start + NAMES_PER_QUERY]
        query = sa.select(LEASES.c.name).where(LEASES.c.owner == owner, LEASES.c.name.in_(part))
        held |= set(connection.scalars(query))
    return held
