"""What differs between two versions of a table, against a comparison of every row."""

import datetime as dt
import random
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from turbomode_assets.contracts.quality_log import NO_DATA
from turbomode_assets.contracts.tables import CELL
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores.changes import appended_rows, changed_groups, rows_where
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.builders import make_candles, make_log

FIRST = dt.date(2019, 12, 2)
SPAN = SessionSpan(FIRST, offset_session(FIRST, 39))
"""Of two years, and so of two partitions."""
NAMES = ["AAA", "BBB", "CCC"]


@pytest.fixture
def writer(tmp_path):
    writer = MasterWriter(str(tmp_path))
    put(writer, make_candles(NAMES, SPAN), SPAN, NAMES)
    return writer


def put(writer, candles, span, symbols, timeframe="1d"):
    rows = candles.with_columns(timeframe=pl.lit(timeframe))
    writer.replace(
        "candles", rows, span=span, symbols=symbols, timeframes=[timeframe], caller="test"
    )


def put_cell(writer, symbol, session, timeframe="1d", close=10.0, **values):
    one = SessionSpan(session, session)
    rows = make_candles([symbol], one, close=close).with_columns(
        pl.lit(value).alias(name) for name, value in values.items()
    )
    put(writer, rows, one, [symbol], timeframe)


def delete(writer, symbol, session, timeframe="1d"):
    one = SessionSpan(session, session)
    put(writer, make_candles([symbol], one).clear(), one, [symbol], timeframe)


def at(writer, version):
    return writer.read("candles", caller="test", version=version).rows


def compared_by_hand(writer, since):
    """Cells of rows that only one of the two versions holds."""
    rows = pl.concat([at(writer, since).unique(), at(writer, None).unique()])
    return set(rows.filter(rows.is_unique()).select(CELL).iter_rows())


def changed(writer, since, **more):
    return set(changed_groups(writer, "candles", since, CELL, **more).iter_rows())


@pytest.mark.parametrize("seed", range(2))
def test_changed_groups_are_those_that_a_comparison_of_every_row_finds(writer, seed):
    chance, versions = random.Random(seed), [writer.version("candles")]
    for _ in range(8):
        symbol, session = chance.choice(NAMES), chance.choice(SPAN.sessions)
        timeframe = chance.choice(["1d", "1h"])
        if chance.random() < 0.4:
            delete(writer, symbol, session, timeframe)
        else:
            put_cell(writer, symbol, session, timeframe, close=chance.choice([10.0, 11.0]))
        versions.append(writer.version("candles"))
    for since in versions:
        assert changed(writer, since) == compared_by_hand(writer, since)


def test_nothing_differs_from_the_version_that_is_there(writer):
    assert changed(writer, writer.version("candles")) == set()


def test_everything_differs_from_the_empty_table(writer):
    assert len(changed(writer, 0)) == len(NAMES) * 40


def test_a_value_that_changed_under_its_old_digest_is_seen(writer):
    since, digest = writer.version("candles"), f"AAA-{SPAN.last}-10.0"
    put_cell(writer, "AAA", SPAN.last, close=10.5, payload_sha256=digest)
    assert changed(writer, since) == {("AAA", "1d", SPAN.last)}


def test_what_was_changed_and_put_back_is_no_difference(writer):
    since = writer.version("candles")
    put_cell(writer, "AAA", SPAN.last, close=11.0)
    put_cell(writer, "AAA", SPAN.last)
    assert writer.version("candles") == since + 2
    assert changed(writer, since) == set()


def test_files_that_were_only_joined_are_no_difference(writer):
    put_cell(writer, "AAA", SPAN.last, timeframe="1h")
    since = writer.version("candles")
    table = DeltaTable(writer.uri("candles"))
    table.optimize.compact()
    table.optimize.z_order(["symbol"])
    assert writer.version("candles") > since
    assert changed(writer, since) == set()


def test_only_the_timeframes_asked_for_are_compared(writer):
    since = writer.version("candles")
    put_cell(writer, "AAA", FIRST, close=11.0)
    put_cell(writer, "BBB", FIRST, timeframe="1h")
    assert changed(writer, since, timeframes=["1h"]) == {("BBB", "1h", FIRST)}


def test_only_files_of_the_touched_partitions_and_sessions_are_read(writer):
    since = writer.version("candles")
    put_cell(writer, "AAA", SPAN.last, close=11.0)
    (untouched,) = Path(writer.uri("candles")).glob("timeframe=1d/year=2019/*.parquet")
    untouched.rename(untouched.with_suffix(".away"))
    assert changed(writer, since) == {("AAA", "1d", SPAN.last)}


def test_a_version_whose_files_were_vacuumed_is_gone(writer):
    since = writer.version("candles")
    put_cell(writer, "AAA", SPAN.last, close=11.0)
    DeltaTable(writer.uri("candles")).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert changed_groups(writer, "candles", since, CELL) is None


def test_a_version_whose_log_was_cleaned_away_is_gone(writer):
    since = writer.version("candles")
    put_cell(writer, "AAA", SPAN.last, close=11.0)
    DeltaTable(writer.uri("candles")).create_checkpoint()
    for version in range(since + 1):
        (Path(writer.uri("candles")) / "_delta_log" / f"{version:020}.json").unlink()
    assert changed_groups(writer, "candles", since, CELL) is None
    assert changed(writer, writer.version("candles")) == set()


def note(writer, symbol, session):
    row = {"symbol": symbol, "first_session": session, "session": session, "kind": NO_DATA}
    writer.append("data_quality_log", make_log(row), caller="test")
    return writer.version("data_quality_log")


def test_rows_appended_between_two_versions_are_told_whole(writer):
    first = note(writer, "AAA", FIRST)
    second = note(writer, "BBB", FIRST)
    third = note(writer, "CCC", FIRST)
    told = appended_rows(writer, "data_quality_log", first)
    stored = writer.read("data_quality_log", caller="test").rows
    assert told.sort("symbol").equals(stored.filter(pl.col("symbol") != "AAA"))
    until_second = appended_rows(writer, "data_quality_log", first, second)
    assert until_second["symbol"].to_list() == ["BBB"]
    assert appended_rows(writer, "data_quality_log", third).is_empty()


def test_a_log_whose_version_was_cleaned_away_says_none(writer):
    first = note(writer, "AAA", FIRST)
    note(writer, "BBB", FIRST)
    DeltaTable(writer.uri("data_quality_log")).optimize.compact()
    DeltaTable(writer.uri("data_quality_log")).vacuum(
        0, dry_run=False, enforce_retention_duration=False
    )
    assert appended_rows(writer, "data_quality_log", first) is None


def test_rows_where_a_condition_holds_are_read_at_the_version_asked_for(writer):
    since = writer.version("candles")
    put_cell(writer, "AAA", SPAN.last, close=11.0)
    dear = pl.col("close") > 10
    assert rows_where(writer, "candles", dear, CELL).rows() == [("AAA", "1d", SPAN.last)]
    assert rows_where(writer, "candles", dear, CELL, since).is_empty()
