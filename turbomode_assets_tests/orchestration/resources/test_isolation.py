"""Two tenants on one master: neither reaches the other's stores, and neither writes the master."""

import warnings

import dagster as dg
import duckdb
import polars as pl
import pytest

from turbomode_assets.contracts.errors import (
    ConfigurationError,
    InputError,
    ReadOnlyError,
    StoreError,
)
from turbomode_assets.ingestion.fetched import FetchResult
from turbomode_assets.orchestration.definitions import build_resources, guarded
from turbomode_assets.orchestration.partitions import SESSIONS
from turbomode_assets.orchestration.resources.master_writer import MasterWriterIOManager
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import MasterReader
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets_tests.builders import make_bars, make_candles, run_assets, small_settings
from turbomode_assets_tests.market import NIGHT

ONE_NIGHT = SessionSpan(NIGHT, NIGHT)


@pytest.fixture
def tenants(tmp_path):
    return small_settings(tmp_path, tenant="alpha"), small_settings(tmp_path, tenant="beta")


@pytest.fixture
def filled(tenants):
    """Both tenants have bars and a memory; the master has candles."""
    alpha, beta = tenants
    writer = MasterWriter(alpha.master_root)
    candles = make_candles(["AAA", "BBB"], ONE_NIGHT)
    writer.replace("candles", candles, span=ONE_NIGHT, symbols=["AAA", "BBB"], caller="test")
    for settings, close in ((alpha, 1.0), (beta, 2.0)):
        lake = LakeResource(settings=settings).open()
        lake.replace("bars", make_bars(["AAA"], ONE_NIGHT, close=close), span=ONE_NIGHT, caller="")
        MemoryResource(settings=settings).open().query("SELECT 1")
    return alpha, beta


def master_state(settings):
    reader = MasterReader(settings.master_root)
    return reader.version("candles"), reader.read("candles", caller="test").rows


def test_each_tenant_reads_its_own_lake_and_the_shared_master(filled):
    closes = []
    for settings in filled:
        lake = LakeResource(settings=settings).open()
        closes.append(lake.read("bars", caller="test").rows.item(0, "close"))
        shared = MasterReaderResource(settings=settings).open().read("candles", caller="test")
        assert shared.rows.height == 2
    assert closes == [1.0, 2.0]


@pytest.mark.parametrize("name", ["../beta/bars", "bars/../../beta/bars", "/etc/passwd", "beta"])
def test_a_lake_knows_no_table_outside_its_folder(filled, name):
    with pytest.raises(InputError, match="has no table"):
        LakeResource(settings=filled[0]).open().read(name, caller="test")


@pytest.mark.parametrize(
    "name", ["../beta", "alpha/../beta", "", " ", "Beta", "a/b", "..", "x" * 80]
)
def test_a_tenant_name_cannot_leave_its_folder(filled, name):
    settings = filled[0].model_copy(update={"tenant": name or "/"})
    with pytest.raises(ConfigurationError, match="is no tenant name"):
        LakeResource(settings=settings).open()


def test_a_lake_swapped_for_another_tenants_is_refused(filled):
    alpha, beta = filled
    (alpha.root / "lake" / "alpha").rename(alpha.root / "lake" / "put-aside")
    (beta.root / "lake" / "beta").rename(beta.root / "lake" / "alpha")
    with pytest.raises(StoreError, match="table is lake/beta/bars, not lake/alpha/bars"):
        LakeResource(settings=alpha).open().read("bars", caller="test")


def test_a_memory_swapped_for_another_tenants_is_refused(filled):
    alpha, beta = filled
    beta.memory_path.replace(alpha.memory_path)
    with pytest.raises(StoreError, match="belongs to tenant 'beta'"):
        MemoryResource(settings=alpha).open().query("SELECT 1")


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH '{beta}' AS beta",
        "SELECT * FROM read_parquet('{lake}/*/*.parquet')",
        "COPY (SELECT 1) TO '{master}/candles/evil.parquet'",
    ],
)
def test_the_memory_connection_reaches_neither_the_other_tenant_nor_the_master(filled, statement):
    alpha, beta = filled
    text = statement.format(
        beta=beta.memory_path, lake=f"{beta.lake_root}/bars", master=alpha.master_root
    )
    with (
        MemoryResource(settings=alpha).open().transaction() as connection,
        pytest.raises(duckdb.PermissionException),
    ):
        connection.execute(text)


@pytest.mark.parametrize(
    "statement",
    [
        "COPY candles TO '{master}/candles/evil.parquet'",
        "COPY (SELECT 1) TO '{master}/evil.csv' (USE_TMP_FILE false)",
        "INSERT INTO candles SELECT * FROM candles",
        "DELETE FROM candles",
        "DROP TABLE candles",
        "ATTACH '{beta}' AS beta",
        "SET enable_external_access = true",
        "SELECT * FROM read_parquet('{lake}/*/*.parquet')",
    ],
)
def test_the_sql_connection_over_the_master_reads_and_writes_nothing(filled, statement):
    alpha, beta = filled
    before = master_state(alpha)
    files = sorted(path for path in alpha.root.joinpath("master").rglob("*"))
    connection = MasterReaderResource(settings=alpha).open().connect()
    assert connection.sql("SELECT count(*) FROM candles").fetchall() == [(2,)]
    text = statement.format(
        beta=beta.memory_path, lake=f"{beta.lake_root}/bars", master=alpha.master_root
    )
    with pytest.raises(duckdb.Error):
        connection.execute(text)
    version, rows = master_state(alpha)
    assert (version, rows.equals(before[1])) == (before[0], True)
    assert sorted(path for path in alpha.root.joinpath("master").rglob("*")) == files


def test_the_reader_has_no_method_that_writes():
    public = {name for name in dir(MasterReader) if not name.startswith("_")}
    assert public == {
        "any_value",
        "connect",
        "contract",
        "count",
        "distinct",
        "exists",
        "has_rows",
        "owner",
        "read",
        "read_complete",
        "stored_sessions",
        "stored_span",
        "tables",
        "uri",
        "version",
    }


def definitions_with(asset, settings):
    return dg.Definitions(assets=[asset], resources=build_resources(settings))


def test_an_asset_that_outputs_through_the_readers_io_manager_fails_and_writes_nothing(filled):
    alpha, _ = filled
    before = master_state(alpha)

    @dg.asset(name="candles", io_manager_key="master_reader", partitions_def=SESSIONS)
    def rogue() -> pl.DataFrame:
        return make_candles(["EVIL"], ONE_NIGHT)

    definitions = guarded(definitions_with(rogue, alpha))
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        partition_key=str(NIGHT), raise_on_error=False
    )
    failures = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    assert "tried to write the master store" in failures[0].error.to_string()
    version, rows = master_state(alpha)
    assert (version, rows.equals(before[1])) == (before[0], True)


def test_definitions_with_an_asset_bound_to_the_writer_do_not_load(tenants):
    @dg.asset(io_manager_key="master_writer", partitions_def=SESSIONS)
    def rogue() -> FetchResult:
        return FetchResult(make_candles(["EVIL"], ONE_NIGHT), ["EVIL"])

    with pytest.raises(ReadOnlyError, match=r"could write the master store: .*rogue"):
        guarded(definitions_with(rogue, tenants[0]))


def test_definitions_with_an_asset_that_asks_for_the_writer_do_not_load(tenants):
    @dg.asset(required_resource_keys={"master_writer"})
    def rogue(context: dg.AssetExecutionContext) -> None:
        context.resources.master_writer.handle_output(None, None)

    with pytest.raises(ReadOnlyError, match=r"could write the master store: .*rogue"):
        guarded(definitions_with(rogue, tenants[0]))


def writer_of(settings):
    return MasterWriterIOManager(master=MasterReaderResource(settings=settings))


def test_an_asset_that_brings_its_own_writer_does_not_load(tenants):
    @dg.asset(io_manager_def=writer_of(tenants[0]), partitions_def=SESSIONS)
    def rogue() -> FetchResult:
        return FetchResult(make_candles(["EVIL"], ONE_NIGHT), ["EVIL"])

    with pytest.raises(ReadOnlyError, match="rogue"):
        guarded(definitions_with(rogue, tenants[0]))


class Wrapper(dg.ConfigurableResource):
    inner: MasterWriterIOManager


def test_a_writer_under_another_key_or_inside_a_resource_does_not_load(tenants):
    resources = build_resources(tenants[0])
    for name, resource in (
        ("innocent", writer_of(tenants[0])),
        ("wrapped", Wrapper(inner=writer_of(tenants[0]))),
    ):
        with pytest.raises(ReadOnlyError, match=f"resource {name}"):
            guarded(dg.Definitions(resources=resources | {name: resource}))


def test_a_check_a_job_and_a_sensor_that_ask_for_the_writer_do_not_load(tenants):
    resources = build_resources(tenants[0])

    @dg.asset
    def harmless() -> None:
        return None

    @dg.asset_check(asset=harmless, required_resource_keys={"master_writer"})
    def rogue_check() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True)

    @dg.op(required_resource_keys={"master_writer"})
    def rogue_op() -> None:
        return None

    @dg.job(resource_defs={"master_writer": dg.ResourceDefinition.none_resource()})
    def rogue_job() -> None:
        rogue_op()

    @dg.sensor(job=rogue_job, required_resource_keys={"master_writer"})
    def rogue_sensor() -> dg.SkipReason:
        return dg.SkipReason("never")

    for name, definitions in (
        (
            "rogue_check",
            dg.Definitions([harmless], asset_checks=[rogue_check], resources=resources),
        ),
        ("rogue_job", dg.Definitions(jobs=[rogue_job], resources=resources)),
        ("rogue_sensor", dg.Definitions(sensors=[rogue_sensor], resources=resources)),
    ):
        with pytest.raises(ReadOnlyError, match=name):
            guarded(definitions)


def test_an_asset_with_an_ingestion_name_in_another_group_of_keys_is_refused(tenants):
    @dg.asset(key=["mine", "raw_candles"], io_manager_key="master_writer", partitions_def=SESSIONS)
    def rogue() -> FetchResult:
        return FetchResult(make_candles(["EVIL"], ONE_NIGHT), ["EVIL"])

    with pytest.raises(ReadOnlyError, match="mine/raw_candles"):
        guarded(definitions_with(rogue, tenants[0]))


def test_two_tenants_derive_side_by_side_from_one_master(tenants):
    alpha, beta = tenants
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ingestion = ["symbol_metadata", "sector_mappings", "splits", "dividends", "raw_candles"]
        run_assets(alpha, ingestion, ONE_NIGHT)
        before = master_state(alpha)
        for settings in tenants:
            run_assets(settings, ["bars"], ONE_NIGHT)
    assert master_state(beta)[0] == before[0]
    assert (alpha.root / "lake" / "alpha" / "bars").is_dir()
    assert (beta.root / "lake" / "beta" / "bars").is_dir()


def test_simulated_candles_never_join_real_ones(filled):
    alpha, _ = filled
    real = make_candles(["AAA"], ONE_NIGHT, vendor="archive")
    before = master_state(alpha)
    with pytest.raises(StoreError, match="simulated and real market data would share a table"):
        MasterWriter(alpha.master_root).replace(
            "candles", real, span=ONE_NIGHT, symbols=["AAA"], caller="test"
        )
    assert master_state(alpha)[0] == before[0]


@pytest.mark.parametrize(
    ("root", "complaint"),
    [(None, "is not set"), ("data", "not an absolute path"), ("/no/such/folder", "is no folder")],
)
def test_a_missing_or_relative_data_root_is_a_clear_error(monkeypatch, root, complaint):
    monkeypatch.delenv("TURBOMODE_DATA_ROOT", raising=False)
    if root:
        monkeypatch.setenv("TURBOMODE_DATA_ROOT", root)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        _ = SettingsResource().root
    assert "TURBOMODE_DATA_ROOT" in caught.value.where


def test_a_data_root_whose_path_tables_cannot_be_kept_below_is_refused(tmp_path, monkeypatch):
    (tmp_path / "my data").mkdir()
    monkeypatch.setenv("TURBOMODE_DATA_ROOT", str(tmp_path / "my data"))
    with pytest.raises(ConfigurationError, match="holds ' ' \\(space\\)") as caught:
        _ = SettingsResource().root
    assert "TURBOMODE_DATA_ROOT" in caught.value.where
