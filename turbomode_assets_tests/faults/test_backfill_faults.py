"""A range backfill that is killed on its way, and run again. Real `dagster`, real kills."""

import datetime as dt
import random
import time
from pathlib import Path

import polars as pl
import pytest

from turbomode_assets.contracts.tables import MASTER_TABLES
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.builders import run_assets
from turbomode_assets_tests.faults.platforms import KILLED, Platform, kill_while
from turbomode_assets_tests.market import DERIVED, INGESTION, NIGHT

pytestmark = pytest.mark.slow

ASSETS = INGESTION + DERIVED
LOGGED = {"audits"}
"""Says of each run what it looked at, and so differs where a run was repeated."""
TABLES = (*(set(MASTER_TABLES) - LOGGED), "bars", "repairs", "features", "labels")
DERIVED_BARS = ("1wk", "1mo")
CANDLES = {f"candles {timeframe}" for timeframe in ("1d", *DERIVED_BARS)}
"""Parts of the one table that are committed each by itself."""
HISTORY = SessionSpan(dt.date(2016, 8, 1), dt.date(2016, 12, 16))
BACKFILL = SessionSpan(dt.date(2016, 12, 5), dt.date(2017, 1, 6))
"""Overlaps what is stored, and crosses the year: a commit replaces one file and adds another."""

STAGES = [
    (
        "while raw candles are fetched",
        r"read master/symbol_metadata .* caller=raw_candles ",
        {"symbol_metadata", "sector_mappings", "splits", "dividends"},
    ),
    (
        "after the commit of daily candles, before weekly ones",
        r"write master/candles ",
        {"candles 1d", "data_quality_log"},
    ),
    (
        "after the audit, before bars",
        r"read master/symbol_metadata .* caller=bars ",
        CANDLES | {"partition_status"},
    ),
    ("between bars and their repairs", r"write lake/default/bars ", {"bars"}),
    ("while features are computed", r"read lake/default/bars .* caller=features ", {"repairs"}),
    ("after features, before labels", r"write lake/default/features ", {"features"}),
    ("before Dagster hears of the labels", r"write lake/default/labels ", {"labels"}),
]
"""Where the command dies, at which log line, and what it committed since the stage before."""

DECIDING = ["drift_metrics", "signals", "outcomes"]
MEMORY_TABLES = (
    "active_signals",
    "signal_history",
    "price_data",
    "sector_stats",
    "drift_monitoring",
    "drift_verdicts",
    "signal_outcomes",
)
ATTEMPTS = 5


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A platform with some history."""
    platform = Platform(tmp_path_factory.mktemp("stored"))
    assert platform.finish(platform.start(ASSETS, HISTORY)) == 0
    return platform


@pytest.fixture(scope="module")
def undisturbed(stored, tmp_path_factory):
    """What the tables hold after a backfill that nobody kills, and the seconds it takes."""
    platform = stored.copy(tmp_path_factory.mktemp("undisturbed") / "market")
    started = time.monotonic()
    assert platform.finish(platform.start(ASSETS, BACKFILL)) == 0
    seconds = time.monotonic() - started
    return rows_of(platform), seconds


def rows_of(platform):
    tables = {table: platform.rows(table) for table in TABLES}
    candles = tables.pop("candles")
    for part in CANDLES:
        is_part = pl.col("timeframe") == part.removeprefix("candles ")
        tables[part] = candles.filter(is_part)
    return tables


def assert_each_table_is_one_of(platform, *states):
    for table, rows in rows_of(platform).items():
        assert any(rows.equals(state[table]) for state in states), table


def assert_every_version_can_be_read(platform):
    for table in TABLES:
        for version in range(platform.reader_of(table).version(table) + 1):
            platform.rows(table, version=version)


def assert_no_candle_arrived_twice(platform, earlier):
    """Candles that were stored before keep the time of their arrival."""
    keys = ["symbol", "timeframe", "ts", "session"]
    both = earlier.join(platform.arrivals(), on=keys, how="left", suffix="_now", validate="1:1")
    assert both.get_column("ingested_at").equals(both.get_column("ingested_at_now"))


def complete(platform, expected):
    """Run the backfill to its end: now every table is that of an undisturbed run."""
    earlier = platform.arrivals()
    assert platform.finish(platform.start(ASSETS, BACKFILL)) == 0
    assert_each_table_is_one_of(platform, expected)
    assert_no_candle_arrived_twice(platform, earlier)
    assert_every_version_can_be_read(platform)
    sessions = {str(session) for session in BACKFILL.sessions}
    for asset in ("raw_candles", *DERIVED):
        assert sessions <= platform.materialized(asset), asset


def log_of(folder: Path):
    return len(list((folder / "_delta_log").glob("*.json")))


def between_data_and_log(folder: Path):
    """Hold while a new data file lies in a table's folder that its log does not know."""
    files, entries = set(folder.rglob("*.parquet*")), log_of(folder)
    return lambda: log_of(folder) == entries and not files.issuperset(folder.rglob("*.parquet*"))


def just_committed(folder: Path):
    """Hold from a table's next log entry on."""
    entries = log_of(folder)
    return lambda: log_of(folder) > entries


def test_a_backfill_that_dies_at_every_stage_loses_doubles_and_tears_nothing(
    stored, undisturbed, tmp_path
):
    """One platform dies stage after stage: each run has the remains of all before it to pass."""
    platform = stored.copy(tmp_path / "market")
    before, after = rows_of(stored), undisturbed[0]
    for table in (*CANDLES, "bars", "features", "labels"):
        assert before[table].height < after[table].height
    committed = set()
    for stage, line, tables in STAGES:
        assert platform.finish(platform.start(ASSETS, BACKFILL, die_at=line)) == KILLED, stage
        committed |= tables
        expected = {table: (after if table in committed else before)[table] for table in after}
        assert_each_table_is_one_of(platform, expected)
        assert_no_candle_arrived_twice(platform, stored.arrivals())
    complete(platform, after)


@pytest.mark.parametrize(
    ("table", "moment"),
    [
        ("features", between_data_and_log),
        ("features", just_committed),
        ("candles", between_data_and_log),
    ],
)
def test_a_backfill_that_dies_within_a_commit_has_either_rows(
    stored, undisturbed, tmp_path, table, moment
):
    before, after = rows_of(stored), undisturbed[0]
    for attempt in range(ATTEMPTS):
        platform = stored.copy(tmp_path / f"market_{attempt}")
        folder = Path(platform.reader_of(table).uri(table))
        process = platform.start(ASSETS, BACKFILL)
        if kill_while(process, moment(folder)):
            break
    else:
        pytest.fail(f"no commit of {table} was slow enough to be caught")
    assert platform.finish(process) == KILLED
    expected = after if moment is just_committed else before
    part = "candles 1d" if table == "candles" else table
    assert rows_of(platform)[part].equals(expected[part])
    assert_each_table_is_one_of(platform, before, after)
    complete(platform, after)


def test_a_backfill_killed_at_random_is_whole_and_completed_by_a_rerun(
    stored, undisturbed, tmp_path
):
    platform = stored.copy(tmp_path / "market")
    (after, seconds), chance = undisturbed, random.Random(20151228)
    for _ in range(2):
        process = platform.start(ASSETS, BACKFILL)
        time.sleep(seconds * chance.uniform(0.3, 0.95))
        process.kill()
        platform.finish(process)
        assert_each_table_is_one_of(platform, rows_of(stored), after)
    complete(platform, after)


def memory_of(platform):
    return {table: platform.memory(table) for table in MEMORY_TABLES}


def test_nights_that_die_within_a_transaction_of_model_memory_leave_it_whole(market, tmp_path):
    nights = SessionSpan(NIGHT, offset_session(NIGHT, 2))
    run_assets(market, ASSETS, nights)
    platform = Platform(tmp_path / "market")
    before = memory_of(platform)
    quiet = platform.copy(tmp_path / "quiet")
    run_assets(quiet.settings, DECIDING, nights)
    after = memory_of(quiet)
    write_ahead = platform.settings.memory_path.with_name("turbomode.duckdb.wal")
    for step in DECIDING:
        for _ in range(ATTEMPTS):
            process = platform.start([step], nights)
            if kill_while(process, write_ahead.exists):
                break
        else:
            pytest.fail(f"no transaction of {step} was slow enough to be caught")
        assert platform.finish(process) == KILLED
        for table, rows in memory_of(platform).items():
            assert rows.equals(before[table]) or rows.equals(after[table]), table
    line = r"write lake/default/predictions "
    assert platform.finish(platform.start(DECIDING, nights, die_at=line)) == KILLED
    assert platform.finish(platform.start(DECIDING, nights)) == 0
    for table, rows in memory_of(platform).items():
        assert rows.equals(after[table]), table
    assert platform.rows("predictions").equals(quiet.rows("predictions"))
