"""What model memory keeps of every night: signals and their outcomes, prices, sectors, drift."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import polars as pl

from turbomode_assets.config.loader import digest_of
from turbomode_assets.config.stored import StoredRules
from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.columns import SIGNAL_KEY
from turbomode_assets.contracts.errors import TurbomodeError
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.labels import lookback_sessions
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores.memory import ModelMemory

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection as Connection

_SAID = "session, symbol, model_version, coalesce(role, 'champion') AS role, signal"
_PROBABILITIES = "p_sell, p_hold, p_buy"


def record_signals(
    memory: ModelMemory,
    sent: pl.DataFrame,
    closes: pl.DataFrame,
    sectors: pl.DataFrame,
    *,
    said: pl.DataFrame | None = None,
) -> None:
    """Write the signals of some sessions in one transaction; the same input leaves the same rows.

    `sent` follows the PREDICTIONS contract and is what goes out; `said` is what every model said,
    sent or not, with its `role` (None: the champion alone, and all of it was sent). Either may have
    what is traded on a signal, and its rank, beside that. `closes` has session, symbol, close,
    vendor, of which those of the signals are kept; `sectors` has symbol, session, sector. All that
    was said enters `signal_history`; `active_signals` holds what was sent last for the newest
    session ever. An outcome of a signal that is no longer said goes with it.
    """
    sessions = sent.get_column("session").unique().to_list()
    if said is None:
        said = sent.with_columns(role=pl.lit("champion"))
    views = {
        "said": said,
        "closes": closes.select("session", "symbol", "close", "vendor").join(
            sent, on=["session", "symbol"], how="semi"
        ),
        "stats": sector_statistics(sent, sectors),
        "newest": sent.filter(pl.col("session") == pl.col("session").max()).join(
            said.select(*SIGNAL_KEY, "role"), on=SIGNAL_KEY, how="left", validate="1:1"
        ),
    }
    with memory.transaction() as connection:
        for name, rows in views.items():
            connection.register(name, rows)
        connection.execute(
            "DELETE FROM signal_history WHERE (session, model_version) IN"
            " (SELECT DISTINCT session, model_version FROM said)"
        )
        connection.execute("INSERT INTO signal_history BY NAME FROM said")
        _drop_outcomes_of_others(connection)
        for table, source in (("price_data", "closes"), ("sector_stats", "stats")):
            connection.execute(f"DELETE FROM {table} WHERE session IN ?", [sessions])
            connection.execute(f"INSERT INTO {table} BY NAME FROM {source}")
        _refresh_active_signals(connection)
        for name in views:
            connection.unregister(name)


def _drop_outcomes_of_others(connection: Connection) -> None:
    """Delete outcomes, of what was said again, that are of no signal or of another one."""
    connection.execute(
        "DELETE FROM signal_outcomes AS o WHERE (session, model_version) IN"
        " (SELECT DISTINCT session, model_version FROM said) AND NOT EXISTS"
        " (FROM said AS s WHERE s.session = o.session AND s.symbol = o.symbol"
        " AND s.model_version = o.model_version AND s.signal = o.signal AND s.role = o.role)"
    )


def _refresh_active_signals(connection: Connection) -> None:
    """Take the newest session's signals for active, unless a later session was signalled before."""
    connection.execute(
        "DELETE FROM active_signals WHERE session <= (SELECT max(session) FROM newest)"
    )
    connection.execute(
        "INSERT INTO active_signals BY NAME"
        " SELECT * FROM newest WHERE NOT EXISTS (FROM active_signals)"
    )


def sector_statistics(predictions: pl.DataFrame, sectors: pl.DataFrame) -> pl.DataFrame:
    """Signals and mean probabilities per session and sector."""
    return (
        predictions.join(sectors, on=PREDICTIONS.key, how="left", validate="1:1")
        .with_columns(pl.col("sector").fill_null("unknown"))
        .group_by("session", "sector")
        .agg(
            symbols=pl.len().cast(pl.Int32),
            buys=(pl.col("signal") == "BUY").sum().cast(pl.Int32),
            sells=(pl.col("signal") == "SELL").sum().cast(pl.Int32),
            mean_p_buy=pl.col("p_buy").mean(),
            mean_p_sell=pl.col("p_sell").mean(),
        )
        .sort("session", "sector")
    )


def signals_said(memory: ModelMemory, span: SessionSpan) -> pl.DataFrame:
    """Every signal of a span, sent or not, with the label rule of its model, sorted by its key.

    Columns: session, symbol, model_version, role, signal, p_sell, p_hold, p_buy, and of the rule
    rule_digest and label_sessions, from a decision to its vertical barrier (null where the model's
    configuration is not recorded, or is none of this program's).
    """
    said = memory.query(
        f"SELECT {_SAID}, {_PROBABILITIES} FROM signal_history"
        " WHERE session BETWEEN ? AND ? ORDER BY session, symbol, model_version",
        [span.first, span.last],
    )
    return said.join(label_rules(memory), on="model_version", how="left", validate="m:1")


def unsettled_signals(memory: ModelMemory, last: dt.date) -> pl.DataFrame:
    """Signals before a session that have no outcome, as `signals_said` has them."""
    said = memory.query(
        f"SELECT {_SAID}, {_PROBABILITIES} FROM signal_history"
        " ANTI JOIN signal_outcomes USING (session, symbol, model_version)"
        " WHERE session < ? ORDER BY session, symbol, model_version",
        [last],
    )
    return said.join(label_rules(memory), on="model_version", how="left", validate="m:1")


def label_rules(memory: ModelMemory) -> pl.DataFrame:
    """Label rule of every model whose configuration is recorded.

    Columns: model_version, rule_digest, label_sessions. The newest record of a model counts.
    """
    rules = [
        (name, digest_of(rule), lookback_sessions(rule) - rule.volatility_window_sessions)
        for name, rule in trading_rules(memory).items()
    ]
    schema = {"model_version": pl.String, "rule_digest": pl.String, "label_sessions": pl.Int64}
    return pl.DataFrame(rules, schema=schema, orient="row")


def trading_rules(memory: ModelMemory) -> dict[str, TripleBarrierConfig]:
    """Barriers and entry of every model whose configuration is recorded; the newest record counts.

    A model without a recorded configuration, or with one that is none of this program's, has none.
    """
    stored = memory.query(
        "SELECT model_version, configuration FROM training_runs WHERE configuration IS NOT NULL"
        " QUALIFY row_number() OVER (PARTITION BY model_version ORDER BY finished_at DESC) = 1"
        " ORDER BY model_version"
    )
    rules = {name: _trading_rule(configuration) for name, configuration in stored.iter_rows()}
    return {name: rule for name, rule in rules.items() if rule is not None}


def _trading_rule(configuration: str) -> TripleBarrierConfig | None:
    try:
        stored = StoredRules(json.loads(configuration), owner="a trained model")
        return stored.read(TripleBarrierConfig)
    except TurbomodeError:
        return None


def record_outcomes(memory: ModelMemory, outcomes: pl.DataFrame, judged: pl.DataFrame) -> None:
    """Write outcomes in one transaction; the same input leaves the same rows.

    `judged` names (known_session, model_version) that `outcomes` are all there is of. Outcomes of
    other pairs stay: what a model's own label rule once decided is true after labels have gone over
    to another rule. An outcome whose signal is gone, or is another one now, is not written.
    """
    with memory.transaction() as connection:
        connection.register("outcomes", outcomes)
        connection.register("judged", judged.select("known_session", "model_version"))
        connection.execute(
            "DELETE FROM signal_outcomes WHERE (known_session, model_version) IN (FROM judged)"
            " OR (session, symbol, model_version) IN"
            " (SELECT session, symbol, model_version FROM outcomes)"
        )
        connection.execute(
            "INSERT INTO signal_outcomes BY NAME FROM outcomes"
            f" SEMI JOIN (SELECT {_SAID} FROM signal_history)"
            " USING (session, symbol, model_version, role, signal)"
        )
        connection.unregister("outcomes")
        connection.unregister("judged")


def outcomes_of(memory: ModelMemory, span: SessionSpan) -> pl.DataFrame:
    """Outcomes of a span's signals, with their probabilities and the label rule of their model."""
    ended = memory.query(
        f"SELECT o.*, {_PROBABILITIES} FROM signal_outcomes AS o"
        " JOIN signal_history USING (session, symbol, model_version)"
        " WHERE session BETWEEN ? AND ? ORDER BY session, symbol, model_version",
        [span.first, span.last],
    )
    return ended.join(label_rules(memory), on="model_version", how="left", validate="m:1")


def record_drift(
    memory: ModelMemory,
    drift: pl.DataFrame,
    span: SessionSpan,
    *,
    verdicts: pl.DataFrame | None = None,
) -> None:
    """Make the drift of a span exactly this, in one transaction.

    `drift` has the columns of drift_monitoring, `verdicts` those of drift_verdicts (None: no
    session was judged).
    """
    tables = {"drift_monitoring": drift}
    if verdicts is not None:
        tables["drift_verdicts"] = verdicts
    with memory.transaction() as connection:
        for table in ("drift_monitoring", "drift_verdicts"):
            connection.execute(
                f"DELETE FROM {table} WHERE session BETWEEN ? AND ?", [span.first, span.last]
            )
        for table, rows in tables.items():
            connection.register("measured", rows)
            connection.execute(f"INSERT INTO {table} BY NAME FROM measured")
            connection.unregister("measured")
