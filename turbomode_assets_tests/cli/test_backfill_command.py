"""`turbomode backfill` and `turbomode status` as people type them."""

import datetime as dt

import dagster as dg
import pytest
from click.testing import CliRunner

from turbomode_assets.cli import main
from turbomode_assets.orchestration.resources.ingestion import IngestionResource
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import MasterReader
from turbomode_assets_tests.builders import small_settings
from turbomode_assets_tests.cli.test_command_line import WEEK, archive_settings, candles_file
from turbomode_assets_tests.market import AS_OF
from turbomode_assets_tests.orchestration.assets.test_audit import (
    GONE,
    HOLE,
    audit,
    candles_at,
    put,
)


@pytest.fixture
def typed(market, monkeypatch, tmp_path):
    """Type a command in a folder of the market's own, with a Dagster home."""
    monkeypatch.setenv("TURBOMODE_DATA_ROOT", market.data_root)
    monkeypatch.setenv("TURBOMODE_CONFIG_DIR", market.config_dir)
    monkeypatch.setenv("TURBOMODE_TENANT", market.tenant)
    monkeypatch.chdir(tmp_path)
    with dg.instance_for_test():
        yield lambda *words, say=None: CliRunner().invoke(main, list(words), input=say)


@pytest.fixture
def holed(market):
    """The market without one candle, audited, and that candle."""
    candles = candles_at(market, GONE, HOLE)
    put(market, GONE, HOLE, candles.clear())
    audit(market, AS_OF)
    return candles


def saturday_before(session):
    return session - dt.timedelta(days=session.weekday() + 2)


def sunday_after(session):
    return session + dt.timedelta(days=6 - session.weekday())


def test_days_are_snapped_the_plan_is_shown_and_nothing_starts_without_a_yes(typed, holed, market):
    first, last = saturday_before(HOLE), sunday_after(HOLE)
    result = typed("backfill", "--from", str(first), "--to", str(last), say="n\n")
    monday, friday = first + dt.timedelta(days=2), last - dt.timedelta(days=2)
    assert f"Missing in {SessionSpan(monday, friday)}: 1 cells" in result.output
    assert "simulated: 0 calls if it answers alone" in result.output
    assert "Start?" in result.output
    assert result.exit_code == 1
    assert candles_at(market, GONE, HOLE).is_empty()


def test_a_hole_is_filled_and_the_ledger_says_so(typed, holed, market):
    day = str(HOLE)
    result = typed("backfill", "--from", day, "--to", day, "--symbols", GONE, "--yes")
    assert result.exit_code == 0, result.output
    assert f"Done: what was asked for in {day} is queued no more." in result.output
    assert candles_at(market, GONE, HOLE).drop("ingested_at").equals(holed.drop("ingested_at"))
    ledger = MasterReader(market.master_root).read(
        "partition_status", caller="test", span=SessionSpan(HOLE, HOLE), symbols=[GONE]
    )
    assert ledger.rows["verdict"].to_list() == ["GREEN"]
    assert IngestionResource(settings=market).open().operations.queued().is_empty()
    again = typed("backfill", "--from", day, "--to", day, "--yes")
    assert f"Nothing is missing in {day}." in again.output


def test_only_the_symbols_that_were_named_are_fetched(typed, market):
    other, day = "SIM002", str(HOLE)
    for symbol in (GONE, other):
        put(market, symbol, HOLE, candles_at(market, symbol, HOLE).clear())
    result = typed("backfill", "--from", day, "--to", day, "--symbols", GONE, "--yes")
    assert result.exit_code == 0, result.output
    assert f"Done: what was asked for in {day} is queued no more." in result.output
    assert candles_at(market, GONE, HOLE).height
    assert candles_at(market, other, HOLE).is_empty()
    # The audit of the session has found it, and leaves it to whoever asks for it.
    queued = IngestionResource(settings=market).open().operations.queued()
    assert queued["symbol"].to_list() == [other]
    (command,) = [line for line in result.output.splitlines() if "asset materialize" in line]
    assert command.endswith(f"--partition-range {day}...{day}")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--from", "2017-11-11", "--to", "2017-11-12"), "no session that has closed"),
        (
            ("--from", "2015-06-01", "--to", "2015-06-02", "--symbols", "XXX"),
            "no such symbols: XXX",
        ),
        (("--from", "2015-06-01", "--to", "2015-06-02", "--timeframes", "5m"), "not fetched: 5m"),
    ],
)
def test_what_cannot_be_filled_is_refused_with_the_remedy(typed, words, complaint):
    result = typed("backfill", *words)
    assert result.exit_code == 1
    assert complaint in result.output
    assert "fix:" in result.output


def test_on_an_empty_store_reference_data_are_fetched_first(tmp_path, monkeypatch):
    settings = small_settings(tmp_path)
    monkeypatch.setenv("TURBOMODE_DATA_ROOT", settings.data_root)
    monkeypatch.setenv("TURBOMODE_CONFIG_DIR", settings.config_dir)
    with dg.instance_for_test():
        words = ["backfill", "--from", "2015-06-01", "--to", "2015-06-05", "--yes"]
        result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    stored = MasterReader(settings.master_root).count(
        "candles", "timeframe", span=SessionSpan(dt.date(2015, 6, 1), dt.date(2015, 6, 5))
    )
    assert stored["1d"] >= 30


def test_a_window_that_nobody_can_fill_fails_by_name_and_keeps_the_others(tmp_path, monkeypatch):
    settings = archive_settings(tmp_path)
    candles_file().write_parquet(tmp_path / "data" / "archive" / "candles.parquet")
    monkeypatch.setenv("TURBOMODE_DATA_ROOT", settings.data_root)
    monkeypatch.setenv("TURBOMODE_CONFIG_DIR", settings.config_dir)
    with dg.instance_for_test():
        words = ["backfill", "--from", "2017-08-28", "--to", str(WEEK.last), "--yes"]
        result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "windows failed" in result.output
    assert "the archive holds 2017-11-06 to 2017-11-10 only" in result.output
    stored = MasterReader(settings.master_root).count("candles", "timeframe", span=WEEK)
    assert stored["1d"] == 10
    queued = IngestionResource(settings=settings).open().operations.queued()
    assert set(queued["attempts"]) == {1}


def test_status_tells_what_is_missing_why_and_what_is_queued(typed, holed):
    told = typed("status").output
    assert "RED" in told
    assert "missing" in told
    assert "1 live" in told


def test_status_of_an_empty_store_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TURBOMODE_DATA_ROOT", str(tmp_path))
    result = CliRunner().invoke(main, ["status"])
    assert "Nothing was audited yet." in result.output
    assert "make demo" in result.output
