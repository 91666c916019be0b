"""The rules of a vendor's budget: the earliest time at which a call may be made.

Pure: times are whole microseconds since 1970 (UTC), so that comparisons are exact. A granted call
is a reserved turn, at a time past or future; a new one may be fitted in between.

A window: any `seconds + margin_seconds`, both ends included, hold at most `limit` calls, by
weight; identical ones by number, for a question that counts twice is still asked once.
A bucket: calls that together weigh more than `capacity` span, from the first to the last, at least
`margin_seconds` and the time in which the bucket gains what they weigh more.
"""

import datetime as dt
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from turbomode_assets.config.budgets import BucketConfig, BudgetConfig, Scope, WindowConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.rationing.protocol import Call

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_COUNTED = {"vendor": "calls", "group": "calls of one group", "identity": "identical calls"}


@dataclass(frozen=True, slots=True)
class BudgetGrant:
    """A call that has its turn, as the rules count it."""

    at: int
    identity: str
    group: str
    weight: int


@dataclass(frozen=True)
class BucketPast:
    """What calls up to `counted_to` left of a bucket: it is full again at `full_at`."""

    counted_to: int = 0
    full_at: int = 0


@dataclass(frozen=True)
class Turn:
    """The earliest time for a call, and the rule that delays it, if one does."""

    at: int
    rule: str | None


@dataclass(frozen=True)
class RuleUse:
    """How much of one rule is used now; of a rule per group or identity, by its busiest one."""

    rule: str
    used: float
    limit: int
    seconds: float


@dataclass(frozen=True)
class _Closure:
    """A stretch of time, both ends included, in which a rule allows no further call."""

    first: int
    last: int
    rule: str


def to_microseconds(time: dt.datetime) -> int:
    """Count the microseconds from 1970 to an aware time."""
    return (time - EPOCH) // _MICROSECOND


def to_time(microseconds: int) -> dt.datetime:
    """Give the aware time, in UTC, of microseconds since 1970."""
    return EPOCH + microseconds * _MICROSECOND


def span_of(seconds: float) -> int:
    """Count the microseconds in some seconds."""
    return round(seconds * 1_000_000)


def check_weight(config: BudgetConfig, call: Call) -> None:
    """Refuse a call that no waiting would make lawful.

    Raises:
        InputError: the call weighs nothing, or more than a limit.
    """
    limits = [(each.limit, describe(each)) for each in config.windows if each.per != "identity"]
    if config.bucket is not None:
        limits.append((config.bucket.capacity, describe(config.bucket)))
    for limit, rule in limits:
        if call.weight > limit:
            raise InputError(
                f"a call of weight {call.weight} can never be made: {rule}",
                where=f"vendor {call.vendor}, {call.identity}",
                fix="raise that limit under budgets in vendors.json, or ask in smaller pieces",
            )
    if call.weight < 1:
        raise InputError(
            f"a call has weight {call.weight}",
            where=f"vendor {call.vendor}, {call.identity}",
            fix="give it the number of calls that the vendor counts it as, at least 1",
        )


def history_needed(config: BudgetConfig) -> dict[Scope, int]:
    """Say how far back, in microseconds, granted calls matter, by what is counted."""
    needed: dict[Scope, int] = {}
    for window in config.windows:
        needed[window.per] = max(needed.get(window.per, 0), _window_span(config, window))
    if config.bucket is not None:
        # A call that `fold_bucket` left out can delay another for less than two refills.
        refills = 2 * config.bucket.capacity / config.bucket.per_second
        needed["vendor"] = max(needed.get("vendor", 0), span_of(refills + config.margin_seconds))
    return needed


def earliest_turn(
    config: BudgetConfig,
    call: Call,
    granted: Sequence[BudgetGrant],
    start: int,
    past: BucketPast | None = None,
) -> Turn:
    """Find the earliest time, from `start` on, at which no rule forbids the call.

    `granted` are the vendor's calls as far back as `history_needed` says, by time; `past` stands
    for those that the bucket remembers but `granted` leaves out.
    """
    past = past or BucketPast()
    closures: list[_Closure] = []
    for window in config.windows:
        key = _key(window, call)
        alike = [each for each in granted if window.per == "vendor" or _key(window, each) == key]
        closures += _window_closures(config, window, alike, call)
    if config.bucket is not None:
        unfolded = [other for other in granted if other.at > past.counted_to]
        closures += _bucket_closures(config, config.bucket, unfolded, call.weight, start, past)
    turn = Turn(max(start, past.counted_to + 1), None)
    for closure in sorted(closures, key=lambda closure: closure.first):
        if closure.first <= turn.at <= closure.last:
            turn = Turn(closure.last + 1, closure.rule)
    return turn


def fold_bucket(
    bucket: BucketConfig, granted: Sequence[BudgetGrant], now: int, past: BucketPast
) -> BucketPast:
    """Take into `past` what lies behind the last calls that can fill the bucket.

    Those are left out of it because a rule about sums within the capacity needs each by itself.
    """
    calls = [call for call in granted if past.counted_to < call.at <= now]
    behind = sum(call.weight for call in calls)
    full_at = past.full_at
    for call, following in itertools.pairwise(calls):
        behind -= call.weight
        if behind < bucket.capacity:
            break
        full_at = max(full_at, call.at) + _refill(bucket, call.weight)
        if following.at > call.at:
            past = BucketPast(call.at, full_at)
    return past


def describe(rule: WindowConfig | BucketConfig) -> str:
    """Put a rule into words."""
    if isinstance(rule, BucketConfig):
        return f"at most {rule.capacity} calls at once, then {rule.per_second:g} a second"
    return f"at most {rule.limit} {_COUNTED[rule.per]} in any {rule.seconds:g} seconds"


def use_of_rules(
    config: BudgetConfig, granted: Sequence[BudgetGrant], now: int, past: BucketPast
) -> list[RuleUse]:
    """Say how much of each rule the calls whose turn has come use now."""
    uses = []
    for window in config.windows:
        weights: dict[str, int] = defaultdict(int)
        for call in granted:
            if now - _window_span(config, window) <= call.at <= now:
                weights[_key(window, call)] += _count(window, call)
        used = max(weights.values(), default=0)
        uses.append(RuleUse(describe(window), used, window.limit, window.seconds))
    if config.bucket is not None:
        bucket, full_at = config.bucket, past.full_at
        for call in granted:
            if past.counted_to < call.at <= now:
                full_at = max(full_at, call.at) + _refill(bucket, call.weight)
        used_tokens = max(0, full_at - now) * bucket.per_second / 1_000_000
        seconds = bucket.capacity / bucket.per_second
        uses.append(RuleUse(describe(bucket), used_tokens, bucket.capacity, seconds))
    return uses


def _key(window: WindowConfig, call: Call | BudgetGrant) -> str:
    if window.per == "vendor":
        return ""
    return call.group if window.per == "group" else call.identity


def _count(window: WindowConfig, call: Call | BudgetGrant) -> int:
    return 1 if window.per == "identity" else call.weight


def _window_span(config: BudgetConfig, window: WindowConfig) -> int:
    return span_of(window.seconds + config.margin_seconds)


def _refill(bucket: BucketConfig, weight: int) -> int:
    return math.ceil(weight * 1_000_000 / bucket.per_second)


def _window_closures(
    config: BudgetConfig, window: WindowConfig, others: Sequence[BudgetGrant], call: Call
) -> Iterator[_Closure]:
    """Yield the times at which the call and a full run of others would share one window."""
    span, rule = _window_span(config, window), describe(window)
    first, total = 0, _count(window, call)
    for last in others:
        total += _count(window, last)
        while total - _count(window, others[first]) > window.limit:
            total -= _count(window, others[first])
            first += 1
        run_start = others[first].at
        if total > window.limit and last.at - run_start <= span:
            yield _Closure(last.at - span, run_start + span, rule)


def _bucket_closures(
    config: BudgetConfig,
    bucket: BucketConfig,
    calls: Sequence[BudgetGrant],
    weight: int,
    start: int,
    past: BucketPast,
) -> Iterator[_Closure]:
    """Yield the times at which the call and a run of others would span too little time.

    Of the runs that end before `start`, those that end with the last such call ask for most.
    """
    margin, rule = span_of(config.margin_seconds), describe(bucket)
    if past.full_at:
        span = margin + _refill(bucket, weight - bucket.capacity)
        yield _Closure(past.counted_to, past.full_at + span - 1, rule)
    newest = max(0, sum(call.at <= start for call in calls) - 1)
    for end in range(newest, len(calls)):
        total, last = weight, calls[end].at
        for first in range(end, -1, -1):
            total += calls[first].weight
            span = margin + _refill(bucket, total - bucket.capacity)
            if total > bucket.capacity and last - calls[first].at < span:
                yield _Closure(last - span + 1, calls[first].at + span - 1, rule)
        span = margin + _refill(bucket, total - bucket.capacity)
        if past.full_at and last - past.full_at < span:
            yield _Closure(past.counted_to, past.full_at + span - 1, rule)
