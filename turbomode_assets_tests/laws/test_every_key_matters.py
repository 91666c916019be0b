"""Every key of the training configuration changes what comes out, and a test shows it.

The rooms' own tests list theirs in `EFFECTS`; the keys that no section of a room stands for alone
are changed here, each on the smallest function that reads it.
"""

import datetime as dt
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from turbomode_assets.config.loader import TRAINING_FILE, load_training_config
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.devices import choose_device
from turbomode_assets.contracts.errors import InputError, MissingDataError
from turbomode_assets.drift import drift_by_session, drift_verdicts, freeze_reference
from turbomode_assets.ensemble import (
    Calibrator,
    MetaLearner,
    StepResults,
    TrainingSet,
    assemble_training_set,
    candidate_rows,
    combinatorial_paths,
    fit_base_model,
    learned_rows,
    plan_folds,
)
from turbomode_assets.ensemble.evaluation import compare_on_same_rows
from turbomode_assets.ensemble.folds import hold_out
from turbomode_assets.ensemble.promotion import improvement_lag
from turbomode_assets.ensemble.step_results import RunRules
from turbomode_assets.features import compute_features, device_name
from turbomode_assets.labels import triple_barrier
from turbomode_assets.modelling.feature_sets import present_feature_set
from turbomode_assets.orchestration.assets.training.fit_steps import plan_cross_validation
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.signals import decide, scan_symbols
from turbomode_assets_tests.builders import REPOSITORY, make_bars, make_universe
from turbomode_assets_tests.config.builders import shipped
from turbomode_assets_tests.features.panels import panel
from turbomode_assets_tests.models.planted import families, planted_tables

NO_RULES = ("$schema", "version", "changelog")
OTHER_DEVICE = "cpu" if torch.cuda.is_available() else "cuda"
"""What `auto` does not come down to here; CUDA without a GPU is refused."""

EFFECTS: dict[str, object] = {
    "data_sources.training_sessions": 400,
    "data_sources.minimum_labels": 5000,
    "data_sources.minimum_labels_per_class": 900,
    "feature_engineering.benchmark": "S001",
    "feature_engineering.device": OTHER_DEVICE,
    "triple_barrier.profit_take": 1.5,
    "triple_barrier.stop_loss": 1.5,
    "triple_barrier.horizon_sessions": 5,
    "triple_barrier.volatility_window_sessions": 40,
    "triple_barrier.entry": "close",
    "ensemble_config.meta_learner.l2": 0.1,
    "ensemble_config.calibration.method": "isotonic",
    "ensemble_config.calibration.minimum_rows": 5000,
    "validation_strategy.walk_forward.folds": 2,
    "validation_strategy.walk_forward.test_sessions": 63,
    "validation_strategy.walk_forward.minimum_train_sessions": 300,
    "validation_strategy.walk_forward.embargo_sessions": 20,
    "validation_strategy.inner_validation_sessions": 63,
    "validation_strategy.combinatorial.models": ["logistic"],
    "validation_strategy.combinatorial.groups": 5,
    "validation_strategy.combinatorial.test_groups": 1,
    "drift_detection.bins": 5,
    "drift_detection.window_sessions": 10,
    "drift_detection.warn_psi": 0.2,
    "drift_detection.alert_psi": 0.6,
    "drift_detection.limit_factor": 3.0,
    "drift_detection.alarm_share": 0.9,
    "model_promotion_gate.improvement_lag_horizons": 1.0,
    "training_orchestrator.seed": 8,
    "signals.buy_threshold": 0.6,
    "signals.sell_threshold": 0.6,
    "signals.minimum_close_usd": 20.0,
    "signals.minimum_dollar_volume_usd": 5e7,
    "signals.liquidity_window_sessions": 60,
}


def leaves(section: dict[str, Any], path: str = "") -> Iterator[str]:
    """Dotted paths of all values of a section."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}"


def rules() -> dict[str, Any]:
    """The shipped rules, without what only describes the file."""
    return {key: value for key, value in shipped(TRAINING_FILE).items() if key not in NO_RULES}


def value_at(content: dict[str, Any], path: str) -> object:
    """The value that a dotted path leads to."""
    value: Any = content
    for key in path.split("."):
        value = value[key]
    return value


def with_value(path: str, value: object) -> TrainingConfig:
    """The shipped configuration with one key changed, read as a file is."""
    content = shipped(TRAINING_FILE)
    del content["$schema"]
    *parents, key = path.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    section[key] = value
    return TrainingConfig.model_validate_json(json.dumps(content), strict=True)


def all_effects() -> list[tuple[str, object]]:
    """Changed values of this file that the tests of the repository show the effect of."""
    found: list[tuple[str, object]] = []
    for path in sorted((REPOSITORY / "turbomode_assets_tests").rglob("test_*.py")):
        if "\nEFFECTS: " in path.read_text(encoding="utf-8"):
            relative = path.relative_to(REPOSITORY).with_suffix("")
            found += import_module(".".join(relative.parts)).EFFECTS.items()
    return [each for each in found if each[0].split(".")[0] in TrainingConfig.model_fields]


def test_no_key_of_the_shipped_file_is_without_a_test_of_its_effect():
    tested, keys = {path for path, _ in all_effects()}, set(leaves(rules()))
    assert keys - tested == set()
    assert tested - keys == set()


def test_every_changed_value_is_allowed_and_is_another_than_the_shipped_one():
    content, unchanged, refused = rules(), [], []
    for path, value in all_effects():
        if value_at(content, path) == value:
            unchanged.append(path)
        try:
            with_value(path, value)
        except ValueError as error:
            refused.append(f"{path}: {error}")
    assert unchanged == []
    assert refused == []


SHIPPED = load_training_config(REPOSITORY / "configs")
FEATURES, LABELS = planted_tables(symbols=4, sessions=500, features=3, strength=0.8, seed=1)
AS_OF = FEATURES["session"].max()


def learned_from(config: TrainingConfig) -> TrainingSet:
    return assemble_training_set(FEATURES, LABELS, as_of=AS_OF, config=config, families=families(3))


@cache
def _training_set() -> TrainingSet:
    return learned_from(SHIPPED)


def _silent(line: str) -> None:
    """Report nothing."""


def _rows(config: TrainingConfig) -> object:
    try:
        return learned_from(config).digest
    except MissingDataError as error:
        return error.what


def _benchmark(config: TrainingConfig) -> object:
    benchmark = config.feature_engineering.benchmark
    beta = compute_features(panel(2, 80), benchmark=benchmark, names=["beta_60"], device="cpu")
    return present_feature_set(config).digest, beta["beta_60"].is_nan().all()


def _device(config: TrainingConfig) -> object:
    device = config.feature_engineering.device
    try:
        return device_name(device), choose_device(device)
    except InputError as error:
        return error.what


def _labels(config: TrainingConfig) -> object:
    bars = panel(2, 120)
    span = SessionSpan(bars["session"].min(), bars["session"].max())
    return triple_barrier(bars, config.triple_barrier, known_in=span).rows()


def _forecasts() -> tuple[np.ndarray, np.ndarray]:
    """Two models' forecasts [rows, models, classes], surer than they should be, and labels."""
    random = np.random.default_rng(1)
    honest = random.dirichlet([2.0, 1.0, 2.0], size=2000)
    labels = (honest.cumsum(axis=1) < random.random((2000, 1))).sum(axis=1).clip(max=2)
    sure = honest**2 / (honest**2).sum(axis=1, keepdims=True)
    return np.stack([sure, honest], axis=1), labels.astype(np.int8)


def _stack(config: TrainingConfig) -> object:
    return MetaLearner.fit(*_forecasts(), config.ensemble_config.meta_learner).to_json()


def _calibration(config: TrainingConfig) -> object:
    base, labels = _forecasts()
    return Calibrator.fit(base[:, 0], labels, config.ensemble_config.calibration).to_json()


def _folds(config: TrainingConfig) -> object:
    try:
        folds = plan_folds(_training_set(), config)
    except MissingDataError as error:
        return error.what
    return [(fold.train.tolist(), fold.test.tolist()) for fold in folds]


def _stopping(config: TrainingConfig) -> object:
    training_set = _training_set()
    candidates = candidate_rows(training_set, plan_folds(training_set, config))
    learned = learned_rows(training_set, {"1": candidates["1"]}, config)["1"]
    return [part.rows.tolist() for part in hold_out(training_set, learned, config)]


def _validated_models(config: TrainingConfig) -> object:
    with tempfile.TemporaryDirectory() as folder:
        StepResults(Path(folder)).put(RunRules("by hand", dt.datetime.now(dt.UTC), config))
        planned = plan_cross_validation({"folder": folder, "as_of": AS_OF.isoformat()})
        return [output.value for output in planned]


def _paths(config: TrainingConfig) -> object:
    return combinatorial_paths(
        _training_set(), "lightgbm_gbdt", config, iterations=1, report=_silent
    ).tolist()


def _drift(config: TrainingConfig) -> object:
    """Verdicts with and without the maxima of windows, on features that moved more and more."""
    rules, random = config.drift_detection, np.random.default_rng(2)
    days = SessionSpan(dt.date(2015, 1, 5), offset_session(dt.date(2015, 1, 5), 219)).sessions
    now = SessionSpan(days[-1], days[-1])
    moved = np.linspace(0, 1, 12) * (np.arange(220) >= 200)[:, None, None]
    values = random.normal(size=(220, 10, 12)) + moved
    names = [f"f{number:02d}" for number in range(12)]
    features = pl.DataFrame(
        {
            "symbol": [f"S{number}" for number in range(10)] * 220,
            "session": np.repeat(np.asarray(days, "datetime64[D]"), 10),
        }
    ).hstack(pl.DataFrame(values.reshape(-1, 12).astype(np.float32), schema=names))
    learned = features.filter(pl.col("session") < days[200])
    found = []
    for sessions in (learned["session"], None):
        reference = freeze_reference(learned, names, rules, sessions=sessions)
        drift = drift_by_session(reference, features, now, rules)
        found.append((drift.rows(), drift_verdicts(drift, rules).rows()))
    return found


def _improvement(config: TrainingConfig) -> object:
    base, labels = _forecasts()
    lag = improvement_lag(config.model_promotion_gate, config.triple_barrier.horizon_sessions)
    days = SessionSpan(AS_OF, offset_session(AS_OF, 199)).sessions
    decided = np.repeat(np.asarray(days, "datetime64[D]"), 10)
    return compare_on_same_rows(base[:, 0], base[:, 1], labels, decided, lag=lag)


def _seeded(config: TrainingConfig) -> object:
    training_set = _training_set()
    folds = plan_folds(training_set, config)[:1]
    learned = learned_rows(training_set, candidate_rows(training_set, folds), config)
    fitted = fit_base_model(training_set, folds, learned, "lightgbm_forest", config, report=_silent)
    return fitted.out_of_fold[folds[0].test].tolist()


def _decisions(config: TrainingConfig) -> object:
    said = [[0.1, 0.35, 0.55], [0.55, 0.35, 0.1], [0.1, 0.2, 0.7], [0.7, 0.2, 0.1]]
    return decide(np.array(said), config.signals).to_list()


def _scan(config: TrainingConfig) -> object:
    """Who is tradeable of four symbols: cheap, thinly traded, listed for 40 sessions, and none."""
    span = SessionSpan(AS_OF, AS_OF).trailing(59)
    frames = [
        make_bars([symbol], span, close=close).with_columns(pl.lit(usd).alias("dollar_volume"))
        for symbol, close, usd in (("LOW", 15.0, 1e9), ("THIN", 90.0, 2e6), ("USUAL", 90.0, 1e9))
    ]
    young = frames[-1].with_columns(symbol=pl.lit("YOUNG")).tail(40)
    bars = pl.concat([*frames, young])
    scan = scan_symbols(
        make_universe(["LOW", "THIN", "USUAL", "YOUNG"]),
        bars,
        bars.select("symbol", "session", volatility=pl.lit(0.01)),
        bars.select("symbol", "session", timeframe=pl.lit("1d"), verdict=pl.lit("GREEN")),
        SessionSpan(AS_OF, AS_OF),
        config.signals,
    )
    return scan.left_out.rows()


OUTCOMES: dict[str, Callable[[TrainingConfig], object]] = {
    "data_sources": _rows,
    "feature_engineering.benchmark": _benchmark,
    "feature_engineering.device": _device,
    "triple_barrier": _labels,
    "ensemble_config.meta_learner": _stack,
    "ensemble_config.calibration": _calibration,
    "validation_strategy.walk_forward": _folds,
    "validation_strategy.inner_validation_sessions": _stopping,
    "validation_strategy.combinatorial.models": _validated_models,
    "validation_strategy.combinatorial.groups": _paths,
    "validation_strategy.combinatorial.test_groups": _paths,
    "drift_detection": _drift,
    "model_promotion_gate": _improvement,
    "training_orchestrator": _seeded,
    "signals.buy_threshold": _decisions,
    "signals.sell_threshold": _decisions,
    "signals.minimum_close_usd": _scan,
    "signals.minimum_dollar_volume_usd": _scan,
    "signals.liquidity_window_sessions": _scan,
}
"""What is read from each section, or from each key that is read alone."""


@cache
def _as_shipped(outcome: Callable[[TrainingConfig], object]) -> object:
    return outcome(SHIPPED)


@pytest.mark.parametrize("outcome", dict.fromkeys(OUTCOMES.values()))
def test_the_same_configuration_gives_the_same(outcome):
    assert outcome(load_training_config(REPOSITORY / "configs")) == _as_shipped(outcome)


@pytest.mark.parametrize("path", EFFECTS)
def test_every_key_changes_what_comes_out(path):
    (outcome,) = (each for start, each in OUTCOMES.items() if f"{path}.".startswith(f"{start}."))
    assert outcome(with_value(path, EFFECTS[path])) != _as_shipped(outcome)
