import json
import math
import re

import numpy as np
import polars as pl
import pytest

from turbomode_assets.config.models import ModelsConfig
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.ensemble import MetaLearner, TrainingSet, learned_rows, train_ensemble
from turbomode_assets.ensemble.folds import FINAL
from turbomode_assets.models import base_models
from turbomode_assets.sessions import offset_session, session_index, session_indices
from turbomode_assets_tests.ensemble.small import SMALL

NAMES = list(ModelsConfig.model_fields)


def test_a_planted_signal_is_found_out_of_sample_by_every_model_and_by_the_ensemble(trained):
    scores = trained.metrics["models"] | {"ensemble": trained.metrics["ensemble"]}
    assert list(scores) == [*NAMES, "ensemble"]
    for name, score in scores.items():
        assert score["pooled"]["auc_buy_vs_sell"] > 0.6, name
    pooled = trained.metrics["ensemble"]["pooled"]
    assert pooled["auc_buy_vs_sell"] > 0.68
    assert pooled["log_loss"] < pooled["base_log_loss"] - 0.02
    assert pooled["accuracy"] > pooled["base_rate"] + 0.05


def test_shuffled_labels_score_as_chance_does(training):
    order = np.random.default_rng(5).permutation(training.rows.height)
    shuffled = training.rows.with_columns(training.rows[order].select("label", "exit_reason"))
    chance = TrainingSet(training.matrix, shuffled, training.families, training.as_of, 0, 0)
    pooled = train_ensemble(chance, SMALL, report=print).metrics["ensemble"]["pooled"]
    # 640 rows: one standard error of an AUC without skill is about 0.024.
    assert abs(pooled["auc_buy_vs_sell"] - 0.5) < 0.08
    assert pooled["log_loss"] > pooled["base_log_loss"] - 0.01


def test_each_fit_is_reported_in_one_plain_line(trained, lines):
    assert lines[0].startswith("fold 1/3 lightgbm_gbdt: ")
    assert re.search(r" s, \d+ iterations, log loss 0\.\d{4}$", lines[0])
    assert len(lines) == 3 * 8 + 2 + 8
    assert lines[3].startswith("refit lightgbm_gbdt: ")
    assert lines[-1].startswith("fold 3/3 ensemble: log loss ")


def test_metrics_are_plain_json_and_compare_all_on_the_same_rows(trained):
    metrics = trained.metrics
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
    assert metrics["evaluated_folds"] == [2, 3]
    assert [fold["test_rows"] for fold in metrics["folds"]] == [320, 320, 320]
    rows = {score["pooled"]["rows"] for score in metrics["models"].values()}
    assert rows == {metrics["ensemble"]["pooled"]["rows"]} == {640}
    assert list(metrics["ensemble"]["folds"]) == ["2", "3"]
    assert list(metrics["models"]["mlp"]["folds"]) == ["1", "2", "3"]


def test_the_out_of_sample_rows_are_those_of_the_evaluated_folds(trained, training):
    rows = trained.out_of_sample
    last = training.decision.max().item()
    assert rows.get_column("decision_session").min() == offset_session(last, -79)
    assert rows.height == 640
    assert rows.select(pl.sum_horizontal("p_sell", "p_hold", "p_buy")).to_series().to_list() == (
        pytest.approx([1.0] * 640)
    )


def test_what_comes_later_than_a_fold_cannot_change_its_out_of_sample_forecast(training, trained):
    last = session_index(training.decision.max().item())
    third_starts, second_starts = last - 39, last - 79
    ended = np.array([session_index(day.item()) for day in training.label_end])
    turned = np.where(ended >= second_starts, 2 - training.labels, training.labels)
    rows = training.rows.with_columns(pl.Series("label", turned.astype(np.int8)))
    scrambled = TrainingSet(training.matrix, rows, training.families, training.as_of, 0, 0)
    other = train_ensemble(scrambled, SMALL, report=print).out_of_sample
    forecast = ["p_sell", "p_hold", "p_buy"]
    changed = (other.select(forecast) != trained.out_of_sample.select(forecast)).select(
        pl.any_horizontal(pl.all())
    )
    in_third = session_indices(other.get_column("decision_session")) >= third_starts
    assert not changed.filter(~in_third).to_series().any()
    assert changed.filter(in_third).to_series().all()


def test_the_final_models_are_fitted_on_every_row_for_as_long_as_the_folds_found_best(
    trained, training
):
    candidates = {FINAL: np.arange(len(training.labels))}
    everything = learned_rows(training, candidates, SMALL)[FINAL]
    assert len(everything.rows) == len(training.labels)
    kept = trained.metrics["models"]["lightgbm_gbdt"]["iterations"]
    assert kept[FINAL] == math.ceil(np.median([kept["1"], kept["2"], kept["3"]]))
    model = base_models(SMALL.ensemble_config.models)["lightgbm_gbdt"]
    model.fit(
        training.matrix,
        training.labels,
        seed=SMALL.training_orchestrator.seed,
        weights=everything.weights,
        iterations=kept[FINAL],
    )
    assert np.array_equal(
        model.predict_proba(training.matrix),
        trained.models["lightgbm_gbdt"].predict_proba(training.matrix),
    )


def test_the_meta_learner_saw_out_of_fold_predictions_and_not_the_final_models(trained, training):
    inside = trained.base_probabilities(training.matrix)
    peeking = MetaLearner.fit(inside, training.labels, SMALL.ensemble_config.meta_learner)
    assert not np.allclose(peeking.coefficients, trained.meta_learner.coefficients, atol=1e-3)


def test_test_sessions_shorter_than_the_purge_leave_the_meta_learner_nothing(training):
    strategy = SMALL.validation_strategy
    folds = strategy.walk_forward.model_copy(update={"test_sessions": 10})
    strategy = strategy.model_copy(update={"walk_forward": folds})
    config: TrainingConfig = SMALL.model_copy(update={"validation_strategy": strategy})
    with pytest.raises(MissingDataError, match="0 out-of-fold rows before fold 2"):
        train_ensemble(training, config, report=print)
