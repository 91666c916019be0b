"""Forecasts with what came true: the signals that went out, joined with the lake's labels."""

import polars as pl

from turbomode_assets.contracts.tables import LABELS, PREDICTIONS
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.lake import Lake

KNOWN_OUTCOMES = pl.Schema(
    {
        "symbol": PREDICTIONS.schema["symbol"],
        "decision_session": LABELS.schema["decision_session"],
        "session": LABELS.schema["session"],
        "label": LABELS.schema["label"],
        "p_sell": PREDICTIONS.schema["p_sell"],
        "p_hold": PREDICTIONS.schema["p_hold"],
        "p_buy": PREDICTIONS.schema["p_buy"],
        "model_version": PREDICTIONS.schema["model_version"],
    }
)
"""A forecast whose outcome is known: `session` is when the label became known."""
_SAID = [name for name in KNOWN_OUTCOMES if name not in ("session", "label")]


def known_outcomes(
    lake: Lake,
    span: SessionSpan,
    *,
    caller: str,
    labels_version: int | None = None,
    others: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Rows of KNOWN_OUTCOMES for the signals of a span that resolved within it.

    Sorted by (symbol, decision_session, model_version). Labels are those of `labels_version`, or
    the present ones. `others` are forecasts that never went out, with the columns symbol,
    decision_session, p_sell, p_hold, p_buy, model_version; what a model said twice of a decision
    counts once, as it went out. Missing: no rows while nothing was ever said.

    Raises:
        MissingDataError: something was said, but the labels were never written.
    """
    said = [] if others is None else [others.select(_SAID)]
    if lake.exists("predictions"):
        columns = ["session" if name == "decision_session" else name for name in _SAID]
        signals = lake.read("predictions", caller=caller, span=span, columns=columns).rows
        said.insert(0, signals.rename({"session": "decision_session"}).select(_SAID))
    if not said:
        return KNOWN_OUTCOMES.to_frame()
    labels = lake.read(
        "labels",
        caller=caller,
        span=span,
        columns=["symbol", "decision_session", "session", "label"],
        version=labels_version,
    ).rows
    return (
        pl.concat(said)
        .unique([*LABELS.key, "model_version"], keep="first", maintain_order=True)
        .join(labels, on=LABELS.key, how="inner", validate="m:1")
        .select(KNOWN_OUTCOMES.names())
        .sort(*LABELS.key, "model_version")
    )
