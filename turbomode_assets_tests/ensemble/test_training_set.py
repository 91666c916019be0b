import datetime as dt

import numpy as np
import polars as pl
import pytest

from turbomode_assets.contracts.errors import ContractError, MissingDataError
from turbomode_assets.ensemble import assemble_training_set
from turbomode_assets.sessions import offset_session
from turbomode_assets_tests.ensemble.small import FEATURES, SMALL, small_tables, small_training_set
from turbomode_assets_tests.models.planted import HORIZON, families

FEATURE_ROWS, LABEL_ROWS, AS_OF = small_tables()


def test_rows_labels_and_features_stand_side_by_side():
    training = small_training_set(
        FEATURE_ROWS.sample(fraction=1, shuffle=True, seed=1),
        LABEL_ROWS.sample(fraction=1, shuffle=True, seed=2),
        AS_OF,
    )
    joined = training.rows.join(
        FEATURE_ROWS, left_on=["symbol", "decision_session"], right_on=["symbol", "session"]
    ).select(FEATURE_ROWS.columns[2:])
    assert np.array_equal(training.matrix.values, joined.to_numpy(), equal_nan=True)
    assert training.features.columns == joined.columns
    expected = training.rows.join(LABEL_ROWS, on=["symbol", "decision_session"])
    assert training.labels.tolist() == expected.get_column("label").to_list()
    assert training.rows.equals(training.rows.sort("symbol", "decision_session"))


def test_the_last_decision_learned_from_is_the_last_that_has_expired():
    training = small_training_set(FEATURE_ROWS, LABEL_ROWS, AS_OF)
    # Entry the session after the decision, expiry the horizon after the entry.
    assert training.decision.max().item() == offset_session(AS_OF, -1 - HORIZON)
    known = LABEL_ROWS.filter(pl.col("session") <= AS_OF)
    assert training.unexpired_rows == known.height - training.rows.height > 0


def test_a_label_that_became_known_late_waits_until_then():
    late = (pl.col("symbol") == "S000") & (pl.col("decision_session") == dt.date(2015, 2, 2))
    labels = LABEL_ROWS.with_columns(
        pl.when(late).then(offset_session(AS_OF, 1)).otherwise("session").alias("session")
    )
    one_fewer = small_training_set(FEATURE_ROWS, LABEL_ROWS, AS_OF).rows.height - 1
    assert small_training_set(FEATURE_ROWS, labels, AS_OF).rows.height == one_fewer


def test_nothing_after_the_as_of_session_changes_what_is_learned():
    as_of = offset_session(AS_OF, -60)
    later = pl.col("session") > as_of
    scrambled = FEATURE_ROWS.with_columns(
        pl.when(later).then(9.0).otherwise(pl.col("f0")).cast(pl.Float32).alias("f0")
    )
    whole = small_training_set(scrambled, LABEL_ROWS, as_of)
    cut = small_training_set(FEATURE_ROWS.filter(~later), LABEL_ROWS.filter(~later), as_of)
    assert whole.digest == cut.digest


def test_decisions_before_the_training_window_are_only_looked_back_into():
    config = SMALL.model_copy(
        update={"data_sources": SMALL.data_sources.model_copy(update={"training_sessions": 100})}
    )
    training = assemble_training_set(
        FEATURE_ROWS, LABEL_ROWS, as_of=AS_OF, config=config, families=families(FEATURES)
    )
    assert training.decision.min().item() == offset_session(AS_OF, -99)
    assert training.matrix.positions(3).min() >= 0


def test_rows_whose_every_feature_is_missing_are_left_out_and_counted():
    warm_up = pl.col("session") < offset_session(dt.date(2015, 1, 5), 3)
    features = FEATURE_ROWS.with_columns(
        pl.when(warm_up).then(float("nan")).otherwise(pl.col(name)).cast(pl.Float32).alias(name)
        for name in FEATURE_ROWS.columns[2:]
    )
    training = small_training_set(features, LABEL_ROWS, AS_OF)
    assert training.warm_up_rows == 3 * 8
    assert training.decision.min().item() == offset_session(dt.date(2015, 1, 5), 3)


def test_a_label_without_a_feature_row_is_an_error_that_names_it():
    hole = (pl.col("symbol") == "S003") & (pl.col("session") == dt.date(2015, 3, 3))
    with pytest.raises(MissingDataError, match="symbol=S003 decision_session=2015-03-03"):
        small_training_set(FEATURE_ROWS.filter(~hole), LABEL_ROWS, AS_OF)


def test_too_few_labels_are_refused_with_their_counts():
    few = LABEL_ROWS.filter(pl.col("symbol") == "S000")
    with pytest.raises(MissingDataError, match=r"245 labels .* needed are 500"):
        small_training_set(FEATURE_ROWS, few, AS_OF)
    with pytest.raises(MissingDataError, match=r"^0 labels"):
        small_training_set(FEATURE_ROWS.head(0), LABEL_ROWS.head(0), AS_OF)
    no_hold = LABEL_ROWS.filter(pl.col("label") != 1)
    with pytest.raises(MissingDataError, match=", 0 HOLD, "):
        small_training_set(FEATURE_ROWS, no_hold, AS_OF)


def test_a_feature_that_the_table_lacks_is_named():
    with pytest.raises(ContractError, match="columns missing: f2"):
        small_training_set(FEATURE_ROWS.drop("f2"), LABEL_ROWS, AS_OF)


def test_the_digest_tells_other_values_and_other_labels_apart():
    digest = small_training_set(FEATURE_ROWS, LABEL_ROWS, AS_OF).digest
    nudged = FEATURE_ROWS.with_columns((pl.col("f1") + 1).alias("f1"))
    turned = LABEL_ROWS.with_columns((2 - pl.col("label")).cast(pl.Int8).alias("label"))
    assert small_training_set(nudged, LABEL_ROWS, AS_OF).digest != digest
    assert small_training_set(FEATURE_ROWS, turned, AS_OF).digest != digest
    assert small_training_set(FEATURE_ROWS, LABEL_ROWS, AS_OF).digest == digest
