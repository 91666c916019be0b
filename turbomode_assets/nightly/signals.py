"""What went out for a session, as the nightly page tells it."""

import datetime as dt

import polars as pl

from turbomode_assets.nightly.figures import Model, Signal, Signals, finite
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Lake, ModelMemory

_CALLER = "nightly_page"
_KEY = ["symbol", "model_version"]
_NUMBERS = (
    "confidence",
    "p_buy",
    "p_hold",
    "p_sell",
    "entry_price_estimate",
    "profit_take_price",
    "stop_loss_price",
)
_PLAIN = ("rank", "symbol", "signal", "entry_session", "expiry_session", "model_version", "role")


def gather_signals(
    memory: ModelMemory | None, lake: Lake, session: dt.date
) -> tuple[Signals, list[str]]:
    """Return what was sent for a session, strongest first, and the vendors behind it."""
    rows = _sent(memory, lake, session)
    if memory is None or rows.is_empty():
        return Signals(why_none=_why_none(lake, session)), []
    overrides = rows["gate_override"].drop_nulls().unique().sort()
    return (
        Signals(
            rows=tuple(_signal(row) for row in rows.iter_rows(named=True)),
            models=_models(memory, rows),
            gate_overrides=tuple(overrides),
        ),
        rows["vendor"].unique().to_list(),
    )


def _sent(memory: ModelMemory | None, lake: Lake, session: dt.date) -> pl.DataFrame:
    """Signals that went out, as memory keeps them; what a model said in shadow is not sent."""
    if memory is None or not lake.exists("predictions"):
        return pl.DataFrame()
    said = memory.query(
        "SELECT * REPLACE (coalesce(role, 'champion') AS role) FROM signal_history"
        " WHERE session = ?"
        " ORDER BY rank NULLS LAST, signal = 'HOLD', greatest(p_buy, p_sell) DESC, symbol",
        [session],
    )
    sent = lake.read("predictions", caller=_CALLER, span=SessionSpan(session, session)).rows
    return said.join(sent.select(_KEY), on=_KEY, how="semi", maintain_order="left")


def _why_none(lake: Lake, session: dt.date) -> str:
    stored = lake.stored_sessions("predictions")
    earlier = stored.filter(stored < session)
    newest = f"the newest before are those of {earlier[-1]}" if len(earlier) else "nor any before"
    return (
        f"signals were not materialized for this session, {newest}. The runs below say what went "
        "wrong; to try again: dagster asset materialize -m turbomode_assets --select signals "
        f"--partition {session}"
    )


def _signal(row: dict[str, object]) -> Signal:
    numbers = {name: finite(row[name]) for name in _NUMBERS}  # type: ignore[arg-type]  # doubles
    return Signal(**numbers, **{name: row[name] for name in _PLAIN})  # type: ignore[arg-type]  # as the table declares them


def _models(memory: ModelMemory, rows: pl.DataFrame) -> tuple[Model, ...]:
    """Return whose signals they are, champions first."""
    recorded = memory.query("SELECT model_version, as_of_session, trained_at FROM model_metadata")
    told = (
        rows.select("model_version", "role")
        .unique()
        .join(recorded, on="model_version", how="left", validate="m:1")
        .sort("role", "model_version")
    )
    return tuple(Model(**row) for row in told.iter_rows(named=True))
