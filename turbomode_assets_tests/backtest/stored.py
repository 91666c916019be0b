"""A case of this room as the graph stores it: master tables, lake tables and model memory."""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from turbomode_assets.config.loader import digest_of
from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.tables import BARS, DIVIDENDS, PREDICTIONS, SPLITS, lake_tables
from turbomode_assets.features import feature_names
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan, offset_session, sessions_of
from turbomode_assets.stores import Lake, ModelMemory
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets.stores.model_registry import record_model
from turbomode_assets.stores.promotions import gate_decision
from turbomode_assets_tests.backtest.builders import Case
from turbomode_assets_tests.backtest.records import recorded_trades
from turbomode_assets_tests.builders import fill_columns, make_universe, run_assets, write_configs
from turbomode_assets_tests.stores.model_rows import performance, record_of

FREE = {"trading__cost_bps": 0.0, "trading__slippage_bps": 0.0, "trading__position_limit": 0.05}
"""Before costs a trade is what its label says, and twenty positions of a twentieth always fit."""


def settings_at(root: Path, **trading: object) -> SettingsResource:
    """Settings under `root`, keys of the backtest configuration replaced."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    changes = {name.replace("__", "."): value for name, value in trading.items()}
    configs = write_configs(root / "configs", backtest=changes)
    return SettingsResource(data_root=str(root / "data"), config_dir=str(configs))


def memory_of(settings: SettingsResource) -> ModelMemory:
    return ModelMemory(settings.memory_path, settings.tenant_name)


def lake_of(settings: SettingsResource) -> Lake:
    return Lake(settings.lake_root, settings.tenant_name, lake_tables(feature_names()))


def span_of(frame: pl.DataFrame) -> SessionSpan:
    return SessionSpan(frame["session"].min(), frame["session"].max())


def store_case(settings: SettingsResource, case: Case) -> None:
    """Store a whole case: its market, its labels, and its predictions as signals that went out."""
    store_market(settings, case)
    store_labels(settings, case.labels, span_of(case.bars), case.rule)
    model = case.predictions["model_version"][0]
    promote(settings, model, offset_session(span_of(case.predictions).first, -1), case.rule)
    sent = store_predictions(settings, case.predictions)
    remember(settings, sent)


def store_market(
    settings: SettingsResource,
    case: Case,
    *,
    splits: pl.DataFrame | None = None,
    dividends: pl.DataFrame | None = None,
) -> None:
    """Store bars, and a universe whose delistings are those that the labels tell of.

    Events (None: there are none) have symbol, ex_date, and ratio or amount and previous_close.
    """
    writer, symbols = MasterWriter(settings.master_root), sorted(set(case.bars["symbol"]))
    gone = case.labels.filter(pl.col("exit_reason") == "delisting").group_by("symbol")
    ends = gone.agg(last=pl.col("exit_session").max(), known=pl.col("session").max())
    known = pl.col("known").cast(pl.Datetime("us", "UTC")).dt.offset_by("20h")
    universe = (
        make_universe(symbols)
        .join(ends, on="symbol", how="left")
        .with_columns(
            last_session=pl.col("last"), knowledge_ts=pl.coalesce(known, pl.col("knowledge_ts"))
        )
        .drop("last", "known")
    )
    writer.replace("symbol_metadata", universe, span=None, symbols=symbols, caller="test")
    for contract, events in ((SPLITS, splits), (DIVIDENDS, dividends)):
        rows = contract.empty()
        if events is not None:
            known_at = pl.col("ex_date").cast(pl.Datetime("us", "UTC"))
            sessions = sessions_of(events["ex_date"])
            rows = fill_columns(contract, events, session=sessions, knowledge_ts=known_at)
        writer.replace(contract.name, rows, span=None, symbols=symbols, caller="test")
    bars = fill_columns(BARS, case.bars, volume=100.0, dollar_volume=pl.col("close") * 100)
    lake_of(settings).replace("bars", bars, span=span_of(bars), caller="test")


def store_labels(
    settings: SettingsResource, labels: pl.DataFrame, span: SessionSpan, rule: TripleBarrierConfig
) -> None:
    """Store labels of a span as made by a rule."""
    lake = lake_of(settings)
    known = labels.filter(pl.col("session").is_between(span.first, span.last))
    rules = pl.DataFrame({"session": span.sessions}).with_columns(
        rule_digest=pl.lit(digest_of(rule)), labels=pl.lit(0, pl.Int64)
    )
    lake.replace("labels", known, span=span, caller="test")
    lake.replace("label_rules", rules, span=span, caller="test")


def promote(
    settings: SettingsResource,
    model: str,
    as_of: dt.date,
    rule: TripleBarrierConfig | None,
    *,
    shadow_sessions: int = 0,
    sharpe: float | None = None,
) -> None:
    """Record a model and its promotion; without a rule its configuration is not recorded."""
    configuration: Mapping[str, object] = {"triple_barrier": rule.model_dump()} if rule else {}
    figures = {"trial_digest": model, "figures": {"sharpe_per_session": sharpe}}
    decision = gate_decision(
        model,
        as_of,
        passed=True,
        reason="all rules passed",
        rules="[]",
        shadow_sessions=shadow_sessions,
        at=dt.datetime.combine(as_of, dt.time(23), dt.UTC),
    )
    record = record_of(model, as_of, configuration=dict(configuration), metrics=figures)
    record_model(memory_of(settings), record, performance(), decision=decision)


def store_predictions(settings: SettingsResource, signals: pl.DataFrame) -> pl.DataFrame:
    """Store signals as rows of the predictions table; returns them."""
    sent = fill_columns(PREDICTIONS, signals)
    lake_of(settings).replace("predictions", sent, span=span_of(sent), caller="test")
    return sent


def remember(settings: SettingsResource, sent: pl.DataFrame, role: str = "champion") -> None:
    """Put rows into the history of signals."""
    with memory_of(settings).transaction() as connection:
        connection.register("sent", sent.with_columns(role=pl.lit(role)))
        connection.execute("INSERT INTO signal_history BY NAME FROM sent")
        connection.unregister("sent")


def one(day: dt.date) -> SessionSpan:
    return SessionSpan(day, day)


def run_backtest(settings: SettingsResource, day: dt.date) -> dict[str, object]:
    """Run the asset as of a session; returns what the run says."""
    result = run_assets(settings, ["backtest"], one(day))
    told = result.asset_materializations_for_node("backtest")[-1].metadata
    return {name: value.value for name, value in told.items()}


def refusal_of_backtest(settings: SettingsResource, day: dt.date) -> str:
    """Run the asset, which is refused; returns why."""
    result = run_assets(settings, ["backtest"], one(day), raise_on_error=False)
    assert not result.success
    events = [event for event in result.all_events if event.is_step_failure]
    return "\n".join(event.step_failure_data.error.to_string() for event in events)


def tables_of(settings: SettingsResource) -> dict[str, pl.DataFrame]:
    """All that model memory holds of backtests."""
    memory = memory_of(settings)
    return {
        table: memory.query(f"FROM {table} ORDER BY ALL")
        for table in ("trades", "backtest_equity", "backtest_figures")
    }


def fates(figures: Mapping[str, dict[str, int]]) -> dict[str, int]:
    return {fate: count for fate, count in figures["signals"].items() if count}


def closed_with_labels(settings: SettingsResource, labels: pl.DataFrame) -> pl.DataFrame:
    """Recorded trades that ended, each with its label."""
    trades = recorded_trades(memory_of(settings)).filter(pl.col("exit_session").is_not_null())
    return trades.join(
        labels,
        left_on=["symbol", "signal_session"],
        right_on=["symbol", "decision_session"],
        suffix="_label",
        validate="1:1",
    )
