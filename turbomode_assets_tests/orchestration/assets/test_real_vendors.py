"""Ingestion through Dagster, from a fake gateway and a fake Yahoo to the tables of the master."""

import datetime as dt
import logging

import dagster as dg
import polars as pl
import pytest

from turbomode_assets.contracts.fundamentals import METRICS
from turbomode_assets.contracts.tables import MASTER_TABLES
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import MasterReader
from turbomode_assets_tests.builders import REPOSITORY, run_assets, write_configs
from turbomode_assets_tests.market import INGESTION
from turbomode_assets_tests.vendors.fake_yahoo import FakeYahoo
from turbomode_assets_tests.vendors.fake_yahoo_market import Listing
from turbomode_assets_tests.vendors.ib_vendors import patient_gateway

WEEK = SessionSpan(dt.date(2024, 6, 24), dt.date(2024, 6, 28))
SYMBOLS = ("AAPL", "BTC-USD", "SPY")
SPLIT_DAY, DIVIDEND_DAY = dt.date(2024, 8, 12), dt.date(2024, 6, 26)
PASSWORD = "sesame-5f1c"
ACCOUNT = "DU7654321"


def write_universe(configs, symbols):
    universe = pl.read_csv(REPOSITORY / "configs" / "universe.csv")
    universe.filter(pl.col("symbol").is_in(symbols)).write_csv(configs / "universe.csv")


@pytest.fixture
def yahoo(tmp_path, monkeypatch):
    (tmp_path / "certificates").mkdir()
    with FakeYahoo(tmp_path / "certificates") as yahoo:
        yahoo.now = dt.datetime.now(dt.UTC)
        yahoo.listings["AAPL"] = Listing(
            "Apple Inc.",
            sector="Technology",
            splits={SPLIT_DAY: (4, 1)},
            dividends={DIVIDEND_DAY: 0.5},
            values={"financialData": {"totalCash": 5e10}, "summaryDetail": {"beta": 1.2}},
        )
        accounts = {"financialData": {"totalCash": 1e10}}
        yahoo.listings["KO"] = Listing("Coca-Cola", sector="Consumer Defensive", values=accounts)
        for name, value in yahoo.environment.items():
            monkeypatch.setenv(name, value)
        yield yahoo


@pytest.fixture
def gateway():
    with patient_gateway(account=ACCOUNT) as gateway:
        yield gateway


@pytest.fixture
def settings(tmp_path, gateway, yahoo):
    (tmp_path / "data").mkdir()
    configs = write_configs(
        tmp_path / "configs",
        **{
            "precedence": ["ibkr", "yahoo"],
            "ibkr.port": gateway.port,
            "ibkr.requests": {"1d": {"bar_size": "1 day", "duration": "1 Y"}},
            "budgets.ibkr.windows": [],
            "budgets.yahoo.windows": [],
            "budgets.yahoo.bucket": None,
            "fetch.retry_wait_seconds": 0,
        },
    )
    write_universe(configs, SYMBOLS)
    return SettingsResource(data_root=str(tmp_path / "data"), config_dir=str(configs))


def table(settings, name):
    return MasterReader(settings.master_root).read(name, caller="test").rows


def test_two_vendors_fill_all_eight_tables_and_are_not_asked_again(settings, gateway, yahoo):
    assert run_assets(settings, INGESTION, WEEK).success
    tables = {name: table(settings, name) for name in MASTER_TABLES}
    daily = tables["candles"].filter(pl.col("timeframe") == "1d")
    # Monday's session holds the weekend's days of a market without weekends.
    assert dict(daily.group_by("symbol").len().iter_rows()) == {"AAPL": 5, "BTC-USD": 7, "SPY": 5}
    assert set(daily["vendor"]) == {"ibkr"}
    assert set(tables["candles"]["timeframe"]) == {"1d", "1wk"}
    assert tables["splits"].select("symbol", "ex_date", "ratio", "vendor").rows() == [
        ("AAPL", SPLIT_DAY, 4.0, "yahoo")
    ]
    # Both in shares after the split: half a dollar of a share, and 100 + 25 of the day before.
    dividend = tables["dividends"].row(0, named=True)
    assert (dividend["ex_date"], dividend["amount"]) == (DIVIDEND_DAY, 0.125)
    assert set(tables["sector_mappings"]["vocabulary"]) == {"GICS", "IBKR", "Yahoo"}
    assert set(tables["fundamentals"]["metric"]) <= set(METRICS)
    assert tables["fundamentals"].height > 0
    assert tables["symbol_metadata"]["symbol"].to_list() == list(SYMBOLS)
    assert set(tables["db_metadata"]["table"]) == set(MASTER_TABLES)

    asked = len(gateway.requests), len(yahoo.requests)
    assert run_assets(settings, INGESTION, WEEK).success
    assert (len(gateway.requests), len(yahoo.requests)) == asked
    for name, rows in tables.items():
        if name != "audits":  # it says of each run what it looked at
            assert table(settings, name).equals(rows), name


def test_a_symbol_added_to_the_universe_is_fetched_by_the_same_command(settings, gateway, tmp_path):
    run_assets(settings, INGESTION, WEEK)
    before = table(settings, "candles")
    write_universe(tmp_path / "configs", (*SYMBOLS, "KO"))
    gateway.requests.clear()
    run_assets(settings, INGESTION, WEEK)
    asked = {request.contract.symbol for request in gateway.requests if request.kind == "bars"}
    assert asked == {"KO"}
    after = table(settings, "candles")
    assert after.filter(pl.col("symbol") != "KO").equals(before)
    assert after.filter(pl.col("symbol") == "KO", pl.col("timeframe") == "1d").height == 5


def test_without_a_gateway_yahoo_serves_and_the_log_says_why(settings, gateway):
    gateway.stop()
    assert run_assets(settings, [*INGESTION, "bars"], WEEK).success
    candles = table(settings, "candles").filter(pl.col("timeframe") == "1d")
    assert set(candles["vendor"]) == {"yahoo"}
    log = table(settings, "data_quality_log").filter(pl.col("kind") == "failover")
    assert set(log["symbol"]) == set(SYMBOLS)
    assert set(log["other_vendor"]) == {"ibkr"}
    assert log["detail"].str.starts_with("unreachable").all()


def test_no_secret_reaches_a_log_an_error_metadata_or_a_store(
    settings, yahoo, monkeypatch, caplog, capfd, tmp_path
):
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://someone:{PASSWORD}@127.0.0.1:{yahoo.port}")
    caplog.set_level(logging.DEBUG)
    with dg.DagsterInstance.local_temp(str(tmp_path / "data")) as instance:
        assert run_assets(settings, INGESTION, WEEK, instance=instance).success
        monkeypatch.setenv(
            "TURBOMODE_OPERATIONS_URL", f"postgresql://someone:{PASSWORD}@127.0.0.1:1/nowhere"
        )
        failed = run_assets(
            settings, ["raw_candles"], WEEK, instance=instance, raise_on_error=False
        )
        assert not failed.success
        assert "operations store" in str(failed.all_events)
    output = capfd.readouterr()
    told = [caplog.text, str(failed.all_events), output.out, output.err]
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    told += [path.read_bytes().decode("latin-1") for path in files]
    for secret in (PASSWORD, ACCOUNT):
        assert not [text[:200] for text in told if secret in text]
