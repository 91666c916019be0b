"""What a call to a vendor costs, and the seam at which it is paid."""

import datetime as dt
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Call:
    """One message to a vendor, as its limits count it.

    `identity` is the same for calls that are the same in every respect; `group` for calls about the
    same instrument and kind of data.
    """

    vendor: str
    identity: str
    group: str
    weight: int = 1


@dataclass(frozen=True)
class BudgetRefusal:
    """The budget allows no call before `retry_at`, an aware time in UTC."""

    reason: str
    retry_at: dt.datetime


class Budget(Protocol):
    """Hands out turns, so that all workers together keep a vendor's limits."""

    def spend(self, call: Call) -> AbstractContextManager[BudgetRefusal | None]:
        """Wait for the call's turn and hold it while the call is open.

        Gives None when the call may be made, or `BudgetRefusal` when its turn is too far away: then
        it must not be made.
        """
        ...

    def cool_off(self, vendor: str, reason: str) -> None:
        """Leave a vendor alone for a while, because it said that it was asked too often."""
        ...
