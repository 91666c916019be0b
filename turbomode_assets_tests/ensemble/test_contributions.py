"""What each feature adds, against brute-force Shapley values; importance and its drift."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.judging import ShapAnalysisConfig
from turbomode_assets.contracts.errors import ContractError, InputError
from turbomode_assets.ensemble.contributions import (
    EXPLAINED,
    IMPORTANCE,
    feature_contributions,
    importance_drift,
    importance_table,
    model_contributions,
    sample_rows,
    top_contributions,
)
from turbomode_assets.models import BaseModel, Matrix, NotFittedError, Panel, base_models
from turbomode_assets_tests.models.planted import families
from turbomode_assets_tests.models.small import FEATURES, SMALL, small_data

TREES = EXPLAINED[:4]
MATRIX, LABELS = small_data(seed=3)
UNSEEN, _ = small_data(seed=4)
CONFIG = ShapAnalysisConfig(sample_rows=200, top_features=2, minimum_rank_correlation=0.5)


@pytest.fixture(scope="module")
def fitted() -> dict[str, BaseModel]:
    models = base_models(SMALL)
    return {name: models[name].fit(MATRIX, LABELS, seed=5) for name in EXPLAINED}


@pytest.fixture(scope="module")
def explained(fitted):
    return feature_contributions(fitted, UNSEEN)


def _three_features(matrix: Matrix) -> Matrix:
    panel = matrix.panel
    three = Panel(
        np.ascontiguousarray(panel.values[:, :3]), panel.keys, panel.columns[:3], panel.families[:3]
    )
    return Matrix(three, matrix.rows)


def _expected(node: dict, row: np.ndarray, known: frozenset[int]) -> float:
    """Follow known features; average over both sides by rows learned from where unknown."""
    if "leaf_value" in node:
        return node["leaf_value"]
    left, right = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        value = float(row[node["split_feature"]])
        if math.isnan(value) and node["missing_type"] == "NaN":
            goes_left = node["default_left"]
        else:
            goes_left = (0.0 if math.isnan(value) else value) <= node["threshold"]
        return _expected(left if goes_left else right, row, known)
    rows = [side.get("internal_count", side.get("leaf_count")) for side in (left, right)]
    sides = [_expected(side, row, known) for side in (left, right)]
    return (rows[0] * sides[0] + rows[1] * sides[1]) / sum(rows)


def _shapley(tree: dict, row: np.ndarray, features: int) -> np.ndarray:
    """Shapley values by their definition, over every coalition."""
    added = np.zeros(features)
    for feature in range(features):
        others = [other for other in range(features) if other != feature]
        for size in range(features):
            weight = 1 / (features * math.comb(features - 1, size))
            for coalition in itertools.combinations(others, size):
                known = frozenset(coalition)
                gain = _expected(tree, row, known | {feature}) - _expected(tree, row, known)
                added[feature] += weight * gain
    return added


@pytest.mark.parametrize("name", TREES)
def test_trees_give_the_shapley_values_of_every_coalition(name):
    section = getattr(SMALL, name).model_copy(update={"rounds": 12, "leaves": 5})
    config = SMALL.model_copy(update={name: section})
    learned, asked = _three_features(MATRIX), _three_features(UNSEEN)
    missing = np.flatnonzero(np.isnan(asked.values).any(axis=1))[:4]
    asked = asked.select(np.concatenate([np.arange(4), missing]))
    model = base_models(config)[name].fit(learned, LABELS, seed=5)
    added, base = model_contributions(model, asked)
    trees = model._fitted().dump_model()["tree_info"]
    assert len(trees) == 36
    rounds = 12 if name == "lightgbm_forest" else 1
    expected, level = np.zeros(added.shape), np.zeros(3)
    for number, tree in enumerate(trees):
        root = tree["tree_structure"]
        level[number % 3] += _expected(root, asked.values[0], frozenset()) / rounds
        for at, row in enumerate(asked.values):
            expected[at, number % 3] += _shapley(root, row, 3) / rounds
    assert np.abs(expected).max() > 0.05
    assert np.allclose(added, expected, rtol=0, atol=1e-12)
    assert np.allclose(base, level, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TREES)
def test_base_value_and_contributions_of_a_tree_model_sum_to_its_raw_score(fitted, name):
    added, base = model_contributions(fitted[name], UNSEEN)
    raw = fitted[name]._fitted().predict(UNSEEN.values, raw_score=True)
    if name == "lightgbm_forest":  # whose raw score LightGBM gives as a sum over its trees
        raw = raw / SMALL.lightgbm_forest.rounds
    assert added.shape == (len(UNSEEN), 3, FEATURES)
    assert np.allclose(base + added.sum(axis=2), raw, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", EXPLAINED)
def test_raw_scores_explained_are_those_behind_the_probabilities(fitted, name):
    added, base = model_contributions(fitted[name], UNSEEN)
    powers = np.exp(base + added.sum(axis=2))
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    assert np.allclose(probabilities, fitted[name].predict_proba(UNSEEN), rtol=0, atol=1e-6)


def test_the_logistic_adds_nothing_at_the_median_and_by_slope_beside_it(fitted):
    model = fitted["logistic"]
    network, standardiser = model._fitted()
    weights = network.state_dict()["head.weight"].double().numpy()
    centre = np.array(standardiser.centre, dtype=np.float32)
    # Row 0 stands at every median, row 1 one robust deviation up in f1, row 2 lacks f2.
    values = np.tile(centre, (3, 1))
    values[1, 1] += np.float32(standardiser.scale[1])
    values[2, 2] = np.nan
    panel = Panel(values, np.arange(3, dtype=np.int64), UNSEEN.columns, UNSEEN.panel.families)
    added, base = model_contributions(model, Matrix(panel, np.arange(3)))
    assert (added[0] == 0).all()
    assert np.allclose(added[1, :, 1], weights[:, 1], rtol=1e-6)
    # f2 is one of the three columns of family `volume`, whose missing share is the input after f5.
    assert standardiser.families == ("volume", "price") * 3
    assert np.allclose(added[2, :, 2], weights[:, FEATURES] / 3, rtol=1e-12)
    assert np.count_nonzero(added[1:]) == 6
    assert np.array_equal(base, network.state_dict()["head.bias"].double().numpy())


def test_the_logistic_is_exact_for_every_coalition_of_features_against_the_median(fitted):
    added, base = model_contributions(fitted["logistic"], UNSEEN.select(np.arange(40)))
    centre = np.array(fitted["logistic"]._fitted()[1].centre, dtype=np.float32)
    for known in itertools.product([False, True], repeat=FEATURES):
        values = np.where(known, UNSEEN.values[:40], centre)
        panel = Panel(values, np.arange(40), UNSEEN.columns, UNSEEN.panel.families)
        logits = base + added[..., np.array(known)].sum(axis=2)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        given = fitted["logistic"].predict_proba(Matrix(panel, np.arange(40)))
        assert np.allclose(powers / powers.sum(axis=1, keepdims=True), given, rtol=0, atol=1e-6)


def test_the_mean_is_taken_over_the_explained_models_whatever_their_order(fitted, explained):
    parts = [model_contributions(fitted[name], UNSEEN)[0] for name in EXPLAINED]
    assert np.allclose(explained, np.mean(parts, axis=0), rtol=0, atol=1e-12)
    turned = dict(reversed(fitted.items())) | {"mlp": base_models(SMALL)["mlp"]}
    assert np.array_equal(feature_contributions(turned, UNSEEN), explained)


def test_a_row_explained_alone_equals_the_row_explained_among_others(fitted, explained):
    assert len(UNSEEN) > 1024
    for picked in (np.array([1199]), np.arange(1000, 1100)):
        alone = feature_contributions(fitted, UNSEEN.select(picked))
        assert np.array_equal(alone, explained[picked])


def test_planted_features_rank_first(explained):
    table = importance_table(
        explained, UNSEEN.columns, families(FEATURES), regimes=[None] * len(UNSEEN)
    )
    overall = table.filter(scope="all")
    # f0 decides by itself, f1 and f2 by their product; f3 to f5 do nothing.
    assert overall["feature"][0] == "f0"
    assert set(overall["feature"][:3]) == {"f0", "f1", "f2"}
    sides = table.filter(pl.col("group").is_in(["SELL", "BUY"]), rank=1)
    assert sides["feature"].to_list() == ["f0", "f0"]


def test_a_model_that_learned_nothing_contributes_nothing():
    section = SMALL.lightgbm_gbdt.model_copy(update={"minimum_leaf_rows": 5000})
    model = base_models(SMALL.model_copy(update={"lightgbm_gbdt": section}))["lightgbm_gbdt"]
    added, base = model_contributions(model.fit(MATRIX, LABELS, seed=1), UNSEEN)
    assert (added == 0).all()
    assert np.isfinite(base).all()


def test_what_cannot_be_explained_is_refused(fitted):
    network = base_models(SMALL)["mlp"]
    with pytest.raises(InputError, match="mlp has no exact contributions"):
        model_contributions(network, UNSEEN)
    with pytest.raises(InputError, match=r"1200 rows; models: mlp"):
        feature_contributions({"mlp": network}, UNSEEN)
    with pytest.raises(InputError, match="0 rows"):
        feature_contributions(fitted, UNSEEN.select(np.arange(0)))
    with pytest.raises(InputError, match="no row to explain"):
        model_contributions(fitted["logistic"], UNSEEN.select(np.arange(0)))


@pytest.mark.parametrize("name", EXPLAINED)
def test_other_columns_and_unfitted_models_are_refused(fitted, name):
    panel = UNSEEN.panel
    turned = Panel(panel.values, panel.keys, panel.columns[::-1], panel.families)
    with pytest.raises(ContractError, match="another order"):
        model_contributions(fitted[name], Matrix(turned, UNSEEN.rows))
    with pytest.raises(NotFittedError, match=name):
        model_contributions(base_models(SMALL)[name], UNSEEN)


def test_importance_by_hand():
    # Two rows, three classes, features a, b (family one) and c (family two).
    contributions = np.array(
        [
            [[1.0, -1.0, 0.5], [0.0, 0.0, 0.0], [2.0, 1.0, 0.5]],
            [[3.0, -1.0, 0.5], [0.0, 3.0, 0.0], [0.0, 0.0, -1.5]],
        ]
    )
    table = importance_table(
        contributions, ["a", "b", "c"], {"a": "one", "b": "one", "c": "two"}, regimes=["bear", None]
    )
    assert table.schema == IMPORTANCE
    assert table.rows() == [
        ("all", "all", "a", 1.0, 1),
        ("all", "all", "b", 1.0, 2),
        ("all", "all", "c", 0.5, 3),
        ("class", "SELL", "a", 2.0, 1),
        ("class", "SELL", "b", 1.0, 2),
        ("class", "SELL", "c", 0.5, 3),
        ("class", "HOLD", "b", 1.5, 1),
        ("class", "HOLD", "a", 0.0, 2),
        ("class", "HOLD", "c", 0.0, 3),
        ("class", "BUY", "a", 1.0, 1),
        ("class", "BUY", "c", 1.0, 2),
        ("class", "BUY", "b", 0.5, 3),
        ("regime", "bear", "a", 1.0, 1),
        ("regime", "bear", "b", pytest.approx(2 / 3), 2),
        ("regime", "bear", "c", pytest.approx(1 / 3), 3),
        # a and b cancel in row 0 for SELL: 0, 0, 3, 2, 3, 0 over six cells.
        ("family", "one", None, pytest.approx(8 / 6), 1),
        ("family", "two", None, 0.5, 2),
    ]


@pytest.mark.parametrize(
    ("columns", "known", "regimes", "match"),
    [
        (["a"], {"a": "one"}, ["bear"] * 2, r"\[2, 3, 2\], expected \[2, 3, 1\]"),
        (["a", "b"], {"a": "one", "b": "one"}, ["bear"], r"expected \[1, 3, 2\]"),
        (["a", "b"], {"a": "one"}, ["bear"] * 2, "no family given for b"),
    ],
)
def test_importance_of_what_does_not_fit_together_is_refused(columns, known, regimes, match):
    with pytest.raises(InputError, match=match):
        importance_table(np.zeros((2, 3, 2)), columns, known, regimes=regimes)


def _table(importance: dict[str, float]) -> pl.DataFrame:
    contributions = np.broadcast_to(np.array(list(importance.values())), (1, 3, len(importance)))
    known = dict.fromkeys(importance, "one")
    return importance_table(contributions, list(importance), known, regimes=[None])


def test_rank_correlation_by_hand():
    before = _table({"a": 4.0, "b": 3.0, "c": 2.0, "gone": 9.0})
    same = importance_drift(_table({"a": 0.4, "b": 0.2, "c": 0.1, "x": 7, "y": 8}), before, CONFIG)
    assert (same.rank_correlation, same.drifted) == (pytest.approx(1.0), False)
    assert (same.shared_features, same.added_features, same.removed_features) == (3, 2, 1)
    # Ranks 3 2 1 against 1 2 3, then 3 2 1 against 2 3 1: 1 - 6 x 2 / (3 x 8) = 0.5.
    turned = importance_drift(_table({"a": 1.0, "b": 2.0, "c": 3.0}), before, CONFIG)
    assert (turned.rank_correlation, turned.drifted) == (pytest.approx(-1.0), True)
    half = importance_drift(_table({"a": 2.0, "b": 3.0, "c": 1.0}), before, CONFIG)
    assert half.rank_correlation == pytest.approx(0.5)


def test_importance_that_cannot_be_compared_counts_as_drifted():
    before = _table({"a": 4.0, "b": 3.0})
    for now in (_table({"x": 1.0, "y": 2.0}), _table({"a": 1.0}), _table({"a": 1.0, "b": 1.0})):
        drift = importance_drift(now, before, CONFIG)
        assert (drift.rank_correlation, drift.drifted) == (None, True)


def test_the_same_model_does_not_drift_whatever_the_sample(fitted):
    tables = []
    for seed in (1, 2):
        rows = sample_rows(300, np.arange(len(UNSEEN)), seed=seed)
        contributions = feature_contributions(fitted, UNSEEN.select(rows))
        tables.append(
            importance_table(
                contributions, UNSEEN.columns, families(FEATURES), regimes=[None] * len(rows)
            )
        )
    assert not tables[0].equals(tables[1])
    assert importance_drift(*tables, CONFIG).rank_correlation > 0.8


def test_top_contributions_by_hand():
    contributions = np.zeros((2, 3, 3))
    contributions[0, 0] = [1.0, -3.0, 2.0]
    contributions[1, 2] = [0.5, 0.5, -0.1]
    values = np.array([[1, 2, 3], [np.nan, 5, 6]], dtype=np.float32)
    top = top_contributions(contributions, values, ["a", "b", "c"], count=2)
    assert top.columns == ["row", "class", "feature", "value", "contribution", "rank"]
    assert top.filter(row=0, **{"class": "SELL"}).rows() == [
        (0, "SELL", "b", 2.0, -3.0, 1),
        (0, "SELL", "c", 3.0, 2.0, 2),
    ]
    assert top.filter(row=1, **{"class": "BUY"}).rows() == [
        (1, "BUY", "a", None, 0.5, 1),
        (1, "BUY", "b", 5.0, 0.5, 2),
    ]
    assert top.height == 2 * 3 * 2
    assert top_contributions(contributions, values, ["a", "b", "c"], count=9).height == 2 * 3 * 3
    none = top_contributions(contributions[:0], values[:0], ["a", "b", "c"], count=2)
    assert none.schema == top.schema
    with pytest.raises(InputError, match="expected"):
        top_contributions(contributions, values[:1], ["a", "b", "c"], count=2)


@given(
    rows=st.lists(st.integers(0, 10**6), min_size=1, max_size=60),
    count=st.integers(1, 80),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=50)
def test_a_sample_is_drawn_from_the_rows_at_hand_each_once(rows, count, seed):
    drawn = sample_rows(count, np.array(rows, dtype=np.int64), seed=seed)
    assert len(drawn) == min(count, len(set(rows)))
    assert set(drawn.tolist()) <= set(rows)
    assert (np.diff(drawn) > 0).all()
    assert np.array_equal(drawn, sample_rows(count, np.array(rows[::-1]), seed=seed))


def test_another_seed_draws_other_rows_and_none_cannot_be_drawn_from():
    rows = np.arange(1000)
    assert not np.array_equal(sample_rows(50, rows, seed=1), sample_rows(50, rows, seed=2))
    with pytest.raises(InputError, match="no row is available"):
        sample_rows(50, rows[:0], seed=1)


EFFECTS: dict[str, object] = {
    "shap_analysis.sample_rows": 150,
    "shap_analysis.top_features": 4,
    "shap_analysis.minimum_rank_correlation": 0.99,
}


def _analysis(fitted, config: ShapAnalysisConfig) -> tuple[object, ...]:
    """Everything that the section decides: rows drawn, features listed, drift found."""
    rows = sample_rows(config.sample_rows, np.arange(len(UNSEEN)), seed=1)
    matrix = UNSEEN.select(rows)
    contributions = feature_contributions(fitted, matrix)
    top = top_contributions(contributions, matrix.values, matrix.columns, count=config.top_features)
    now = _table({"a": 2.0, "b": 3.0, "c": 5.0, "d": 7.0})
    drift = importance_drift(now, _table({"a": 3.0, "b": 2.0, "c": 5.0, "d": 7.0}), config)
    return len(rows), top["rank"].max(), drift.drifted


def test_every_key_of_the_section_has_an_effect_listed():
    assert set(EFFECTS) == {f"shap_analysis.{key}" for key in ShapAnalysisConfig.model_fields}


@pytest.mark.parametrize("path", EFFECTS)
def test_no_key_of_the_section_is_without_effect(fitted, path):
    changed = CONFIG.model_copy(update={path.removeprefix("shap_analysis."): EFFECTS[path]})
    assert _analysis(fitted, changed) != _analysis(fitted, CONFIG)
