"""Seeded, calendar-true data for tests, and the way to real data where there is some."""

import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from turbomode_assets.contracts.tables import BARS, CANDLES, SYMBOL_METADATA
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


def make_candles(
    symbols: Sequence[str],
    span: SessionSpan,
    *,
    close: float = 10.0,
    vendor: str = "simulated",
    ingested_at: dt.datetime = dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
) -> pl.DataFrame:
    """Flat daily candles of every symbol and session of a span."""
    rows = [
        {
            "symbol": symbol,
            "timeframe": "1d",
            "ts": session_open(session),
            "session": session,
            "open": close,
            "high": close,
            "low": close,
            "close": close,
            "volume": 100.0,
            "vwap": None,
            "trades": None,
            "vendor": vendor,
            "adjustment": "raw",
            "adjusted_as_of": None,
            "ingested_at": ingested_at,
            "payload_sha256": f"{symbol}-{session}-{close}",
        }
        for symbol in sorted(symbols)
        for session in span.sessions
    ]
    return pl.DataFrame(rows, schema=CANDLES.schema)


def make_bars(
    symbols: Sequence[str], span: SessionSpan, *, close: float = 10.0, vendor: str = "simulated"
) -> pl.DataFrame:
    """Flat clean bars of every symbol and session of a span."""
    rows = [
        {
            "symbol": symbol,
            "session": session,
            "open": close,
            "high": close,
            "low": close,
            "close": close,
            "volume": 100.0,
            "dollar_volume": abs(close) * 100.0,
            "adjustment": "raw",
            "adjusted_as_of": None,
            "repairs": None,
            "vendor": vendor,
        }
        for symbol in sorted(symbols)
        for session in span.sessions
    ]
    return pl.DataFrame(rows, schema=BARS.schema)


def make_universe(symbols: Sequence[str], *, vendor: str = "simulated") -> pl.DataFrame:
    """Tradeable stocks, listed for ever."""
    rows = [
        {
            "symbol": symbol,
            "name": f"{symbol} Inc.",
            "asset_class": "stock",
            "calendar": "XNYS",
            "role": "tradeable",
            "first_session": None,
            "last_session": None,
            "knowledge_ts": dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
            "vendor": vendor,
        }
        for symbol in sorted(symbols)
    ]
    return pl.DataFrame(rows, schema=SYMBOL_METADATA.schema)


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
