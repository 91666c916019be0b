"""Turns worked out by hand, and schedules that an independent counter goes through."""

import itertools
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.budgets import BucketConfig, BudgetConfig, WindowConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.rationing.protocol import Call
from turbomode_assets.rationing.rules import (
    BucketPast,
    BudgetGrant,
    Turn,
    check_weight,
    earliest_turn,
    fold_bucket,
    history_needed,
    to_microseconds,
    to_time,
    use_of_rules,
)

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
IB_WINDOWS = [
    WindowConfig(per="identity", limit=1, seconds=15),
    WindowConfig(per="group", limit=5, seconds=2),
    WindowConfig(per="vendor", limit=60, seconds=600),
]


def budget(*windows: WindowConfig, bucket: BucketConfig | None = None, margin: float = 0.0):
    return BudgetConfig(
        windows=list(windows),
        bucket=bucket,
        open_calls=None,
        margin_seconds=margin,
        longest_wait_seconds=60,
        cool_off_seconds=60,
    )


def call(identity: str = "a", group: str = "g", weight: int = 1) -> Call:
    return Call("v", identity, group, weight)


def granted(seconds: float, identity: str = "x", group: str = "h", weight: int = 1) -> BudgetGrant:
    return BudgetGrant(START + round(seconds * SECOND), identity, group, weight)


def turn_after(turn: Turn) -> float:
    return (turn.at - START) / SECOND


def test_a_call_that_nothing_delays_has_its_turn_at_once():
    assert earliest_turn(budget(*IB_WINDOWS, margin=0.5), call(), [], START) == Turn(START, None)


def test_both_ends_of_a_window_count():
    config = budget(WindowConfig(per="identity", limit=1, seconds=15))
    turn = earliest_turn(config, call("a"), [granted(0, "a")], START)
    assert turn == Turn(START + 15 * SECOND + 1, "at most 1 identical calls in any 15 seconds")


def test_the_margin_widens_every_window():
    config = budget(WindowConfig(per="vendor", limit=2, seconds=10), margin=0.5)
    turn = earliest_turn(config, call(), [granted(-4), granted(-1)], START)
    assert turn_after(turn) == 6.500001


def test_a_weight_counts_as_so_many_calls():
    config = budget(WindowConfig(per="vendor", limit=4, seconds=10))
    others = [granted(-6), granted(-5, weight=2)]
    assert earliest_turn(config, call(weight=1), others, START).at == START
    assert turn_after(earliest_turn(config, call(weight=2), others, START)) == 4.000001
    assert turn_after(earliest_turn(config, call(weight=3), others, START)) == 5.000001


def test_identical_calls_are_counted_whatever_they_weigh():
    config = budget(*IB_WINDOWS)
    check_weight(config, call("a", weight=2))
    turn = earliest_turn(config, call("a", weight=2), [granted(-5, "a", weight=2)], START)
    assert turn_after(turn) == 10.000001


def test_groups_and_identities_are_counted_apart():
    config = budget(*IB_WINDOWS)
    others = [granted(-0.5, f"q{number}", "AAPL TRADES") for number in range(5)]
    assert earliest_turn(config, call("new", "MSFT TRADES"), others, START).rule is None
    assert turn_after(earliest_turn(config, call("new", "AAPL TRADES"), others, START)) == 1.500001


def test_a_call_fits_before_turns_that_are_already_given_away():
    """Identical calls wait 15 s each; a stranger goes first, between the reserved turns."""
    config = budget(*IB_WINDOWS)
    reserved = [granted(0, "a"), granted(15.000001, "a"), granted(30.000002, "a")]
    assert turn_after(earliest_turn(config, call("a"), reserved, START)) == 45.000003
    assert earliest_turn(config, call("b"), reserved, START).at == START


def test_a_call_does_not_slip_into_a_window_that_later_turns_fill():
    config = budget(WindowConfig(per="vendor", limit=2, seconds=10))
    reserved = [granted(8), granted(12)]
    assert turn_after(earliest_turn(config, call(), reserved, START)) == 0
    assert turn_after(earliest_turn(config, call(), reserved, START + 2 * SECOND)) == 18.000001
    early = earliest_turn(config, call(), reserved, START + 2 * SECOND - 1)
    assert early.at == START + 2 * SECOND - 1


def test_a_bucket_gives_its_capacity_at_once_and_then_drips():
    config = budget(bucket=BucketConfig(capacity=3, per_second=0.5))
    turns = schedule(config, [(0, call())] * 6)
    assert [(at - START) / SECOND for at in turns] == [0, 0, 0, 2, 4, 6]


def test_the_margin_delays_a_bucket_once():
    config = budget(bucket=BucketConfig(capacity=2, per_second=1), margin=0.25)
    turns = schedule(config, [(0, call())] * 5)
    assert [(at - START) / SECOND for at in turns] == [0, 0, 1.25, 2.25, 3.25]


def test_a_bucket_fills_up_to_its_capacity_and_no_further():
    config = budget(bucket=BucketConfig(capacity=2, per_second=1))
    turns = schedule(config, [(0, call()), (100, call()), (100, call()), (100, call())])
    assert [(at - START) / SECOND for at in turns] == [0, 100, 100, 101]


def test_what_a_bucket_remembers_stands_for_the_calls_themselves():
    bucket = BucketConfig(capacity=2, per_second=1)
    config = budget(bucket=bucket)
    burst = [granted(second) for second in (0, 0, 1, 2, 3, 4)]
    now = START + 4 * SECOND
    past = fold_bucket(bucket, burst, now, BucketPast())
    assert past == BucketPast(START + 2 * SECOND, START + 4 * SECOND)
    kept = [each for each in burst if each.at > past.counted_to]
    assert earliest_turn(config, call(), kept, now, past) == earliest_turn(
        config, call(), burst, now
    )
    assert turn_after(earliest_turn(config, call(), kept, now, past)) == 5


@pytest.mark.parametrize(
    "config",
    [
        budget(WindowConfig(per="group", limit=2, seconds=1)),
        budget(bucket=BucketConfig(capacity=2, per_second=9)),
    ],
)
def test_a_call_heavier_than_a_limit_is_refused(config):
    check_weight(config, call(weight=2))
    with pytest.raises(InputError, match="weight 3 can never be made: at most 2"):
        check_weight(config, call(weight=3))


def test_a_call_without_weight_is_refused():
    with pytest.raises(InputError, match="weight 0"):
        check_weight(budget(), call(weight=0))


def test_history_reaches_as_far_back_as_the_longest_rule_of_each_kind():
    config = budget(*IB_WINDOWS, bucket=BucketConfig(capacity=4, per_second=0.5), margin=0.5)
    assert history_needed(config) == {
        "identity": 15_500_000,
        "group": 2_500_000,
        "vendor": 600_500_000,
    }


def test_use_names_the_busiest_group_and_the_tokens_that_are_gone():
    config = budget(*IB_WINDOWS[1:], bucket=BucketConfig(capacity=4, per_second=0.5))
    others = [granted(-1, group="a", weight=2), granted(-1, group="b"), granted(3, group="b")]
    uses = use_of_rules(config, others, START, BucketPast())
    assert [(use.used, use.limit) for use in uses] == [(2, 5), (3, 60), (2.5, 4)]


def test_times_survive_the_way_to_microseconds_and_back():
    assert to_time(START).isoformat() == "2023-11-14T22:13:20+00:00"
    assert to_microseconds(to_time(START + 1)) == START + 1


seconds = st.integers(0, 40).map(lambda tenths: tenths / 10)
windows = st.builds(
    WindowConfig,
    per=st.sampled_from(["vendor", "group", "identity"]),
    limit=st.integers(2, 5),
    seconds=st.integers(1, 30).map(lambda tenths: tenths / 10),
)
buckets = st.none() | st.builds(
    BucketConfig, capacity=st.integers(2, 4), per_second=st.sampled_from([0.5, 1.0, 3.0, 7.0])
)
budgets = st.builds(
    lambda rules, bucket, margin: budget(*rules, bucket=bucket, margin=margin),
    st.lists(windows, max_size=3),
    buckets,
    st.sampled_from([0.0, 0.1, 0.75]),
)
calls = st.builds(call, st.sampled_from("abc"), st.sampled_from("gh"), st.integers(1, 2))
requests = st.lists(st.tuples(seconds, calls), min_size=1, max_size=10)


@settings(max_examples=80)
@given(budgets, requests)
def test_no_schedule_ever_breaks_a_rule_and_no_call_waits_needlessly(config, asked):
    made: list[tuple[int, Call]] = []
    for seconds_after, each in sorted(asked, key=lambda pair: pair[0]):
        request = START + round(seconds_after * SECOND)
        turn = earliest_turn(config, each, as_granted(made), request)
        assert fits(config, made, turn.at, each)
        earlier = [at for at in candidates(config, made, request) if at < turn.at]
        assert not any(fits(config, made, at, each) for at in earlier)
        assert (turn.rule is None) == (turn.at == request)
        made.append((turn.at, each))


@settings(max_examples=100)
@given(buckets.filter(bool), st.sampled_from([0.0, 0.1, 0.75]), requests)
def test_a_bucket_that_forgets_calls_schedules_like_one_that_remembers_all(bucket, margin, asked):
    config = budget(bucket=bucket, margin=margin)
    made: list[tuple[int, Call]] = []
    past = BucketPast()
    for seconds_after, each in sorted(asked, key=lambda pair: pair[0]):
        request = START + round(seconds_after * SECOND)
        past = fold_bucket(bucket, as_granted(made), request, past)
        kept = [other for other in as_granted(made) if other.at > past.counted_to]
        turn = earliest_turn(config, each, kept, request, past)
        # Each folded call rounds its share of the refill up to the next microsecond.
        exact = earliest_turn(config, each, as_granted(made), request)
        assert 0 <= turn.at - exact.at <= len(made)
        made.append((turn.at, each))


def schedule(config: BudgetConfig, asked: list[tuple[float, Call]]) -> list[int]:
    made: list[tuple[int, Call]] = []
    for seconds_after, each in asked:
        request = START + round(seconds_after * SECOND)
        made.append((earliest_turn(config, each, as_granted(made), request).at, each))
    return [at for at, _ in made]


def as_granted(made: list[tuple[int, Call]]) -> list[BudgetGrant]:
    rows = sorted(made, key=lambda pair: pair[0])
    return [BudgetGrant(at, each.identity, each.group, each.weight) for at, each in rows]


def fits(config: BudgetConfig, made: list[tuple[int, Call]], at: int, each: Call) -> bool:
    """Count every stretch around the call that begins and ends with a call, in exact arithmetic."""
    schedule = [*made, (at, each)]
    starts = {time for time, _ in schedule if time <= at}
    ends = {time for time, _ in schedule if time >= at}
    return all(
        stretch_is_allowed(config, [c for time, c in schedule if start <= time <= end], end - start)
        for start, end in itertools.product(starts, ends)
    )


def stretch_is_allowed(config: BudgetConfig, inside: list[Call], length: int) -> bool:
    margin = round(config.margin_seconds * SECOND)
    for window in config.windows:
        if length <= round(window.seconds * SECOND) + margin:
            counts: Counter[str] = Counter()
            for each in inside:
                key = {"vendor": "", "group": each.group, "identity": each.identity}[window.per]
                counts[key] += 1 if window.per == "identity" else each.weight
            if max(counts.values()) > window.limit:
                return False
    if config.bucket is None:
        return True
    gained = Fraction(max(0, length - margin), SECOND) * Fraction(str(config.bucket.per_second))
    return sum(each.weight for each in inside) <= config.bucket.capacity + gained


def candidates(config: BudgetConfig, made: list[tuple[int, Call]], request: int) -> list[int]:
    """Every time at which a rule can stop forbidding a call, and the one before."""
    spans = [window.seconds + config.margin_seconds for window in config.windows]
    if config.bucket is not None:
        tokens = range(sum(each.weight for _, each in made) + 3)
        spans += [config.margin_seconds + token / config.bucket.per_second for token in tokens]
    times = {request, request + 1}
    for at, _ in made:
        for end in [at, *(at + round(span * SECOND) for span in spans)]:
            times |= {end, end + 1}
    return sorted(at for at in times if at >= request)
