import datetime as dt
import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.contracts.errors import (
    ContractError,
    InputError,
    MissingDataError,
    StoreError,
)
from turbomode_assets.drift import DriftReference, freeze_reference
from turbomode_assets.sessions import SessionSpan
from turbomode_assets_tests.drift.builders import CONFIG, FEATURES, column, panel


def frozen(values):
    return freeze_reference(column(values), ["x"], CONFIG).features["x"]


def test_without_ties_every_bin_holds_as_many_rows():
    feature = frozen([5, 1, 8, 3, 2, 7, 4, 6])
    assert feature.edges == (2, 4, 6)
    assert feature.counts == (2, 2, 2, 2, 0)


def test_a_bin_holds_its_upper_edge_and_the_outer_bins_are_open():
    feature = frozen([1, 2, 3, 4, 5, 6, 7, 8])
    values = np.array([-np.inf, 2, 2.0001, 4, 6, 6.5, np.inf, np.nan])
    assert feature.bins_of(values).tolist() == [0, 0, 1, 1, 2, 3, 3, 4]


def test_null_and_nan_share_the_bin_of_missing_values_and_stay_out_of_the_quantiles():
    feature = frozen([1, 2, None, 3, 4, float("nan"), 5, 6, 7, 8])
    assert feature.edges == (2, 4, 6)
    assert feature.counts == (2, 2, 2, 2, 2)


def test_a_constant_has_a_bin_of_its_own_between_two_empty_ones():
    feature = frozen([3.0] * 10)
    assert feature.counts == (0, 10, 0, 0)
    assert feature.bins_of(np.array([2.999, 3.0, 3.001])).tolist() == [0, 1, 2]


def test_a_frequent_value_is_set_apart_from_its_neighbours():
    feature = frozen([-2, -1, 0, 0, 0, 0, 1, 2])
    assert feature.bins_of(np.array([-1e-300, 0.0, 1e-300])).tolist() == [1, 2, 3]
    assert feature.counts == (2, 0, 4, 2, 0)


def test_a_feature_without_a_single_value_has_one_open_bin():
    feature = frozen([None, None, float("nan")])
    assert feature.edges == ()
    assert feature.counts == (0, 3)


@settings(max_examples=60)
@given(st.lists(st.floats(width=32, allow_infinity=False), min_size=1, max_size=60))
def test_edges_ascend_and_counts_hold_every_row_once(values):
    feature = frozen(values)
    assert list(feature.edges) == sorted(set(feature.edges))
    assert sum(feature.counts) == len(values)
    assert len(feature.counts) == len(feature.edges) + 2


@settings(max_examples=60)
@given(st.lists(st.integers(-1000, 1000), min_size=4, max_size=60, unique=True))
def test_no_bin_of_distinct_values_is_more_than_one_row_from_its_share(values):
    counts = frozen([float(value) for value in values]).counts[:-1]
    assert max(counts) - min(counts) <= 1
    assert len(counts) == CONFIG.bins


@settings(max_examples=80)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=50))
def test_exactly_the_values_of_more_than_one_row_in_four_have_their_own_bin(values):
    edges = set(frozen([float(value) for value in values]).edges)
    alone = {value for value in range(7) if {value, np.nextafter(float(value), -1)} <= edges}
    assert alone == {value for value in values if values.count(value) * 4 > len(values)}


def test_the_order_of_the_rows_does_not_matter():
    features = panel("2024-01-02", "2024-02-29")
    shuffled = features.sample(fraction=1, shuffle=True, seed=3)
    assert freeze_reference(features, FEATURES, CONFIG) == freeze_reference(
        shuffled, FEATURES, CONFIG
    )


def with_maxima():
    features = panel("2024-01-02", "2024-02-29")
    return freeze_reference(features, FEATURES, CONFIG, sessions=features["session"])


def test_the_maxima_are_the_largest_distances_of_windows_from_all_training_rows():
    # Two rows a session, windows of 5: sessions 0-4 hold 1 and 2 only, sessions 1-5 two rows more.
    days = SessionSpan(dt.date(2024, 1, 2), dt.date(2024, 1, 9)).sessions
    values = [1, 2] * 5 + [3, 4]
    sessions = pl.Series("session", [day for day in days for _ in range(2)])
    reference = freeze_reference(column(values), ["x"], CONFIG, sessions=sessions)
    assert reference.features["x"].edges == (math.nextafter(1, 0), 1, math.nextafter(2, 0), 2)
    assert reference.features["x"].counts == (0, 5, 0, 5, 2, 0)
    first, lost = 0.5 - 5 / 12, 1 / 6
    psi = 2 * first * math.log(0.5 / (5 / 12)) + (lost - 1e-4) * math.log(lost / 1e-4)
    # The second window has shares 0.4, 0.4 and 0.2: nearer.
    assert reference.maxima.window_sessions == 5
    assert reference.maxima.largest["x"]["psi"] == pytest.approx(psi, rel=1e-12)
    assert reference.maxima.largest["x"]["ks"] == pytest.approx(1 / 6, rel=1e-12)


def test_the_order_of_the_rows_does_not_matter_to_the_maxima():
    features = panel("2024-01-02", "2024-02-29").sample(fraction=1, shuffle=True, seed=3)
    assert with_maxima() == freeze_reference(
        features, FEATURES, CONFIG, sessions=features["session"]
    )


def test_a_constant_has_maxima_of_zero():
    assert set(with_maxima().maxima.largest["constant"].values()) == {0.0}


def test_the_warm_up_of_a_feature_does_not_widen_its_maxima():
    features = panel("2024-01-02", "2024-04-30")
    late = features.with_columns(
        pl.when(pl.col("session") >= dt.date(2024, 2, 1)).then(pl.col("noise")).alias("noise")
    )

    def largest(rows):
        reference = freeze_reference(rows, FEATURES, CONFIG, sessions=rows["session"])
        return reference.maxima.largest

    assert largest(late)["counts"] == largest(features)["counts"]
    # The warm-up is a fourth of all rows; a window wholly in it would be 3/4 away in ks.
    assert largest(late)["noise"]["ks"] < 0.4


def test_a_feature_that_appears_in_the_last_session_is_measured_by_what_there_is():
    days = SessionSpan(dt.date(2024, 1, 2), dt.date(2024, 1, 9)).sessions
    reference = freeze_reference(
        column([None] * 5 + [1.0]), ["x"], CONFIG, sessions=pl.Series("session", days)
    )
    assert reference.maxima.largest["x"]["ks"] == pytest.approx(1 / 6)


def test_without_sessions_there_are_no_maxima():
    features = panel("2024-01-02", "2024-02-29")
    assert freeze_reference(features, FEATURES, CONFIG).maxima is None


def test_fewer_sessions_than_a_window_are_refused():
    features = panel("2024-01-02", "2024-01-05")
    with pytest.raises(MissingDataError, match="4 training sessions are fewer than one window of"):
        freeze_reference(features, FEATURES, CONFIG, sessions=features["session"])


@pytest.mark.parametrize("sessions", [[], [None]])
def test_every_row_needs_its_session(sessions):
    with pytest.raises(InputError, match="the session of each training row"):
        freeze_reference(
            column([1.0]), ["x"], CONFIG, sessions=pl.Series("s", sessions, dtype=pl.Date)
        )


def test_text_is_refused_by_name():
    with pytest.raises(InputError, match="label is text"):
        freeze_reference(pl.DataFrame({"label": ["BUY"]}), ["label"], CONFIG)


def test_maxima_survive_saving_to_the_last_digit(tmp_path):
    with_maxima().save(tmp_path / "x.json")
    assert DriftReference.load(tmp_path / "x.json") == with_maxima()


def test_a_file_from_before_there_were_maxima_is_a_reference_without_them(tmp_path):
    path = tmp_path / "drift_reference.json"
    older = {"rows": 3, "features": {"x": {"edges": [1.0, 2.0], "counts": [1, 1, 1, 0]}}}
    path.write_text(json.dumps(older))
    loaded = DriftReference.load(path)
    assert loaded.maxima is None
    assert loaded.features["x"].counts == (1, 1, 1, 0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda maxima: maxima.pop("window_sessions"),
        lambda maxima: maxima.update(window_sessions=0),
        lambda maxima: maxima["largest"].pop("noise"),
        lambda maxima: maxima["largest"]["noise"].pop("kl"),
        lambda maxima: maxima["largest"]["noise"].update(psi=-0.1),
        lambda maxima: maxima["largest"]["noise"].update(psi="0.1"),
        lambda maxima: maxima.update(strange=1),
    ],
)
def test_damaged_maxima_are_refused(tmp_path, damage):
    path = tmp_path / "drift_reference.json"
    with_maxima().save(path)
    content = json.loads(path.read_text())
    damage(content["maxima"])
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match="no drift reference can be read"):
        DriftReference.load(path)


def test_saved_and_loaded_it_is_the_same_to_the_last_digit(tmp_path):
    reference = freeze_reference(panel("2024-01-02", "2024-02-29"), FEATURES, CONFIG)
    reference.save(tmp_path / "drift_reference.json")
    loaded = DriftReference.load(tmp_path / "drift_reference.json")
    assert loaded == reference
    assert loaded.columns == FEATURES


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content.pop("rows"),
        lambda content: content.update(rows=content["rows"] + 1),
        lambda content: content["features"]["noise"]["edges"].reverse(),
        lambda content: content["features"]["noise"]["counts"].pop(),
        lambda content: content.update(features=[]),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "drift_reference.json"
    freeze_reference(panel("2024-01-02", "2024-01-31"), FEATURES, CONFIG).save(path)
    content = json.loads(path.read_text())
    damage(content)
    path.write_text(json.dumps(content))
    with pytest.raises(StoreError, match=r"drift_reference\.json"):
        DriftReference.load(path)


@pytest.mark.parametrize("text", ["", "[1, 2]", "not json"])
def test_a_file_that_holds_something_else_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(StoreError, match="no drift reference"):
        DriftReference.load(tmp_path / "x.json")


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(StoreError, match="FileNotFoundError"):
        DriftReference.load(tmp_path / "absent.json")


def test_an_absent_feature_is_named():
    with pytest.raises(MissingDataError, match="features are missing: y, z"):
        freeze_reference(column([1.0]), ["x", "y", "z"], CONFIG)


def test_training_rows_are_required():
    with pytest.raises(MissingDataError, match="no training rows"):
        freeze_reference(column([]), ["x"], CONFIG)


def test_an_infinite_value_is_refused():
    with pytest.raises(ContractError, match="1 values of x are infinite"):
        freeze_reference(column([1.0, float("inf")]), ["x"], CONFIG)


@pytest.mark.parametrize("columns", [[], ["x", "x"]])
def test_columns_are_named_once_each(columns):
    with pytest.raises(InputError, match="once each"):
        freeze_reference(column([1.0]), columns, CONFIG)


def test_float32_features_keep_their_exact_values_as_edges():
    values = pl.Series([0.1, 0.2, 0.3, 0.4], dtype=pl.Float32)
    feature = freeze_reference(pl.DataFrame({"x": values}), ["x"], CONFIG).features["x"]
    assert feature.edges == tuple(values.cast(pl.Float64)[:3])
