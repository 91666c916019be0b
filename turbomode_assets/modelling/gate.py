"""The GREEN gate: training and signals run on complete data, or say why they go on without."""

import datetime as dt
from dataclasses import dataclass

from turbomode_assets.completeness import (
    GateResult,
    backfill_command,
    measure_gate,
    require_green,
)
from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.config.loader import DATA_QUALITY_FILE, digest_of
from turbomode_assets.contracts.errors import ConfigurationError, MissingDataError
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import MasterReader, ModelMemory
from turbomode_assets.stores.model_registry import audit_override

TIMEFRAMES = ("1d",)
"""Bars, and so features, labels and signals, are made of daily candles."""


@dataclass(frozen=True)
class GateOutcome:
    """How a run came through the gate."""

    result: GateResult
    threshold: float
    override: str | None
    """The reason for which it was let through; None where the data were GREEN enough."""

    @property
    def facts(self) -> dict[str, object]:
        """What the gate saw: figures, and a table of what is not GREEN."""
        facts: dict[str, object] = {
            "green_share": self.result.green_share,
            "green_threshold": self.threshold,
            "not_green": self.result.not_green,
        }
        return facts | ({"gate_override": self.override} if self.override else {})


def pass_gate(
    store: MasterReader,
    memory: ModelMemory,
    rules: DataQualityConfig,
    span: SessionSpan,
    *,
    threshold: float,
    needed_by: str,
    override: str | None,
) -> GateOutcome:
    """Let a run go on if enough of the daily cells of every listed symbol in `span` is GREEN.

    `override` is the reason for going on below the threshold. It is logged, and shown on every
    artefact that comes of it.

    Sessions before the store's first candle are the start of history, and not expected.

    Raises:
        MissingDataError: naming what is not GREEN and the command that fills it.
        ConfigurationError: the reason of an override is blank.
    """
    result = _measure(store, rules, span, needed_by)
    if override is not None and not override.strip():
        raise ConfigurationError(
            "an override without a reason",
            where=f"run configuration of {needed_by}, key gate_override",
            fix="say why the data may be used as they are",
        )
    if override is None or result.green_share >= threshold:
        command = backfill_command(result)
        require_green(result, threshold, needed_by=needed_by, command=command)
        return GateOutcome(result, threshold, None)
    audit_override(
        memory,
        file=DATA_QUALITY_FILE,
        version=rules.version,
        digest=digest_of(rules),
        purpose=f"override of the GREEN gate for {needed_by}: {result.green_share:.4%} of {span} "
        f"is GREEN, {threshold:.4%} required. Reason: {override.strip()}",
        at=dt.datetime.now(dt.UTC),
    )
    return GateOutcome(result, threshold, override.strip())


def _measure(
    store: MasterReader, rules: DataQualityConfig, span: SessionSpan, needed_by: str
) -> GateResult:
    candles = store.stored_span("candles")
    if candles is None or not store.exists("partition_status"):
        raise MissingDataError(
            "nothing was audited yet",
            where=f"master, table partition_status, needed by {needed_by} for {span}",
            fix="materialize audit: dagster asset materialize -m turbomode_assets --select audit "
            f"--partition-range {span.first}...{span.last}",
        )
    begun = SessionSpan(min(max(span.first, candles.first), span.last), span.last)
    return measure_gate(
        store.read("partition_status", caller=needed_by, span=begun).rows,
        store.read("symbol_metadata", caller=needed_by).rows,
        begun,
        TIMEFRAMES,
        rules.ledger,
    )


def joined_reasons(*reasons: str | None) -> str | None:
    """One text for the overrides behind an artefact; None where there was none."""
    given = list(dict.fromkeys(reason for reason in reasons if reason))
    return "; ".join(given) or None
