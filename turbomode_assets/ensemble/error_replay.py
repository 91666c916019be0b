"""Confident predictions that came out wrong, kept so that later training weighs them more."""

import datetime as dt

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.learning import ErrorReplayBufferConfig
from turbomode_assets.contracts.columns import DECISION_SESSION, LABEL, SESSION, SYMBOL
from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.sessions import session_index, session_indices

ERROR_REPLAY_SCHEMA = pl.Schema(
    {
        SYMBOL: pl.String(),
        DECISION_SESSION: pl.Date(),
        "known_session": pl.Date(),
        "model_version": pl.String(),
        "predicted": pl.Int8(),
        LABEL: pl.Int8(),
        "confidence": pl.Float64(),
    }
)
_DECISION = LABELS.key
_PROBABILITIES = ("p_sell", "p_hold", "p_buy")


def confident_errors(
    forecasts: pl.DataFrame, config: ErrorReplayBufferConfig, *, as_of: dt.date
) -> pl.DataFrame:
    """Forecasts whose likeliest class had `minimum_confidence` and was not the label, sorted.

    `forecasts` has symbol, decision_session, session (when the label became known, null before),
    label, p_sell, p_hold, p_buy and model_version. Of equally likely classes the first is named.
    Only labels known by `as_of` count; forecasts without probabilities name no class.
    """
    known = forecasts.filter(pl.col(SESSION) <= as_of)
    highest = pl.max_horizontal(_PROBABILITIES)
    named = pl.concat_list(_PROBABILITIES).list.arg_max()
    return (
        known.filter(pl.all_horizontal(pl.col(name).is_finite() for name in _PROBABILITIES))
        .with_columns(known_session=SESSION, predicted=named.cast(pl.Int8), confidence=highest)
        .filter(
            pl.col("predicted") != pl.col(LABEL), pl.col("confidence") >= config.minimum_confidence
        )
        .select(pl.col(name).cast(dtype) for name, dtype in ERROR_REPLAY_SCHEMA.items())
        .sort(*_DECISION, "model_version")
    )


def update_replay_buffer(
    buffer: pl.DataFrame,
    errors: pl.DataFrame,
    config: ErrorReplayBufferConfig,
    *,
    as_of: dt.date,
    judged: pl.DataFrame,
) -> pl.DataFrame:
    """Return the buffer as it stands at a session, sorted by (symbol, decision_session).

    `judged` has symbol and decision_session of every forecast that `errors` were sought among. Of
    its decisions only what is in `errors` counts: what the buffer has of them was found by another
    label, model or configuration. Rows below `minimum_confidence`, and errors known only after
    `as_of`, also of the buffer, are left out. Of the errors on one decision the most confident
    stays (of equal ones the alphabetically first model's). Beyond `capacity_rows` those leave that
    weigh least at `as_of`, which are the oldest; known in one session, the least confident.

    `errors` come first: what stays of them is what would stay of an empty buffer's, and the
    buffer's rows fill what room is left. The same call on its own result changes nothing.
    """
    found = _heaviest(errors, config, as_of).head(config.capacity_rows)
    # Without doubles on the right, and with all of `errors`, should `judged` lack one of them.
    decisions = pl.concat([judged.select(_DECISION), errors.select(_DECISION)]).unique()
    earlier = buffer.join(decisions, on=_DECISION, how="anti")
    filled = _heaviest(earlier, config, as_of).head(config.capacity_rows - found.height)
    return pl.concat([found, filled]).sort(_DECISION)


def _heaviest(
    errors: pl.DataFrame, config: ErrorReplayBufferConfig, as_of: dt.date
) -> pl.DataFrame:
    """Known, confident errors, one of each decision, those that weigh most first."""
    return (
        errors.select(ERROR_REPLAY_SCHEMA.names())
        .filter(pl.col("known_session") <= as_of, pl.col("confidence") >= config.minimum_confidence)
        .sort(
            "confidence",
            "model_version",
            "known_session",
            "predicted",
            LABEL,
            descending=[True, False, True, False, False],
        )
        .unique(_DECISION, keep="first", maintain_order=True)
        .sort("known_session", "confidence", *_DECISION, descending=[True, True, False, False])
    )


def replay_factors(
    rows: pl.DataFrame,
    buffer: pl.DataFrame,
    config: ErrorReplayBufferConfig,
    *,
    as_of: dt.date,
) -> NDArray[np.float64]:
    """Factor of each row's weight, in the order of `rows` (symbol, decision_session, label).

    Formula: 1 + `weight` x 0.5 ^ (age / `half_life_sessions`), age being the sessions from when
    the error became known to `as_of`; 1 for a row whose decision is not in the buffer, whose error
    became known only later, or whose label is by now what was predicted.
    """
    known = buffer.filter(pl.col("known_session") <= as_of)
    age = session_index(as_of) - session_indices(known.get_column("known_session")).to_numpy()
    factors = 1 + config.weight * 0.5 ** (age / config.half_life_sessions)
    found = rows.select(*_DECISION, "label").join(
        known.select(*_DECISION, "predicted", factor=pl.Series(factors, dtype=pl.Float64)),
        on=_DECISION,
        how="left",
        validate="m:1",
        maintain_order="left",
    )
    is_error = (pl.col("predicted") != pl.col("label")).fill_null(value=False)
    factor = pl.when(is_error).then("factor").otherwise(1.0)
    return found.select(factor.alias("factor")).to_series().to_numpy()
