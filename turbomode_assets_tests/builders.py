"""Seeded, calendar-true data for tests, and the way to real data where there is some."""

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.payload import payload_digests
from turbomode_assets.contracts.quality_log import log_rows
from turbomode_assets.contracts.table import TableContract, check_table
from turbomode_assets.contracts.tables import BARS, CANDLES, DATA_QUALITY_LOG, SYMBOL_METADATA
from turbomode_assets.sessions import SessionSpan, session_open

if TYPE_CHECKING:
    import dagster as dg

    from turbomode_assets.orchestration.resources.settings import SettingsResource

REPOSITORY = Path(__file__).resolve().parent.parent


def real_data_folder() -> Path:
    """Folder of real market data; the calling test is skipped, with the reason, without one."""
    folder = Path(os.environ.get("TURBOMODE_TEST_DATA", REPOSITORY.parent / "shared" / "market"))
    if not (folder / "daily.parquet").is_file():
        pytest.skip(f"no real market data at {folder}; set TURBOMODE_TEST_DATA to its folder")
    return folder


LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
ARRIVED = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

ROW_DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "candles": {
        "timeframe": "1d",
        "volume": 100.0,
        "vendor": "simulated",
        "adjustment": "raw",
        "ingested_at": ARRIVED,
        "payload_sha256": "0",
    },
    "splits": {"knowledge_ts": ARRIVED, "vendor": "simulated"},
    "dividends": {"knowledge_ts": ARRIVED, "vendor": "simulated"},
    "symbol_metadata": {
        "asset_class": "stock",
        "calendar": "XNYS",
        "role": "tradeable",
        "knowledge_ts": LONG_AGO,
        "vendor": "simulated",
    },
    "sector_mappings": {
        "vocabulary": "GICS",
        "valid_from": dt.date(2000, 1, 3),
        "knowledge_ts": LONG_AGO,
        "vendor": "simulated",
    },
    "fundamentals": {"vendor": "simulated"},
    "data_quality_log": {
        "timeframe": "1d",
        "ts": ARRIVED,
        "column": "session",
        "vendor": "simulated",
        "detail": "of a test",
        "knowledge_ts": ARRIVED,
    },
    "partition_status": {
        "timeframe": "1d",
        "expected_rows": 1,
        "actual_rows": 1,
        "verdict": "GREEN",
        "reasons": "",
        "checked_at": ARRIVED,
        "store_version": 1,
    },
    "audits": {
        **dict.fromkeys(("cells", "changed", "green", "amber", "red"), 0),
        "rules_digest": "r",
        "store_versions": "{}",
    },
    "bars": {"volume": 100.0, "adjustment": "raw", "vendor": "simulated"},
    "labels": {
        "label": 1,
        "exit_reason": "expiry",
        "entry_price": 10.0,
        "exit_price": 10.0,
        "return": 0.0,
        "volatility": 0.01,
    },
    "predictions": {
        "signal": "BUY",
        "p_sell": 0.2,
        "p_hold": 0.3,
        "p_buy": 0.5,
        "model_version": "m1",
        "feature_digest": "f1",
        "config_digest": "c1",
        "store_versions": "{}",
        "vendor": "simulated",
    },
}
"""Values of the columns that a test does not name, by table; every other column is null."""


def make_rows(
    contract: TableContract,
    *rows: Mapping[str, object],
    is_checked: bool = True,
    **shared: object,
) -> pl.DataFrame:
    """Rows of a table in the order given, by the values that a test names.

    `shared` are values of all rows. What the contract refuses is made where `is_checked` is off.
    """
    common = {**dict.fromkeys(contract.schema), **ROW_DEFAULTS.get(contract.name, {}), **shared}
    unknown = {name for row in rows for name in row} | set(common)
    unknown -= set(contract.schema)
    assert not unknown, f"{contract.name} has no {unknown}"
    frame = pl.DataFrame([{**common, **row} for row in rows], schema=contract.schema)
    if is_checked:
        check_table(frame, contract)
    return frame


def fill_columns(
    contract: TableContract,
    frame: pl.DataFrame,
    *,
    is_checked: bool = True,
    **shared: object,
) -> pl.DataFrame:
    """A frame's columns of a table, and the others as `make_rows` fills them; the rest is left out.

    `shared` may be expressions too.
    """
    defaults = ROW_DEFAULTS.get(contract.name, {})
    filled = {
        name: pl.lit(defaults.get(name), dtype=dtype)
        for name, dtype in contract.schema.items()
        if name not in frame.columns
    }
    unknown = set(shared) - set(contract.schema)
    assert not unknown, f"{contract.name} has no {unknown}"
    given = {
        name: value if isinstance(value, pl.Expr | pl.Series) else pl.lit(value)
        for name, value in shared.items()
    }
    whole = frame.with_columns(**(filled | given))
    typed = whole.select(pl.col(name).cast(dtype) for name, dtype in contract.schema.items())
    if is_checked:
        check_table(typed, contract)
    return typed


def make_log(*rows: Mapping[str, object], **shared: object) -> pl.DataFrame:
    """Rows of `data_quality_log`, each with the digest of its event."""
    return log_rows(make_rows(DATA_QUALITY_LOG, *rows, is_checked=False, **shared))


def with_digests(candles: pl.DataFrame) -> pl.DataFrame:
    """Candles with the digests that ingestion gives them."""
    return candles.with_columns(payload_sha256=payload_digests(candles))


def make_candles(
    symbols: Sequence[str],
    span: SessionSpan,
    *,
    close: float = 10.0,
    vendor: str = "simulated",
    ingested_at: dt.datetime = ARRIVED,
) -> pl.DataFrame:
    """Flat daily candles of every symbol and session of a span."""
    rows = (
        {
            "symbol": symbol,
            "session": session,
            "ts": session_open(session),
            "payload_sha256": f"{symbol}-{session}-{close}",
        }
        for symbol in sorted(symbols)
        for session in span.sessions
    )
    flat = dict.fromkeys(PRICES, close)
    return make_rows(CANDLES, *rows, **flat, vendor=vendor, ingested_at=ingested_at)


def make_bars(
    symbols: Sequence[str], span: SessionSpan, *, close: float = 10.0, vendor: str = "simulated"
) -> pl.DataFrame:
    """Flat clean bars of every symbol and session of a span; a price below 0 stays as it is."""
    rows = (
        {"symbol": symbol, "session": session}
        for symbol in sorted(symbols)
        for session in span.sessions
    )
    flat = dict.fromkeys(PRICES, close) | {"dollar_volume": abs(close) * 100.0}
    return make_rows(BARS, *rows, is_checked=close > 0, **flat, vendor=vendor)


def make_universe(symbols: Sequence[str], *, vendor: str = "simulated") -> pl.DataFrame:
    """Tradeable stocks, listed for ever."""
    rows = ({"symbol": symbol, "name": f"{symbol} Inc."} for symbol in sorted(symbols))
    return make_rows(SYMBOL_METADATA, *rows, vendor=vendor)


def write_configs(
    folder: Path,
    *,
    training: Mapping[str, object] | None = None,
    quality: Mapping[str, object] | None = None,
    backtest: Mapping[str, object] | None = None,
    scheduler: Mapping[str, object] | None = None,
    **vendors: object,
) -> Path:
    """The shipped configuration in `folder`, some keys replaced: `"signals.buy_threshold": 0.6`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, changes in (
        ("turbomode_training_config.json", training or {}),
        ("vendors.json", vendors),
        ("scheduler_config.json", scheduler or {}),
        ("data_quality_config.json", quality or {}),
        ("backtest_config.json", backtest or {}),
    ):
        content = json.loads((REPOSITORY / "configs" / name).read_text(encoding="utf-8"))
        for path, value in changes.items():
            *parents, key = path.split(".")
            section = content
            for parent in parents:
                section = section[parent]
            assert key in section, path
            section[key] = value
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


QUICK_TRAINING: Mapping[str, object] = {
    "validation_strategy.walk_forward.folds": 2,
    "validation_strategy.walk_forward.test_sessions": 30,
    "validation_strategy.walk_forward.minimum_train_sessions": 40,
    "data_sources.training_sessions": 252,
    "data_sources.minimum_labels": 100,
    "data_sources.minimum_labels_per_class": 5,
    "ensemble_config.models.lightgbm_gbdt.rounds": 25,
    "ensemble_config.models.lightgbm_dart.rounds": 8,
    "ensemble_config.models.lightgbm_goss.rounds": 40,
    "ensemble_config.models.lightgbm_forest.rounds": 8,
    "ensemble_config.models.mlp.epochs": 1,
    "ensemble_config.models.gru.epochs": 1,
    "ensemble_config.models.tcn.epochs": 1,
    "validation_strategy.inner_validation_sessions": 10,
    "validation_strategy.combinatorial.models": ["logistic"],
    "validation_strategy.combinatorial.groups": 3,
    "validation_strategy.combinatorial.test_groups": 1,
    "validation_strategy.cscv.blocks": 4,
    "shap_analysis.sample_rows": 50,
    "model_promotion_gate.minimum_accuracy_gain": -1.0,
    "model_promotion_gate.minimum_precision_gain": -1.0,
    "model_promotion_gate.minimum_recall": 0.0,
    "model_promotion_gate.minimum_log_loss_gain": -10.0,
    "model_promotion_gate.maximum_calibration_error": 1.0,
    "model_promotion_gate.minimum_sharpe": -100.0,
    "model_promotion_gate.minimum_deflated_probability": 0.0,
    "model_promotion_gate.maximum_probability_of_loss": 1.0,
    "model_promotion_gate.regime_log_loss_gain": -10.0,
    "model_promotion_gate.improvement_p_value": 1.0,
}
"""Every model and rule, in miniature, and a gate that lets all pass: for tests of the graph."""


def small_settings(root: Path, *, tenant: str = "default") -> "SettingsResource":
    """Settings of one tenant over a small simulated market under `root`."""
    from turbomode_assets.orchestration.resources.settings import SettingsResource

    (root / "data").mkdir(parents=True, exist_ok=True)
    small_market = {"simulated.stocks": 6, "simulated.crypto": 1}
    configs = write_configs(root / "configs", training=QUICK_TRAINING, **small_market)
    return SettingsResource(data_root=str(root / "data"), tenant=tenant, config_dir=str(configs))


def run_assets(
    settings: "SettingsResource",
    assets: Sequence[str],
    span: SessionSpan,
    *,
    instance: "dg.DagsterInstance | None" = None,
    raise_on_error: bool = True,
) -> "dg.ExecuteInProcessResult":
    """Materialize assets of the real definitions for a span, as one run."""
    # Here: tests of a room that only build rows must not wait for the graph to load.
    import dagster as dg

    from turbomode_assets.orchestration.definitions import build

    job = build(settings).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        instance=instance,
        asset_selection=[dg.AssetKey(name) for name in assets],
        tags={
            "dagster/asset_partition_range_start": str(span.first),
            "dagster/asset_partition_range_end": str(span.last),
        },
        raise_on_error=raise_on_error,
    )
