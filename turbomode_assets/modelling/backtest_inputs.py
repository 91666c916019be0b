"""What a backtest as of a session reads: what was stored by then, and nothing known later."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from turbomode_assets.config.loader import digest_of
from turbomode_assets.config.training import TripleBarrierConfig
from turbomode_assets.contracts.errors import MissingDataError
from turbomode_assets.contracts.tables import LABELS
from turbomode_assets.labels import lookback_sessions, triple_barrier
from turbomode_assets.modelling.corporate_actions import delistings_of, read_corporate_actions
from turbomode_assets.sessions import (
    SessionSpan,
    offset_session,
    session_indices,
)
from turbomode_assets.settings import Settings
from turbomode_assets.stores import Lake, MasterReader, ModelMemory, PinnedRows
from turbomode_assets.stores.reader import versions_of
from turbomode_assets.stores.signal_book import signals_said, trading_rules

CALLER = "backtest"
_SAID = ["symbol", "session", "signal", "p_sell", "p_hold", "p_buy", "model_version"]
_DECISION = LABELS.key


@dataclass(frozen=True)
class BacktestInputs:
    """Stored signals of a span, the market they are traded in, and how each one ends."""

    span: SessionSpan
    """From the first stored signal to the session that the backtest is as of."""
    predictions: pl.DataFrame
    """What went out."""
    said: pl.DataFrame
    """What every model said, sent or not, by model memory."""
    bars: pl.DataFrame
    """Forward-adjusted."""
    labels: pl.DataFrame
    """Of the lake, known in the span, with the digest of their rule."""
    label_rules: pl.DataFrame
    rules: Mapping[str, TripleBarrierConfig]
    """By model version."""
    universe: pl.DataFrame
    reads: tuple[PinnedRows, ...]

    @property
    def versions(self) -> dict[str, int]:
        """Version of each table that was read."""
        return versions_of(self.reads)

    @property
    def vendors(self) -> list[str]:
        """Who delivered the bars."""
        return self.bars.get_column("vendor").unique().sort().to_list()


def read_backtest_inputs(
    as_of: dt.date,
    sessions: int | None,
    settings: Settings,
    master: MasterReader,
    lake: Lake,
    memory: ModelMemory,
) -> BacktestInputs:
    """Read the last `sessions` sessions (None: all) of stored signals up to `as_of`.

    Raises:
        MissingDataError: no signals are stored for `as_of`, or bars or labels of the span are not.
    """
    predictions = _read_predictions(lake, as_of, sessions)
    span = SessionSpan(predictions.rows["session"].min(), as_of)  # type: ignore[arg-type]  # a date
    said, rules = signals_said(memory, span), trading_rules(memory)
    window = max((rule.volatility_window_sessions for rule in rules.values()), default=0)
    due = SessionSpan(as_of, as_of)
    bars = lake.read_complete("bars", caller=CALLER, span=span.trailing(window), due=due)
    made = lake.read_complete("label_rules", caller=CALLER, span=span, due=due, asset="labels")
    labels = lake.read("labels", caller=CALLER, span=span)
    curation = settings.data_quality().curation
    actions = read_corporate_actions(master, curation, caller=CALLER)
    universe = master.read("symbol_metadata", caller=CALLER)
    signalled = pl.concat([predictions.rows["symbol"], said["symbol"]]).unique()
    return BacktestInputs(
        span=span,
        predictions=predictions.rows,
        said=said,
        bars=actions.adjust(bars.rows.filter(pl.col("symbol").is_in(signalled.implode()))),
        labels=labels.rows.join(
            made.rows.select("session", "rule_digest"), on="session", how="left", validate="m:1"
        ),
        label_rules=made.rows,
        rules=rules,
        universe=universe.rows,
        reads=(predictions, bars, labels, made, *actions.reads, universe),
    )


def _read_predictions(lake: Lake, as_of: dt.date, sessions: int | None) -> PinnedRows:
    """Stored predictions of the span, which must not lack those of its last session."""
    stored = lake.stored_span("predictions")
    if stored is not None and stored.first <= as_of:
        span = SessionSpan(stored.first, as_of)
        if sessions is not None and len(span.sessions) > sessions:
            span = SessionSpan(offset_session(as_of, 1 - sessions), as_of)
        found = lake.read("predictions", caller=CALLER, span=span, columns=_SAID)
        if (found.rows["session"] == as_of).any():
            return found
    raise MissingDataError(
        f"no signals are stored for {as_of}",
        where=f"{lake.owner}/predictions, needed by {CALLER} as of {as_of}",
        fix="materialize them first: dagster asset materialize -m turbomode_assets "
        f"--select signals --partition {as_of}",
    )


def labels_of(signals: pl.DataFrame, inputs: BacktestInputs) -> pl.DataFrame:
    """The label of each BUY and SELL by its own model's rule, as far as it is known.

    Labels of the lake are by the rule in force when they were made. Where that is another one than
    a model's, the label function decides by the model's: its signals do not stay open for ever.
    """
    digests = {name: digest_of(rule) for name, rule in inputs.rules.items()}
    wanted = signals.filter(
        pl.col("signal") != "HOLD", pl.col("model_version").is_in(list(digests))
    ).select(
        "symbol",
        pl.col("session").alias("decision_session"),
        rule_digest=pl.col("model_version").replace_strict(
            digests, default=None, return_dtype=pl.String
        ),
    )
    found = inputs.labels.join(wanted, on=[*_DECISION, "rule_digest"], how="semi")
    waiting = wanted.join(found, on=_DECISION, how="anti")
    columns = [name for name in inputs.labels.columns if name != "rule_digest"]
    computed = [
        _labels_by(rule, waiting.filter(rule_digest=digest), inputs)
        for digest, rule in {digest_of(rule): rule for rule in inputs.rules.values()}.items()
    ]
    return pl.concat([frame.select(columns) for frame in (found, *computed)])


def _labels_by(
    rule: TripleBarrierConfig, waiting: pl.DataFrame, inputs: BacktestInputs
) -> pl.DataFrame:
    """Labels by a rule of those decisions in whose time the lake's were made by another one."""
    foreign = inputs.label_rules.filter(pl.col("rule_digest") != digest_of(rule))["session"]
    at = session_indices(waiting["decision_session"]).to_numpy()
    others = np.append(np.sort(session_indices(foreign).to_numpy()), np.iinfo(np.int64).max)
    wait = lookback_sessions(rule) - rule.volatility_window_sessions
    is_strange = others[np.searchsorted(others, at, side="right")] <= at + wait
    strangers = waiting.filter(pl.Series(is_strange, dtype=pl.Boolean))
    if strangers.is_empty():
        return inputs.labels.clear()
    symbols = strangers["symbol"].unique()
    computed = triple_barrier(
        inputs.bars.filter(pl.col("symbol").is_in(symbols.implode())),
        rule,
        known_in=inputs.span,
        delistings=delistings_of(inputs.universe),
    )
    return computed.join(strangers, on=_DECISION, how="semi")


def sessions_without_signals(inputs: BacktestInputs) -> int:
    """Sessions of the span in which nothing went out: nights that were left out."""
    return len(inputs.span.sessions) - inputs.predictions["session"].n_unique()
