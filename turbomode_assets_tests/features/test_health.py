import datetime as dt

import numpy as np
import polars as pl
import pytest

from turbomode_assets.contracts.table import check_table
from turbomode_assets.contracts.tables import FEATURE_HEALTH
from turbomode_assets.features import health as health_of_features
from turbomode_assets.features import unhealthy_features

MONDAY, TUESDAY = dt.date(2017, 11, 13), dt.date(2017, 11, 14)


def matrix(sessions, **columns):
    count = len(next(iter(columns.values())))
    symbols = [f"S{number:02d}" for number in range(count // len(sessions))]
    keys = {
        "symbol": [symbol for symbol in symbols for _ in sessions],
        "session": sessions * len(symbols),
    }
    return pl.DataFrame(
        keys | {name: pl.Series(values, dtype=pl.Float32) for name, values in columns.items()}
    )


def described(frame):
    columns = {name: f"formula of {name}" for name in frame.columns[2:]}
    bars = {session: f"bars of {session}" for session in frame.get_column("session")}
    return health_of_features.feature_health(frame, "set", columns, bars)


def test_each_row_says_what_it_is_made_of():
    row = described(matrix([MONDAY], x=[1.0, 2.0])).row(0, named=True)
    assert row["feature_digest"] == "set"
    assert row["column_digest"] == "formula of x"
    assert row["bars_digest"] == "bars of 2017-11-13"


def test_hand_worked_numbers():
    health = described(matrix([MONDAY], x=[4.0, 1.0, np.nan, 2.0, 3.0]))
    row = health.row(0, named=True)
    assert row["rows"] == 5
    assert row["missing"] == pytest.approx(0.2)
    assert row["mean"] == 2.5
    assert row["std"] == pytest.approx(np.sqrt(5 / 3))
    assert [row[q] for q in ("q05", "q25", "q50", "q75", "q95")] == pytest.approx(
        [1.15, 1.75, 2.5, 3.25, 3.85]
    )


def test_a_feature_without_values_has_null_statistics():
    row = described(matrix([MONDAY], x=[np.nan, np.nan])).row(0, named=True)
    assert row["missing"] == 1.0
    assert [row[name] for name in ("mean", "std", "q05", "q50", "q95")] == [None] * 5


def test_one_value_has_a_mean_and_no_deviation():
    row = described(matrix([MONDAY], x=[np.nan, 7.0])).row(0, named=True)
    assert (row["mean"], row["std"], row["q50"]) == (7.0, None, 7.0)


def test_it_agrees_with_numpy_and_a_range_equals_its_sessions():
    rng = np.random.default_rng(3)
    values = rng.normal(size=80).astype(np.float32)
    values[rng.random(80) < 0.2] = np.nan
    both = matrix([MONDAY, TUESDAY], x=values, y=-values)
    health = described(both)
    assert check_table(health, FEATURE_HEALTH).height == 4
    for session in (MONDAY, TUESDAY):
        alone = both.filter(pl.col("session") == session)
        assert described(alone).equals(health.filter(pl.col("session") == session))
        x = alone.get_column("x").cast(pl.Float64).to_numpy()
        row = health.filter(session=session, feature="x").row(0, named=True)
        assert row["std"] == pytest.approx(np.nanstd(x, ddof=1))
        assert row["q25"] == pytest.approx(np.nanquantile(x, 0.25))


def test_constant_and_mostly_missing_features_are_named():
    health = described(
        matrix([MONDAY], fine=[1, 2, 3, 4], flat=[5, 5, 5, 5], gone=[1, np.nan, np.nan, np.nan])
    )
    assert unhealthy_features(health) == {"mostly_missing": ["gone"], "constant": ["flat"]}


def test_only_the_last_session_counts():
    health = described(matrix([MONDAY, TUESDAY], x=[1, 1, 1, 2, 1, 3]))
    assert unhealthy_features(health) == {"mostly_missing": [], "constant": []}
