import datetime as dt

import polars as pl
import pytest
from deltalake import DeltaTable

from turbomode_assets.contracts.errors import ContractError, MissingDataError, StoreError
from turbomode_assets.contracts.table import Column, TableContract
from turbomode_assets.contracts.tables import BARS, CANDLES, SYMBOL_METADATA
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.delta import Scope, open_table, replace_rows, scan_table
from turbomode_assets_tests.builders import make_bars, make_candles, make_universe

FRIDAY, MONDAY = dt.date(2017, 11, 10), dt.date(2017, 11, 13)
BOTH = SessionSpan(FRIDAY, MONDAY)


def write_bars(uri, frame, span):
    return replace_rows(uri, frame, BARS, owner="lake/a", scope=Scope(span), caller="test")


def stored(uri, contract=BARS, owner="lake/a"):
    return scan_table(open_table(uri, contract, owner), contract, Scope()).collect()


def test_what_is_written_is_what_is_read(tmp_path):
    uri = str(tmp_path / "bars")
    bars = make_bars(["AAA", "BBB"], BOTH)
    written = write_bars(uri, bars, BOTH)
    assert written.rows == 4
    assert stored(uri).sort("symbol", "session").equals(bars)


def test_a_session_is_replaced_and_its_neighbours_stay(tmp_path):
    uri = str(tmp_path / "bars")
    write_bars(uri, make_bars(["AAA", "BBB"], BOTH), BOTH)
    monday = SessionSpan(MONDAY, MONDAY)
    write_bars(uri, make_bars(["AAA"], monday, close=7.0), monday)
    kept = stored(uri).sort("session", "symbol")
    assert kept.select("symbol", "session").rows() == [
        ("AAA", FRIDAY),
        ("BBB", FRIDAY),
        ("AAA", MONDAY),
    ]
    assert kept.row(2, named=True)["close"] == 7.0


def test_an_empty_frame_empties_the_span(tmp_path):
    uri = str(tmp_path / "bars")
    write_bars(uri, make_bars(["AAA"], BOTH), BOTH)
    write_bars(uri, BARS.empty(), SessionSpan(MONDAY, MONDAY))
    assert stored(uri).get_column("session").to_list() == [FRIDAY]


def test_rows_outside_the_scope_are_refused_and_nothing_changes(tmp_path):
    uri = str(tmp_path / "bars")
    write_bars(uri, make_bars(["AAA"], BOTH), BOTH)
    with pytest.raises(ContractError, match=r"outside the scope.*session=2017-11-13"):
        write_bars(uri, make_bars(["AAA"], BOTH, close=9.0), SessionSpan(FRIDAY, FRIDAY))
    assert stored(uri).get_column("close").unique().to_list() == [10.0]


def test_a_frame_that_breaks_the_contract_leaves_no_table_behind(tmp_path):
    uri = str(tmp_path / "bars")
    with pytest.raises(ContractError, match="open is not above 0"):
        write_bars(uri, make_bars(["AAA"], BOTH, close=-1.0), BOTH)
    assert not DeltaTable.is_deltatable(uri)


def test_a_range_across_the_new_year_lies_in_two_partitions(tmp_path):
    uri = str(tmp_path / "bars")
    span = SessionSpan(dt.date(2015, 12, 30), dt.date(2016, 1, 5))
    write_bars(uri, make_bars(["AAA"], span), span)
    assert sorted(p["year"] for p in DeltaTable(uri).partitions()) == ["2015", "2016"]
    assert stored(uri).height == 4


def candle_scope(*symbols):
    return Scope(BOTH, (("symbol", symbols), ("timeframe", ("1d",))))


def write_candles(uri, frame, *symbols):
    return replace_rows(
        uri, frame, CANDLES, owner="master", scope=candle_scope(*symbols), caller="test"
    )


def test_one_symbol_added_later_deletes_no_other(tmp_path):
    uri = str(tmp_path / "candles")
    write_candles(uri, make_candles(["AAA", "BBB"], BOTH), "AAA", "BBB")
    write_candles(uri, make_candles(["CCC"], BOTH), "CCC")
    assert stored(uri, CANDLES, "master").get_column("symbol").n_unique() == 3


def test_the_same_payload_again_keeps_its_arrival_time_and_commits_nothing(tmp_path):
    uri = str(tmp_path / "candles")
    early, late = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 2, tzinfo=dt.UTC)
    first = write_candles(uri, make_candles(["AAA"], BOTH, ingested_at=early), "AAA")
    again = write_candles(uri, make_candles(["AAA"], BOTH, ingested_at=late), "AAA")
    assert not again.committed
    assert again.version == first.version
    assert stored(uri, CANDLES, "master").get_column("ingested_at").unique().to_list() == [early]


def test_a_revised_payload_arrives_anew_and_the_others_keep_their_time(tmp_path):
    uri = str(tmp_path / "candles")
    early, late = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 2, tzinfo=dt.UTC)
    write_candles(uri, make_candles(["AAA"], BOTH, ingested_at=early), "AAA")
    revised = make_candles(["AAA"], BOTH, ingested_at=late).with_columns(
        payload_sha256=pl.when(pl.col("session") == MONDAY)
        .then(pl.lit("revised"))
        .otherwise("payload_sha256")
    )
    assert write_candles(uri, revised, "AAA").committed
    arrived = stored(uri, CANDLES, "master").sort("session").get_column("ingested_at").to_list()
    assert arrived == [early, late]


def test_a_write_must_state_the_whole_scope_of_its_contract(tmp_path):
    with pytest.raises(ContractError, match="must state its span"):
        replace_rows(
            str(tmp_path / "candles"),
            make_candles(["AAA"], BOTH),
            CANDLES,
            owner="master",
            scope=Scope(BOTH, (("symbol", ("AAA",)),)),
            caller="test",
        )


def test_a_quote_in_a_symbol_stays_a_value(tmp_path):
    uri = str(tmp_path / "candles")
    write_candles(uri, make_candles(["AAA"], BOTH), "AAA")
    write_candles(uri, make_candles(["B' OR 'A'='A"], BOTH), "B' OR 'A'='A")
    assert stored(uri, CANDLES, "master").get_column("symbol").n_unique() == 2


def test_a_table_that_was_never_written_says_what_to_do(tmp_path):
    with pytest.raises(MissingDataError, match="materialize the asset"):
        open_table(str(tmp_path / "bars"), BARS, "lake/a")


def test_a_table_of_a_newer_layout_is_refused(tmp_path, monkeypatch):
    uri = str(tmp_path / "bars")
    monkeypatch.setattr("turbomode_assets.stores.delta.LAYOUT_VERSION", 2)
    write_bars(uri, make_bars(["AAA"], BOTH), BOTH)
    monkeypatch.undo()
    with pytest.raises(StoreError, match="has layout 2; this program knows 1"):
        stored(uri)
    with pytest.raises(StoreError, match="has layout 2"):
        write_bars(uri, make_bars(["AAA"], BOTH, close=9.0), BOTH)


def test_another_owners_table_is_refused(tmp_path):
    uri = str(tmp_path / "bars")
    write_bars(uri, make_bars(["AAA"], BOTH), BOTH)
    with pytest.raises(StoreError, match="table is lake/a/bars, not lake/b/bars"):
        open_table(uri, BARS, "lake/b")


def test_a_damaged_log_is_a_clear_error(tmp_path):
    uri = tmp_path / "bars"
    write_bars(str(uri), make_bars(["AAA"], BOTH), BOTH)
    for entry in (uri / "_delta_log").glob("*.json"):
        entry.write_text("{ not json")
    with pytest.raises(StoreError, match="cannot be opened"):
        stored(str(uri))


def wider_bars(nullable):
    return TableContract(
        name="bars",
        store="lake",
        description="one column more",
        columns=(*BARS.columns, Column("extra", pl.Float64(), "", nullable=nullable)),
        key=BARS.key,
        sort_by=BARS.sort_by,
        partition_by=BARS.partition_by,
        span_column="session",
    )


def test_a_table_with_other_columns_is_not_written(tmp_path):
    uri = str(tmp_path / "bars")
    write_bars(uri, make_bars(["AAA"], BOTH), BOTH)
    frame = make_bars(["AAA"], BOTH).with_columns(extra=pl.lit(1.0))
    with pytest.raises(StoreError, match="only in the program: extra"):
        replace_rows(
            uri, frame, wider_bars(False), owner="lake/a", scope=Scope(BOTH), caller="test"
        )


def test_a_nullable_column_is_added_and_reads_as_null_before_it_existed(tmp_path):
    uri, wider = str(tmp_path / "bars"), wider_bars(True)
    write_bars(uri, make_bars(["AAA"], BOTH), BOTH)
    old = open_table(uri, wider, "lake/a")
    last = SessionSpan(BOTH.last, BOTH.last)
    frame = make_bars(["AAA"], last).with_columns(extra=pl.lit(1.0))
    replace_rows(uri, frame, wider, owner="lake/a", scope=Scope(last), caller="test")
    now = open_table(uri, wider, "lake/a")
    by_session = scan_table(now, wider, Scope(BOTH)).sort("session").collect()
    assert by_session["extra"].to_list() == [None] * (by_session.height - 1) + [1.0]
    assert scan_table(old, wider, Scope(BOTH)).collect()["extra"].null_count() == by_session.height


def test_the_same_rows_again_commit_nothing(tmp_path):
    uri = str(tmp_path / "bars")
    first = write_bars(uri, make_bars(["AAA"], BOTH), BOTH)
    again = write_bars(uri, make_bars(["AAA"], BOTH), BOTH)
    assert (again.version, again.committed) == (first.version, False)
    assert write_bars(uri, make_bars(["AAA"], BOTH, close=9.0), BOTH).committed


def test_an_unchanged_fact_keeps_the_time_at_which_it_was_first_known(tmp_path):
    uri = str(tmp_path / "symbol_metadata")
    early, late = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 2, tzinfo=dt.UTC)

    def write(universe):
        scope = Scope(None, (("symbol", ("AAA", "BBB")),))
        return replace_rows(
            uri, universe, SYMBOL_METADATA, owner="master", scope=scope, caller="test"
        )

    universe = make_universe(["AAA", "BBB"]).with_columns(
        knowledge_ts=pl.lit(early).dt.cast_time_unit("us")
    )
    write(universe)
    renamed = universe.with_columns(
        knowledge_ts=pl.lit(late).dt.cast_time_unit("us"),
        name=pl.when(pl.col("symbol") == "BBB").then(pl.lit("B plc")).otherwise("name"),
    )
    write(renamed)
    known = stored(uri, SYMBOL_METADATA, "master").sort("symbol").get_column("knowledge_ts")
    assert known.to_list() == [early, late]
