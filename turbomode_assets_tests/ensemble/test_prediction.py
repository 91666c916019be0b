import datetime as dt

import numpy as np
import polars as pl
import pytest

from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.ensemble import prediction_matrix
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets_tests.ensemble.small import FEATURES, small_tables
from turbomode_assets_tests.models.planted import families, feature_names

FEATURE_ROWS, _, AS_OF = small_tables()
SPAN = SessionSpan(offset_session(AS_OF, -9), AS_OF)


def _matrix(features: pl.DataFrame, span: SessionSpan, look_back_sessions: int = 2):
    return prediction_matrix(
        features,
        span,
        feature_names(FEATURES),
        families(FEATURES),
        look_back_sessions=look_back_sessions,
    )


def test_the_rows_are_those_of_the_span_with_their_past_behind_them():
    matrix, rows = _matrix(FEATURE_ROWS, SPAN)
    assert rows.equals(
        FEATURE_ROWS.filter(pl.col("session") >= SPAN.first).select("symbol", "session")
    )
    joined = rows.join(FEATURE_ROWS, on=["symbol", "session"]).drop("symbol", "session")
    assert np.array_equal(matrix.values, joined.to_numpy(), equal_nan=True)
    assert matrix.positions(3).min() >= 0


def test_a_range_and_the_same_sessions_one_by_one_give_identical_probabilities(trained):
    matrix, rows = _matrix(FEATURE_ROWS, SPAN)
    together = rows.hstack(pl.DataFrame(trained.predict_proba(matrix), schema=["s", "h", "b"]))
    singly = []
    for session in SPAN.sessions:
        reach = SessionSpan(session, session).trailing(trained.look_back_sessions)
        read = FEATURE_ROWS.filter(pl.col("session").is_between(reach.first, reach.last))
        matrix, rows = _matrix(read, SessionSpan(session, session))
        singly.append(
            rows.hstack(pl.DataFrame(trained.predict_proba(matrix), schema=["s", "h", "b"]))
        )
    assert pl.concat(singly).sort("symbol", "session").equals(together)


def test_a_row_whose_every_feature_is_missing_has_nothing_to_predict_from():
    blank = (pl.col("symbol") == "S001") & (pl.col("session") == SPAN.last)
    features = FEATURE_ROWS.with_columns(
        pl.when(blank).then(float("nan")).otherwise(pl.col(name)).cast(pl.Float32).alias(name)
        for name in feature_names(FEATURES)
    )
    _, rows = _matrix(features, SPAN)
    assert rows.height == 8 * 10 - 1
    assert rows.filter(blank).is_empty()


def test_an_absent_session_in_the_span_or_its_look_back_is_refused_by_name():
    hole = pl.col("session") != offset_session(SPAN.first, -1)
    with pytest.raises(MissingDataError, match=str(offset_session(SPAN.first, -1))):
        _matrix(FEATURE_ROWS.filter(hole), SPAN)
    assert _matrix(FEATURE_ROWS.filter(hole), SPAN, look_back_sessions=0)[1].height == 80
    with pytest.raises(MissingDataError, match="no features for"):
        _matrix(FEATURE_ROWS, SessionSpan(dt.date(2020, 1, 2), dt.date(2020, 1, 3)))
