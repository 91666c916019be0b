"""Rows of model memory for tests: records of models, their scores, and what they predicted."""

import datetime as dt

import polars as pl

from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.model_registry import ModelRecord, challengers_over
from turbomode_assets_tests.builders import make_rows

THURSDAY, FRIDAY, MONDAY = dt.date(2017, 11, 9), dt.date(2017, 11, 10), dt.date(2017, 11, 13)
NOW = dt.datetime(2017, 11, 13, 23, tzinfo=dt.UTC)

SECTORS = pl.DataFrame(
    {"symbol": ["AAA"] * 2, "session": [FRIDAY, MONDAY], "sector": ["Energy"] * 2}
)


def record_of(version, as_of, **changes):
    fields = {
        "model_version": version,
        "as_of_session": as_of,
        "feature_digest": "f1",
        "feature_names": ("kmid", "klen"),
        "config_version": "1.0.0",
        "config_digest": "c1",
        "vendor": "simulated",
        "metrics": {"ensemble": {"log_loss": 1.05}},
        "dagster_run_id": "run-1",
        "started_at": NOW,
        "finished_at": NOW,
        "rows": 1000,
        "symbols": 24,
        "seed": 7,
        "data_digest": "d1",
        "store_versions": {"features": 3, "labels": 4},
    }
    return ModelRecord(**(fields | changes))


def performance(value=1.05):
    return pl.DataFrame({"model": ["ensemble"], "metric": ["log_loss"], "value": [value]})


def predictions(session, signal="BUY", model="m1", symbol="AAA"):
    row = {"symbol": symbol, "session": session, "signal": signal, "model_version": model}
    return make_rows(PREDICTIONS, row)


def closes(session, close=10.0):
    return pl.DataFrame(
        {"session": [session], "symbol": ["AAA"], "close": [close], "vendor": ["simulated"]}
    )


def challenger_at(memory, session):
    """Return who predicts in shadow in a session, or None."""
    held = challengers_over(memory, SessionSpan(session, session))
    return held[0][0] if held else None
