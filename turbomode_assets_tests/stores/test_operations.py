"""Leases and checks on either database; opening one, and what can be wrong with it."""

import datetime as dt
import pickle
import threading
import traceback

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import InputError, StoreError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.operations.database import OperationsDatabase
from turbomode_assets.stores.operations.schema import LEASES
from turbomode_assets.stores.operations.store import Operations, utc_now
from turbomode_assets_tests.stores.operations_workers import SimulatedClock

MONDAY, TUESDAY, FRIDAY = dt.date(2024, 1, 8), dt.date(2024, 1, 9), dt.date(2024, 1, 12)
WEEK = SessionSpan(MONDAY, FRIDAY)


@pytest.fixture
def clock():
    return SimulatedClock()


@pytest.fixture
def operations(operations_url, clock):
    return Operations(operations_url, clock=clock.now)


def test_a_lease_shuts_out_others_until_it_is_given_back(operations):
    assert operations.try_lease("AAPL", "ann", 60)
    assert not operations.try_lease("AAPL", "bob", 60)
    assert operations.try_lease("AAPL", "ann", 60)
    operations.release(["AAPL"], "bob")
    assert not operations.try_lease("AAPL", "bob", 60)
    operations.release(["AAPL"], "ann")
    assert operations.try_lease("AAPL", "bob", 60)


def test_a_lease_that_ran_out_can_be_taken_over(operations, clock):
    assert operations.try_lease("AAPL", "ann", 60)
    clock.sleep(59.999999)
    assert not operations.try_lease("AAPL", "bob", 60)
    clock.sleep(0.000001)
    assert operations.try_lease("AAPL", "bob", 60)
    assert operations.renew(["AAPL"], "ann", 60) == set()


def test_a_renewed_lease_runs_from_then_on(operations, clock):
    operations.lease_many(["AAPL", "MSFT"], "ann", 60)
    clock.sleep(50)
    assert operations.renew(["AAPL", "GOOG"], "ann", 60) == {"AAPL"}
    clock.sleep(20)
    assert operations.lease_many(["AAPL", "MSFT"], "bob", 60) == {"MSFT"}


def test_a_lease_that_ran_out_but_was_taken_by_nobody_can_be_renewed(operations, clock):
    operations.try_lease("AAPL", "ann", 60)
    clock.sleep(600)
    assert operations.renew(["AAPL"], "ann", 60) == {"AAPL"}
    assert not operations.try_lease("AAPL", "bob", 60)


def test_of_many_leases_those_that_are_free_are_taken(operations):
    names = [f"question {number}" for number in range(12_000)]
    assert operations.lease_many(names[:10], "ann", 60) == set(names[:10])
    assert operations.lease_many(names, "bob", 60) == set(names[10:])
    assert operations.lease_many([], "bob", 60) == set()
    operations.release(names, "bob")
    assert operations.lease_many(names[9:11], "eve", 60) == {names[10]}


def test_a_lease_for_no_time_is_refused(operations):
    with pytest.raises(InputError, match="0 seconds"):
        operations.try_lease("AAPL", "ann", 0)


actions = st.tuples(
    st.sampled_from(["take", "renew", "release"]),
    st.sampled_from(["ann", "bob", "eve"]),
    st.sets(st.sampled_from("ABC"), min_size=1),
    st.integers(0, 40),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(actions, max_size=20))
def test_nobody_holds_what_another_was_given(tmp_path_factory, taken):
    """Against a plain table of who was given what until when."""
    clock = SimulatedClock()
    path = tmp_path_factory.mktemp("leases") / "operations.sqlite"
    operations = Operations(f"sqlite:///{path}", clock=clock.now)
    held: dict[str, tuple[str, dt.datetime]] = {}
    for action, owner, names, pause in taken:
        now, until = clock.now(), clock.now() + dt.timedelta(seconds=30)
        mine = {name for name in names if held.get(name, ("", now))[0] == owner}
        if action == "take":
            free = {name for name in names if name not in held or held[name][1] <= now}
            assert operations.lease_many(names, owner, 30) == mine | free
            held |= dict.fromkeys(mine | free, (owner, until))
        elif action == "renew":
            assert operations.renew(names, owner, 30) == mine
            held |= dict.fromkeys(mine, (owner, until))
        else:
            operations.release(names, owner)
            held = {name: lease for name, lease in held.items() if name not in mine}
        clock.sleep(pause)


def check(symbol, session, as_of, timeframe="1d"):
    return {"symbol": symbol, "timeframe": timeframe, "session": session, "as_of": as_of}


def test_checks_are_read_by_kind_and_sessions(operations):
    operations.record_checks(
        "candles",
        [
            check("MSFT", TUESDAY, FRIDAY),
            check("AAPL", MONDAY, MONDAY),
            check("AAPL", FRIDAY, FRIDAY),
            check("AAPL", MONDAY, TUESDAY, "1h"),
        ],
    )
    operations.record_checks("fundamentals", [check("AAPL", MONDAY, FRIDAY)])
    found = operations.checks("candles", MONDAY, TUESDAY)
    assert found.rows() == [
        ("AAPL", "1d", MONDAY, MONDAY),
        ("AAPL", "1h", MONDAY, TUESDAY),
        ("MSFT", "1d", TUESDAY, FRIDAY),
    ]
    narrow = operations.checks("candles", MONDAY, FRIDAY, symbols=["AAPL"], timeframe="1d")
    assert narrow["session"].to_list() == [MONDAY, FRIDAY]
    assert operations.checks("splits", MONDAY, FRIDAY).is_empty()


def test_an_earlier_check_does_not_replace_a_later_one(operations):
    operations.record_checks("candles", [check("AAPL", MONDAY, TUESDAY)])
    operations.record_checks(
        "candles", [check("AAPL", MONDAY, FRIDAY), check("AAPL", MONDAY, MONDAY)]
    )
    operations.record_checks("candles", [check("AAPL", MONDAY, TUESDAY)])
    assert operations.checks("candles", MONDAY, MONDAY)["as_of"].to_list() == [FRIDAY]


def test_many_checks_are_recorded_at_once(operations):
    span = SessionSpan(dt.date(2022, 1, 3), dt.date(2022, 12, 30))
    rows = [check(f"SYM{n}", day, FRIDAY) for n in range(20) for day in span.sessions]
    operations.record_checks("candles", rows)
    operations.record_checks("candles", rows)
    assert operations.checks("candles", span.first, span.last).height == 20 * 251


def test_a_failed_transaction_leaves_nothing(operations):
    with pytest.raises(StoreError, match="cannot be used"):
        insert_one_lease_twice(operations)
    assert operations.try_lease("AAPL", "bob", 60)


def insert_one_lease_twice(operations):
    with operations.transaction() as connection:
        for owner in ("ann", "bob"):
            row = {"name": "AAPL", "owner": owner, "expires_at": 1}
            connection.execute(sa.insert(LEASES).values(row))


def test_an_operations_store_travels_pickled(operations_url):
    here = Operations(operations_url)
    assert here.try_lease("AAPL", "ann", 60)
    there = pickle.loads(pickle.dumps(here))
    assert not there.try_lease("AAPL", "bob", 60)
    assert pickle.loads(pickle.dumps(OperationsDatabase(operations_url))).place == here.place


def test_threads_open_a_new_store_at_the_same_time(operations_url):
    together = threading.Barrier(6)
    got: list[str] = []

    def work(name):
        operations = Operations(operations_url)
        together.wait(60)
        if operations.try_lease("first", name, 60):
            got.append(name)

    threads = [threading.Thread(target=work, args=(f"worker {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 1


def test_threads_share_one_store(operations):
    got: list[set[str]] = []
    names = [f"q{number}" for number in range(20)]

    def work(owner):
        got.append({name for name in names if operations.try_lease(name, owner, 60)})

    threads = [threading.Thread(target=work, args=(f"worker {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(name for each in got for name in each) == sorted(names)


def test_a_closed_store_opens_again(operations):
    operations.try_lease("AAPL", "ann", 60)
    operations.close()
    operations.close()
    assert not operations.try_lease("AAPL", "bob", 60)


SECRET_URLS = [
    "postgresql://ann:s3cr%40t@127.0.0.1:1/operations",
    "postgresql+psycopg://ann:s3cr%40t@127.0.0.1:1/operations",
    "postgres://ann@127.0.0.1:1/operations?password=s3cr%40t",
    "postgresql://ann:x@s3cr@t@127.0.0.1:1/operations",
    "postgresql://ann:s3cr@t/t@127.0.0.1:1/operations",
    "postgresql://ann:x@127.0.0.1:s3cr@t/operations",
    "mysql://ann:s3cr%40t@127.0.0.1:1/operations",
    "s3cr@t",
    "postgresql://ann:s3cr%40t@127.0.0.1:1/operations?unheard_of=s3cr%40t",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_an_unusable_server_is_explained_without_the_password(url):
    with pytest.raises(StoreError) as caught:
        Operations(url).try_lease("AAPL", "ann", 60)
    told = "".join(traceback.format_exception(caught.value))
    lines = [line for line in told.splitlines() if "SECRET_URLS" not in line]
    assert not any("s3cr" in line for line in lines), told
    assert "fix:" in str(caught.value)


def test_a_store_shows_itself_without_its_password():
    operations = Operations("postgresql://ann:s3cret@127.0.0.1/db?password=s3cret&sslmode=require")
    assert repr(operations) == "Operations('postgresql+psycopg://ann:***@127.0.0.1/db')"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "duckdb:///x", "", "/x.sqlite"])
def test_a_url_that_names_no_store_is_refused(url):
    with pytest.raises(StoreError, match="names neither a SQLite file nor PostgreSQL"):
        Operations(url)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "operations.sqlite"
    path.write_text("a shopping list\n" * 100, encoding="utf-8")
    with pytest.raises(StoreError, match="not a database"):
        Operations(f"sqlite:///{path}").queued()
    assert path.read_text(encoding="utf-8").startswith("a shopping list")


def test_a_folder_that_cannot_be_made_is_explained(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be used(.|\n)*operations\.sqlite"):
        Operations(f"sqlite:///{tmp_path / 'file' / 'operations.sqlite'}").queued()


def test_the_wall_clock_is_in_utc():
    assert utc_now().utcoffset() == dt.timedelta(0)
