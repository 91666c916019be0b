"""Vendor budgets over the operations store: turns that all workers take from one book."""

import contextlib
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from turbomode_assets.config.budgets import BudgetConfig
from turbomode_assets.contracts.errors import ConfigurationError
from turbomode_assets.rationing.protocol import BudgetRefusal, Call
from turbomode_assets.rationing.rules import (
    RuleUse,
    Turn,
    check_weight,
    earliest_turn,
    fold_bucket,
    span_of,
    to_microseconds,
    to_time,
    use_of_rules,
)
from turbomode_assets.stores.operations import calls as book
from turbomode_assets.stores.operations.database import OperationsDatabase, serialise

PLACE_POLL_SECONDS = 0.25
"""How often a caller looks whether one of the vendor's open calls is over."""

PUNCTUAL_SECONDS = 0.05
"""How late a caller may be where the margin is smaller still: a computer is never exact."""

TURNS_BETWEEN_CLEANINGS = 500


@dataclass(frozen=True)
class BudgetUse:
    """How much of a vendor's budget is used now; `cooling_off` while it is left alone."""

    vendor: str
    rules: tuple[RuleUse, ...]
    open_calls: int
    waiting_calls: int
    cooling_off: BudgetRefusal | None


@dataclass(frozen=True)
class _Reserved:
    """A turn in the book."""

    number: int
    at: int


@dataclass(frozen=True)
class _Refused:
    """No turn; `for_want_of_a_place` when one may come free at any moment."""

    spent: BudgetRefusal
    for_want_of_a_place: bool = False


class RationedBudget:
    """A `Budget` whose turns are kept in the operations store, first come, first served.

    Holds over all threads, processes and restarts that use the store, if their clocks agree within
    the margins. A caller that comes to its turn later than `margin_seconds` (a suspended machine, a
    slow disk) takes a new one, so that what vendors see keeps to the book.
    """

    def __init__(
        self,
        operations: OperationsDatabase,
        budgets: Mapping[str, BudgetConfig],
        *,
        clock: Callable[[], dt.datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._operations = operations
        self._budgets = budgets
        self._clock = clock
        self._sleep = sleep

    @contextlib.contextmanager
    def spend(self, call: Call) -> Iterator[BudgetRefusal | None]:
        """Wait for the call's turn and hold it while the call is open.

        Gives None when the call may be made, or `BudgetRefusal` when its turn is further away than
        `longest_wait_seconds`, at once; only for want of one of the `open_calls` after that wait.

        Raises:
            ConfigurationError: the vendor has no budget.
            InputError: the call is heavier than a limit.
        """
        config = self._config(call.vendor)
        check_weight(config, call)
        turn = self._wait_for_turn(config, book.with_short_keys(call))
        if isinstance(turn, BudgetRefusal):
            yield turn
            return
        try:
            yield None
        finally:
            self._finish(turn)

    def cool_off(self, vendor: str, reason: str) -> None:
        """Leave a vendor alone for `cool_off_seconds`; a longer pause in force stays."""
        config = self._config(vendor)
        with self._operations.transaction() as connection:
            serialise(connection, f"vendor {vendor}")
            until = self._now() + span_of(config.cool_off_seconds)
            book.set_breaker(connection, vendor, until, reason)

    def remaining(self, vendor: str) -> BudgetUse:
        """Tell how much of each rule is used now, for people who watch the progress."""
        config = self._config(vendor)
        with self._operations.reading() as connection:
            now = self._now()
            past = book.read_bucket(connection, vendor)
            granted = book.all_granted_calls(connection, config, vendor, now)
            unfinished, waiting, _ = book.count_unfinished_calls(connection, vendor, now)
            breaker = book.breaker_in_force(connection, vendor, now)
        rules = tuple(use_of_rules(config, granted, now, past))
        return BudgetUse(vendor, rules, unfinished - waiting, waiting, breaker)

    def describe(self, vendor: str) -> str:
        """Say in one line how much of each rule is used now."""
        use = self.remaining(vendor)
        parts = [f"{rule.used:.3g} of {rule.rule.removeprefix('at most ')}" for rule in use.rules]
        parts.append(f"{use.open_calls} open, {use.waiting_calls} waiting")
        if use.cooling_off is not None:
            parts.append(f"{use.cooling_off.reason}, until {use.cooling_off.retry_at:%H:%M:%S} UTC")
        return f"{vendor}: {', '.join(parts)}"

    def _wait_for_turn(self, config: BudgetConfig, call: Call) -> _Reserved | BudgetRefusal:
        deadline = self._now() + span_of(config.longest_wait_seconds)
        missed = None
        while True:
            outcome = self._reserve(config, call, deadline, missed)
            if isinstance(outcome, _Refused):
                missed = None
                if not outcome.for_want_of_a_place or self._now() >= deadline:
                    return outcome.spent
                self._sleep(PLACE_POLL_SECONDS)
            elif self._reach(config, call.vendor, outcome):
                return outcome
            else:
                missed = outcome

    def _reserve(
        self, config: BudgetConfig, call: Call, deadline: int, missed: _Reserved | None
    ) -> _Reserved | _Refused:
        """Enter the call's turn into the book, in the place of a missed one."""
        with self._operations.transaction() as connection:
            serialise(connection, f"vendor {call.vendor}")
            now = self._now()  # read inside: the wait for the book is over
            if missed is not None:
                book.strike_call(connection, missed.number)
            full = _refuse_without_place(connection, config, call.vendor, now)
            if full is not None:
                return full
            breaker = book.breaker_in_force(connection, call.vendor, now)
            turn = _find_turn(connection, config, call, now, breaker)
            latest = max(deadline, now) if missed is None else deadline
            if turn.at > latest:
                reason = turn.rule or (breaker.reason if breaker else "it came late to its turns")
                return _Refused(BudgetRefusal(reason, to_time(turn.at)))
            reserved = _Reserved(book.enter_call(connection, call, turn.at), turn.at)
            if reserved.number % TURNS_BETWEEN_CLEANINGS == 0:
                book.strike_old_calls(connection, config, call.vendor, now)
            return reserved

    def _reach(self, config: BudgetConfig, vendor: str, turn: _Reserved) -> bool:
        """Sleep until the turn; tell whether the caller is punctual and the vendor not left alone.

        A caller that is interrupted gives its turn back.
        """
        slept = False
        try:
            while (left := turn.at - self._now()) > 0:
                self._sleep(left / 1_000_000)
                slept = True
            if slept and self._is_cooling_off(vendor):
                return False
        except BaseException:
            with self._operations.transaction() as connection:
                book.strike_call(connection, turn.number)
            raise
        punctual = span_of(max(config.margin_seconds, PUNCTUAL_SECONDS))
        return self._now() - turn.at <= punctual

    def _is_cooling_off(self, vendor: str) -> bool:
        with self._operations.reading() as connection:
            return book.breaker_in_force(connection, vendor, self._now()) is not None

    def _finish(self, turn: _Reserved) -> None:
        with self._operations.transaction() as connection:
            book.finish_call(connection, turn.number, self._now())

    def _now(self) -> int:
        return to_microseconds(self._clock())

    def _config(self, vendor: str) -> BudgetConfig:
        if vendor not in self._budgets:
            raise ConfigurationError(
                f"vendor {vendor} has no budget",
                where="vendors.json, key budgets",
                fix=f"add the limits of {vendor} there, next to those of the other vendors",
            )
        return self._budgets[vendor]


def _refuse_without_place(
    connection: sa.Connection, config: BudgetConfig, vendor: str, now: int
) -> _Refused | None:
    """Refuse while as many calls as the vendor allows are open or wait for their turn."""
    if config.open_calls is None:
        return None
    unfinished, _, oldest = book.count_unfinished_calls(connection, vendor, now)
    if oldest is None or unfinished < config.open_calls:
        return None
    reason = f"at most {config.open_calls} calls open at once"
    return _Refused(BudgetRefusal(reason, book.open_call_expiry(oldest)), for_want_of_a_place=True)


def _find_turn(
    connection: sa.Connection,
    config: BudgetConfig,
    call: Call,
    now: int,
    breaker: BudgetRefusal | None,
) -> Turn:
    start = now if breaker is None else to_microseconds(breaker.retry_at)
    granted = book.granted_calls(connection, config, call, now)
    if config.bucket is None:
        return earliest_turn(config, call, granted, start)
    past = book.read_bucket(connection, call.vendor)
    folded = fold_bucket(config.bucket, granted, now, past)
    if folded != past:
        book.write_bucket(connection, call.vendor, folded)
    return earliest_turn(config, call, granted, start, folded)
