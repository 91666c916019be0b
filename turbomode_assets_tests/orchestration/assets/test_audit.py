"""The audit in the graph: what the ledger says after candles vanish, arrive late or are damaged."""

import datetime as dt

import dagster as dg
import polars as pl
import pytest

from turbomode_assets.contracts.tables import SPLITS
from turbomode_assets.orchestration.resources.ingestion import IngestionResource
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.builders import make_rows, run_assets
from turbomode_assets_tests.market import AS_OF, HISTORY, NIGHT

HOLE = offset_session(AS_OF, -30)
GONE = "SIM003"


def ledger_of(settings, **cell):
    rows = MasterReader(settings.master_root).read("partition_status", caller="test").rows
    return rows.filter(pl.all_horizontal(True, *(pl.col(n) == value for n, value in cell.items())))


def audits_of(settings):
    return MasterReader(settings.master_root).read("audits", caller="test").rows


def log_of(settings, kind):
    log = MasterReader(settings.master_root).read("data_quality_log", caller="test").rows
    return log.filter(pl.col("kind") == kind)


def tools_of(settings):
    return IngestionResource(settings=settings).open()


def candles_at(settings, symbol, session):
    one = SessionSpan(session, session)
    read = MasterReader(settings.master_root).read(
        "candles", caller="test", span=one, symbols=[symbol], timeframes=["1d"]
    )
    return read.rows


def put(settings, symbol, session, candles):
    MasterWriter(settings.master_root).replace(
        "candles",
        candles,
        span=SessionSpan(session, session),
        symbols=[symbol],
        timeframes=["1d"],
        caller="test",
    )


def audit(settings, first, last=None):
    run_assets(settings, ["audit"], SessionSpan(first, last or first))


@pytest.fixture
def holed(market):
    """The market, audited after one candle of an old session was lost."""
    candles = candles_at(market, GONE, HOLE)
    put(market, GONE, HOLE, candles.clear())
    audit(market, AS_OF)
    return market, candles


def test_the_ledger_has_a_row_for_every_listed_symbol_and_session(market):
    ledger = ledger_of(market)
    assert ledger["session"].unique().sort().to_list() == HISTORY.sessions
    listed = MasterReader(market.master_root).read("symbol_metadata", caller="test").rows
    begun = listed.filter(pl.col("first_session").fill_null(AS_OF) <= AS_OF)
    assert set(ledger["symbol"]) == set(begun["symbol"])
    assert ledger["verdict"].to_list().count("GREEN") / ledger.height > 0.99


def test_a_lost_candle_is_found_by_an_audit_of_another_session_and_queued(holed):
    settings, _ = holed
    row = ledger_of(settings, symbol=GONE, session=HOLE).row(0, named=True)
    assert (row["expected_rows"], row["actual_rows"]) == (1, 0)
    assert (row["verdict"], row["reasons"]) == ("RED", "missing")
    queued = tools_of(settings).operations.queued().row(0, named=True)
    assert (queued["symbol"], queued["first_session"], queued["last_session"]) == (GONE, HOLE, HOLE)
    assert audits_of(settings)["changed"].to_list()[-1] == 1


def test_an_audit_looks_only_at_what_changed_and_at_the_newest_sessions(holed):
    settings, _ = holed
    whole = ledger_of(settings).height
    looked_at = audits_of(settings)["cells"].to_list()[-1]
    assert looked_at < whole / 4
    audit(settings, AS_OF)
    again = audits_of(settings).row(-1, named=True)
    assert (again["cells"] < whole / 10, again["changed"]) == (True, 0)


def test_a_candle_that_arrives_late_turns_its_cell_green_and_is_logged(holed):
    settings, candles = holed
    put(settings, GONE, HOLE, candles)
    audit(settings, AS_OF)
    row = ledger_of(settings, symbol=GONE, session=HOLE).row(0, named=True)
    assert (row["verdict"], row["actual_rows"]) == ("GREEN", 1)
    late = log_of(settings, "late_candles").select("symbol", "session")
    assert late.rows() == [(GONE, HOLE)]
    audit(settings, AS_OF)
    assert ledger_of(settings, symbol=GONE, session=HOLE)["reasons"].item() == "late"


def test_a_damaged_candle_is_told_by_its_digest(market):
    candles = candles_at(market, GONE, HOLE)
    put(market, GONE, HOLE, candles.with_columns(pl.col("close") + 0.01, pl.col("high") + 0.01))
    assert ledger_of(market, symbol=GONE, session=HOLE)["verdict"].item() == "GREEN"
    audit(market, HOLE)
    row = ledger_of(market, symbol=GONE, session=HOLE).row(0, named=True)
    assert row["verdict"] == "RED"
    assert "checksum_mismatch" in row["reasons"].split(",")


def test_a_late_split_is_logged_once_and_changes_no_bar(market):
    splits = MasterReader(market.master_root).read("splits", caller="test").rows
    known_at = dt.datetime(2015, 12, 2, tzinfo=dt.UTC)
    late = make_rows(
        SPLITS,
        {"symbol": GONE, "session": HOLE, "ex_date": HOLE, "ratio": 2.0},
        knowledge_ts=known_at,
        vendor="simulated",
    )
    own = pl.concat([splits.filter(pl.col("symbol") == GONE), late])
    MasterWriter(market.master_root).replace("splits", own, span=None, symbols=[GONE], caller="t")
    audit(market, AS_OF)
    audit(market, AS_OF)
    logged = log_of(market, "late_action").select("symbol", "session", "column", "new_value")
    assert logged.rows() == [(GONE, HOLE, "split", 2.0)]


def test_a_session_that_was_skipped_is_noticed_by_the_next_ones_audit(market):
    after = offset_session(NIGHT, 1)
    run_assets(market, ["raw_candles", "audit"], SessionSpan(after, after))
    skipped = ledger_of(market, session=NIGHT)
    assert set(skipped["verdict"]) == {"RED"}
    assert set(skipped["reasons"]) == {"missing"}


def test_too_poor_a_session_stops_the_run_before_bars_and_the_log_names_it(market):
    run_assets(market, ["raw_candles"], SessionSpan(NIGHT, NIGHT))
    symbols = ledger_of(market)["symbol"].unique().sort().to_list()
    for symbol in symbols[:5]:
        put(market, symbol, NIGHT, candles_at(market, symbol, NIGHT).clear())
    instance = dg.DagsterInstance.ephemeral()
    result = run_assets(
        market,
        ["audit", "bars"],
        SessionSpan(NIGHT, NIGHT),
        instance=instance,
        raise_on_error=False,
    )
    assert not result.success
    evaluations = {each.check_name: each for each in result.get_asset_check_evaluations()}
    check = evaluations["sessions_are_complete"]
    assert not check.passed
    command = f"turbomode backfill --from {NIGHT} --to {NIGHT}"
    assert check.metadata["fix"].value.startswith(command)
    share = 1 - 5 / len(symbols)
    said = f"less than 50% is GREEN: {NIGHT} {share:.1%}\n  fix: {command}"
    assert any(said in entry.user_message for entry in instance.all_logs(result.run_id))
    assert "bars" not in [event.step_key for event in result.all_events if event.is_step_start]
