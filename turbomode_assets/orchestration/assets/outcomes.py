"""Outcomes: how signals ended, once the label function knows it, and how good that makes them."""

from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.config.learning import LONGEST_REGIME_HISTORY
from turbomode_assets.config.training import LONGEST_HORIZON
from turbomode_assets.modelling.regimes import signalled_regimes
from turbomode_assets.orchestration.assets.metadata import OWNERS, table_metadata
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.reports import preview_markdown
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.signals import close_signals, fully_known, name_unsettled, outcome_figures
from turbomode_assets.stores import Lake, ModelMemory
from turbomode_assets.stores.signal_book import (
    label_rules,
    outcomes_of,
    record_outcomes,
    signals_said,
    unsettled_signals,
)

LONGEST_WAIT = LONGEST_HORIZON + 1
"""Sessions from a signal to its vertical barrier, at most."""
FIGURES_SESSIONS = 252
"""Sessions up to a run's last one whose signals its figures count, as far as they are due."""
LONGEST_REGIME_WINDOW = 252
SHOWN_ROWS = 40
_NOT_SHOWN = ("model_version", "role", "label", "entry_session", "entry_price", "exit_price")
_CALLER = "outcomes"


@dg.asset(
    group_name="signals",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"polars", "duckdb"},
    owners=OWNERS,
    deps=[
        "labels",
        dg.AssetDep("signals", partition_mapping=trailing_sessions(LONGEST_WAIT)),
        dg.AssetDep(
            "bars",
            partition_mapping=trailing_sessions(
                FIGURES_SESSIONS + LONGEST_REGIME_HISTORY + LONGEST_REGIME_WINDOW
            ),
        ),
        "splits",
        "dividends",
    ],
)
@explained
def outcomes(
    context: dg.AssetExecutionContext,
    settings: SettingsResource,
    master: MasterReaderResource,
    memory: MemoryResource,
    lake_store: LakeResource,
) -> dg.MaterializeResult[None]:
    """Signals whose label became known in these sessions, as won, lost or expired."""
    span, book, lake = session_span(context), memory.open(), lake_store.open()
    rules = lake.read_complete("label_rules", caller=_CALLER, span=span, due=span, asset="labels")
    labels = lake.read("labels", caller=_CALLER, span=span)
    closed = close_signals(
        signals_said(book, span.trailing(LONGEST_WAIT)), _with_rule(labels.rows, rules.rows)
    )
    record_outcomes(book, closed, _judged(rules.rows, book))
    unsettled = _unsettled(book, lake, span)
    recent = outcomes_of(book, SessionSpan(span.last, span.last).trailing(FIGURES_SESSIONS - 1))
    recent = fully_known(recent, as_of=span.last)
    regimes = signalled_regimes(recent, lake, master.open(), settings, caller=_CALLER)
    figures = _figure_metadata(recent, regimes)
    shown = closed.drop(_NOT_SHOWN)
    facts = table_metadata(shown, span, reads=(rules, labels), unsettled=unsettled.height)
    return dg.MaterializeResult(metadata=facts | _unsettled_metadata(unsettled) | figures)


def _with_rule(labels: pl.DataFrame, rules: pl.DataFrame) -> pl.DataFrame:
    """Labels with the digest of the rule that they were made by."""
    made = rules.select("session", "rule_digest")
    return labels.join(made, on="session", how="left", validate="m:1")


def _judged(rules: pl.DataFrame, memory: ModelMemory) -> pl.DataFrame:
    """Sessions and models of one rule: of these, what becomes known is known in full."""
    return (
        rules.select("rule_digest", known_session="session")
        .join(label_rules(memory), on="rule_digest", how="inner", validate="m:m")
        .select("known_session", "model_version")
    )


def _unsettled(memory: ModelMemory, lake: Lake, span: SessionSpan) -> pl.DataFrame:
    """Signals ever that are due by the end of a span and have no outcome, each with the reason."""
    waiting = unsettled_signals(memory, span.last)
    first = waiting.get_column("session").to_list()[:1] or [span.last]
    since = SessionSpan(first[0], span.last)
    rules = lake.read("label_rules", caller=_CALLER, span=since).rows
    labels = lake.read(
        "labels", caller=_CALLER, span=since, columns=["symbol", "session", "decision_session"]
    ).rows
    return name_unsettled(waiting, _with_rule(labels, rules), rules, as_of=span.last)


def _unsettled_metadata(unsettled: pl.DataFrame) -> dict[str, Any]:
    """Signals that stay open, by reason, model and session, the newest first."""
    if unsettled.is_empty():
        return {}
    named = (
        unsettled.group_by("reason", "model_version", "session", "due_session")
        .agg(signals=pl.len(), symbols=pl.col("symbol").sort().str.join(", "))
        .sort("session", "model_version", "reason", descending=[True, False, False])
    )
    reasons = unsettled.group_by("reason").agg(signals=pl.len()).sort("reason")
    return {
        "unsettled_reasons": dg.MetadataValue.md(preview_markdown(reasons)),
        "unsettled_signals": dg.MetadataValue.md(preview_markdown(named, rows=SHOWN_ROWS)),
    }


def _figure_metadata(known: pl.DataFrame, regimes: pl.DataFrame | None) -> dict[str, Any]:
    """Figures of the champions' outcomes, and beside them those of challengers."""
    is_champion = pl.col("role") == "champion"
    facts: dict[str, Any] = {}
    for prefix, rows in (
        ("", known.filter(is_champion)),
        ("challenger_", known.filter(~is_champion)),
    ):
        figures = outcome_figures(rows, regimes)
        for (by,), group in figures.group_by("by", maintain_order=True):
            shown = preview_markdown(group.drop("by"), rows=group.height)
            name = f"{prefix}figures_by_{str(by).replace(' ', '_')}"
            facts[name] = dg.MetadataValue.md(shown)
    return facts
