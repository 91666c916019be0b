"""Turns that workers, restarts and simulated days take from one book."""

import datetime as dt
import threading
from collections import Counter, defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turbomode_assets.config.loader import load_vendors_config
from turbomode_assets.contracts.errors import ConfigurationError, InputError
from turbomode_assets.rationing.protocol import BudgetRefusal, Call
from turbomode_assets.stores.operations import Operations, RationedBudget
from turbomode_assets.stores.operations import budgets as budgets_module
from turbomode_assets.stores.operations.schema import VENDOR_CALLS
from turbomode_assets_tests.stores.operations_workers import (
    NOON,
    SimulatedClock,
    budget_config,
    heaviest,
)

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = load_vendors_config(CONFIGS).budgets
ONE_PER_MINUTE = budget_config(("vendor", 1, 60))


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def operations(operations_url):
    return Operations(operations_url)


def rationed(operations, clock, **budgets):
    return RationedBudget(operations, budgets, clock=clock.now, sleep=clock.sleep)


def make(budget, identity="q", group="g", weight=1, vendor="v"):
    """Make a call that is over at once, or say why it may not be made."""
    with budget.spend(Call(vendor, identity, group, weight)) as spent:
        return spent


def seconds_since_noon(clock):
    return (clock.now() - NOON).total_seconds()


def rows_of_calls(operations):
    with operations.reading() as connection:
        return connection.execute(sa.select(VENDOR_CALLS).order_by(VENDOR_CALLS.c.id)).all()


def test_a_call_waits_for_its_turn(operations, clock):
    budget = rationed(operations, clock, v=ONE_PER_MINUTE)
    assert make(budget) is None
    assert make(budget) is None
    assert seconds_since_noon(clock) == 60.000001


def test_a_turn_too_far_away_is_refused_at_once_and_reserves_nothing(operations, clock):
    config = budget_config(("vendor", 1, 60), longest_wait_seconds=59)
    budget = rationed(operations, clock, v=config)
    assert make(budget) is None
    refused = BudgetRefusal(
        "at most 1 calls in any 60 seconds", NOON + dt.timedelta(seconds=60, microseconds=1)
    )
    assert [make(budget), make(budget)] == [refused, refused]
    assert clock.now() == NOON
    assert len(rows_of_calls(operations)) == 1


def test_a_budget_that_never_waits_still_gives_turns_that_are_free(operations, clock):
    budget = rationed(operations, clock, v=budget_config(("vendor", 1, 60), longest_wait_seconds=0))
    assert make(budget) is None
    assert isinstance(make(budget), BudgetRefusal)


def test_a_restart_resets_nothing(operations_url, clock):
    """Alpha Vantage allows five calls a minute and 25 a day."""
    for number in range(25):
        if number and number % 5 == 0:
            clock.sleep(60.2)
        budget = rationed(Operations(operations_url), clock, **SHIPPED)
        assert make(budget, vendor="alpha_vantage") is None
    spent = make(rationed(Operations(operations_url), clock, **SHIPPED), vendor="alpha_vantage")
    assert spent == BudgetRefusal(
        "at most 25 calls in any 86400 seconds",
        NOON + dt.timedelta(seconds=86400, milliseconds=100, microseconds=1),
    )


def test_every_shipped_budget_rations_to_its_first_limit(operations, clock):
    budget = rationed(operations, clock, **SHIPPED)
    first_limits = {
        "ibkr": 60,
        "yahoo": 4,
        "alpaca": 200,
        "alpha_vantage": 5,
        "fred": 120,
        "finnhub": 30,
    }
    assert set(first_limits) == set(SHIPPED)
    for vendor, limit in first_limits.items():
        with operations.transaction() as connection:
            rows = [
                {
                    "vendor": vendor,
                    "identity": f"q{number}",
                    "call_group": f"g{number}",
                    "weight": 1,
                    "granted_at": round(clock.now().timestamp() * 1_000_000),
                    "finished_at": 0,
                }
                for number in range(limit - 1)
            ]
            connection.execute(sa.insert(VENDOR_CALLS), rows)
        before = clock.now()
        assert make(budget, vendor=vendor) is None
        assert clock.now() == before
        late = make(budget, "another", vendor=vendor)
        assert late is not None or clock.now() > before, vendor


def test_vendors_do_not_share_a_budget(operations, clock):
    budget = rationed(operations, clock, v=ONE_PER_MINUTE, w=ONE_PER_MINUTE)
    make(budget, vendor="v")
    make(budget, vendor="w")
    assert clock.now() == NOON


def test_a_vendor_without_a_budget_is_a_mistake_in_the_configuration(operations, clock):
    budget = rationed(operations, clock, v=ONE_PER_MINUTE)
    for act in (
        lambda: make(budget, vendor="polygon"),
        lambda: budget.cool_off("polygon", "429"),
        lambda: budget.remaining("polygon"),
    ):
        with pytest.raises(ConfigurationError, match=r"polygon has no budget(.|\n)*vendors\.json"):
            act()


def test_a_call_heavier_than_a_limit_is_refused(operations, clock):
    with pytest.raises(InputError, match="weight 2 can never be made"):
        make(rationed(operations, clock, v=ONE_PER_MINUTE), weight=2)


def test_identities_of_any_length_are_told_apart(operations, clock):
    budget = rationed(operations, clock, v=budget_config(("identity", 1, 60)))
    long = ",".join(f"SYM{number}" for number in range(2000))
    make(budget, long + "A")
    make(budget, long + "B")
    assert clock.now() == NOON
    make(budget, long + "A")
    assert clock.now() > NOON


def test_a_call_is_open_until_its_block_ends_also_by_an_exception(operations, clock):
    budget = rationed(operations, clock, v=budget_config(open_calls=2))
    with budget.spend(Call("v", "a", "g")):
        assert budget.remaining("v").open_calls == 1
        with pytest.raises(RuntimeError, match="lost"):
            fail_while_open(budget)
        assert budget.remaining("v").open_calls == 1
    assert budget.remaining("v").open_calls == 0


def fail_while_open(budget):
    with budget.spend(Call("v", "b", "g")):
        assert budget.remaining("v").open_calls == 2
        raise RuntimeError("connection lost")


def test_so_many_calls_are_open_at_once_and_no_more(operations, clock):
    config = budget_config(open_calls=2, longest_wait_seconds=3)
    budget = rationed(operations, clock, v=config)
    with ExitStack() as open_calls:
        for identity in "ab":
            open_calls.enter_context(budget.spend(Call("v", identity, "g")))
        spent = make(budget, "c")
        assert spent == BudgetRefusal(
            "at most 2 calls open at once", NOON + dt.timedelta(minutes=10)
        )
        assert seconds_since_noon(clock) == 3
    assert make(budget, "c") is None


def test_an_interrupted_wait_gives_the_turn_back(operations, clock):
    def interrupt(seconds):
        raise KeyboardInterrupt

    make(rationed(operations, clock, v=ONE_PER_MINUTE))
    hasty = RationedBudget(operations, {"v": ONE_PER_MINUTE}, clock=clock.now, sleep=interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(hasty)
    assert len(rows_of_calls(operations)) == 1


def test_a_caller_that_sleeps_past_its_turn_takes_a_new_one(operations, clock):
    def oversleep(seconds):
        clock.sleep(seconds + 30)

    make(rationed(operations, clock, v=ONE_PER_MINUTE))
    slow = RationedBudget(operations, {"v": ONE_PER_MINUTE}, clock=clock.now, sleep=oversleep)
    assert make(slow) is None
    turns = [
        row.granted_at - rows_of_calls(operations)[0].granted_at
        for row in rows_of_calls(operations)
    ]
    assert turns == [0, 90_000_001]
    assert seconds_since_noon(clock) == 90.000001


def test_a_vendor_that_cools_off_is_left_alone(operations_url, clock):
    config = budget_config(cool_off_seconds=100, longest_wait_seconds=50)
    budget = rationed(Operations(operations_url), clock, v=config)
    budget.cool_off("v", "429 Too Many Requests")
    elsewhere = rationed(Operations(operations_url), clock, v=config)
    until = NOON + dt.timedelta(seconds=100)
    assert make(elsewhere) == BudgetRefusal("v is left alone: 429 Too Many Requests", until)
    clock.sleep(50)
    assert make(elsewhere) is None
    assert clock.now() == until


def test_a_cool_off_never_shortens_one_in_force(operations, clock):
    long = budget_config(cool_off_seconds=100)
    short = budget_config(cool_off_seconds=10)
    rationed(operations, clock, v=long).cool_off("v", "first")
    budget = rationed(operations, clock, v=short)
    budget.cool_off("v", "second")
    assert budget.remaining("v").cooling_off == BudgetRefusal(
        "v is left alone: first", NOON + dt.timedelta(seconds=100)
    )


def test_who_waits_while_the_vendor_begins_to_cool_off_waits_longer(operations, clock):
    other = rationed(operations, clock, v=ONE_PER_MINUTE)

    def sleep(seconds):
        if seconds_since_noon(clock) == 0:
            clock.sleep(30)
            other.cool_off("v", "429")
            seconds -= 30
        clock.sleep(seconds)

    budget = RationedBudget(operations, {"v": ONE_PER_MINUTE}, clock=clock.now, sleep=sleep)
    make(budget)
    make(budget)
    assert seconds_since_noon(clock) == 90


def test_what_is_used_can_be_watched(operations, clock):
    config = budget_config(("vendor", 3, 60), ("identity", 1, 10), bucket=(4, 1))
    budget = rationed(operations, clock, v=config)
    make(budget, "a")
    with budget.spend(Call("v", "b", "g", weight=2)):
        use = budget.remaining("v")
    assert [(rule.used, rule.limit) for rule in use.rules] == [(3, 3), (1, 1), (3, 4)]
    assert (use.open_calls, use.waiting_calls, use.cooling_off) == (1, 0, None)
    budget.cool_off("v", "429")
    assert budget.describe("v") == (
        "v: 3 of 3 calls in any 60 seconds, 1 of 1 identical calls in any 10 seconds, "
        "3 of 4 calls at once, then 1 a second, 0 open, 0 waiting, "
        "v is left alone: 429, until 12:01:00 UTC"
    )


def test_old_calls_are_struck_out_and_change_nothing(operations, clock, monkeypatch):
    monkeypatch.setattr(budgets_module, "TURNS_BETWEEN_CLEANINGS", 10)
    budget = rationed(operations, clock, v=ONE_PER_MINUTE)
    for number in range(40):
        make(budget, f"q{number}")
    assert seconds_since_noon(clock) == pytest.approx(39 * 60, abs=0.01)
    assert len(rows_of_calls(operations)) == 11  # ten minutes, in which open calls may count


def test_identical_calls_do_not_block_the_others_behind_them(operations):
    clock = SimulatedClock(threads=4)
    config = budget_config(("identity", 1, 15), ("vendor", 60, 600))
    budget = rationed(operations, clock, v=config)
    made = run_workers(clock, budget, [["same"], ["same"], ["same"], ["other", "others"]])
    times = {identity: at for at, identity, _ in made}
    assert times["other"] == times["others"] == 0
    assert sorted(at for at, identity, _ in made if identity == "same") == [0, 15.000001, 30.000002]


def test_workers_take_turns(operations):
    """Only the first to come may be one call ahead: it made one before the others had begun."""
    clock = SimulatedClock(threads=4)
    budget = rationed(operations, clock, v=ONE_PER_MINUTE)
    made = run_workers(clock, budget, [[f"{w}.{n}" for n in range(6)] for w in range(4)])
    assert heaviest([(at, 1) for at, _, _ in made], 60) == 1
    assert made[-1][0] == pytest.approx(23 * 60.000001)
    for length in range(len(made) - 4):
        counts = Counter(worker for _, _, worker in made[:length])
        assert max(counts.values(), default=0) - min(counts[worker] for worker in range(4)) <= 2


def run_workers(clock, budget, tasks):
    """Make each worker's calls in a thread of its own: (seconds since noon, identity, worker)."""
    made, errors = [], []

    def work(worker):
        try:
            for identity in tasks[worker]:
                with budget.spend(Call("v", identity, "g")) as spent:
                    assert spent is None
                    made.append((seconds_since_noon(clock), identity, worker))
        except BaseException as error:  # carried to the test
            errors.append(error)
        finally:
            clock.leave()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert len(made) == sum(map(len, tasks))
    return sorted(made)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rules=st.lists(
        st.tuples(
            st.sampled_from(["vendor", "group", "identity"]),
            st.integers(2, 4),
            st.sampled_from([0.5, 2, 15]),
        ),
        max_size=3,
    ),
    bucket=st.none() | st.tuples(st.integers(2, 4), st.sampled_from([0.5, 2])),
    margin=st.sampled_from([0.0, 0.3]),
    asked=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from("gh"),
            st.integers(1, 2),
            st.sampled_from([0, 0, 0.4, 3]),
        ),
        max_size=12,
    ),
)
def test_any_mix_of_calls_and_rules_keeps_every_rule(
    tmp_path_factory, rules, bucket, margin, asked
):
    path = tmp_path_factory.mktemp("book") / "operations.sqlite"
    clock = SimulatedClock()
    config = budget_config(*rules, bucket=bucket, margin_seconds=margin)
    budget = rationed(Operations(f"sqlite:///{path}"), clock, v=config)
    made = []
    for identity, group, weight, pause in asked:
        assert make(budget, identity, group, weight) is None
        made.append((seconds_since_noon(clock), identity, group, weight))
        if pause:
            clock.sleep(pause)
    for per, limit, seconds in rules:
        counted = defaultdict(list)
        for at, identity, group, weight in made:
            key = {"vendor": "", "group": group, "identity": identity}[per]
            counted[key].append((at, 1 if per == "identity" else weight))
        assert all(heaviest(rows, seconds + margin) <= limit for rows in counted.values())
    if bucket:
        for first in range(len(made)):
            for last in range(first, len(made)):
                weight = sum(row[3] for row in made[first : last + 1])
                gained = max(0, made[last][0] - made[first][0] - margin) * bucket[1]
                assert weight <= bucket[0] + gained + 1e-5


@pytest.mark.slow
def test_interactive_brokers_pacing_holds_for_ten_thousand_requests(tmp_path):
    """80 symbols, every fifth request BID_ASK (counts twice), every tenth repeated at once."""
    verify_pacing(f"sqlite:///{tmp_path / 'operations.sqlite'}", requests=10_000)


def test_interactive_brokers_pacing_holds_on_either_store(operations_url):
    verify_pacing(operations_url, requests=100)


def verify_pacing(url, requests):
    clock = SimulatedClock()
    made = []
    total = 0
    for number in range(requests):
        if number in (0, requests // 2):  # the start, and a restart in the middle
            budget = rationed(Operations(url), clock, ibkr=SHIPPED["ibkr"])
        same = number - 1 if number % 10 == 9 else number
        kind, weight = ("BID_ASK", 2) if same % 5 == 0 else ("TRADES", 1)
        contract = f"SYM{same % 80}@SMART {kind}"
        asked_at = clock.now()
        call = Call("ibkr", f"{contract} {same}", contract, weight)
        with budget.spend(call) as spent:
            assert spent is None
            at = (clock.now() - NOON) // dt.timedelta(microseconds=1)
            if clock.now() > asked_at:
                assert breaks_a_rule(made, at - 1, call, margin=500_000), number
        made.append((at, call))
        total += weight
    assert_no_violation(made)
    # Sixty in ten minutes bind: the last request begins no later than that rule demands, but for
    # weights of two that leave one of the sixty unused, and identical ones, which wait once.
    windows = total / 59
    assert made[-1][0] / 1e6 <= windows * 600.5


def breaks_a_rule(made, at, call, margin):
    """Tell whether a call at that time would break a rule that is widened by a margin."""
    recent = [(time, other) for time, other in made[-61:] if at - time <= 600_000_000 + margin]
    same_contract = [pair for pair in recent if pair[1].group == call.group]
    within_2_s = [c.weight for t, c in same_contract if at - t <= 2_000_000 + margin]
    within_15_s = [t for t, c in recent if c.identity == call.identity]
    return (
        any(at - time <= 15_000_000 + margin for time in within_15_s)
        or sum(within_2_s) + call.weight >= 6
        or sum(c.weight for _, c in recent) + call.weight > 60
    )


def assert_no_violation(made):
    """Interactive Brokers: a pacing violation is what one of these three finds."""
    identical, contracts = defaultdict(list), defaultdict(list)
    for at, call in made:
        identical[call.identity].append((at, 1))
        contracts[call.group].append((at, call.weight))
    # "Making identical historical data requests within 15 seconds."
    assert all(heaviest(rows, 15_000_000) <= 1 for rows in identical.values())
    # "Making six or more requests for the same Contract, Exchange and Tick Type within 2 seconds."
    assert all(heaviest(rows, 2_000_000) < 6 for rows in contracts.values())
    # "Making more than 60 requests within any ten minute period"; BID_ASK is counted twice.
    assert heaviest([(at, call.weight) for at, call in made], 600_000_000) <= 60
