"""Signals: what the champion says about every symbol, with all that is needed to explain it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.config.learning import LONGEST_TRAINING
from turbomode_assets.config.training import (
    LONGEST_LIQUIDITY_WINDOW,
    LONGEST_SEQUENCE,
    LONGEST_VOLATILITY_WINDOW,
)
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.curation import with_sectors
from turbomode_assets.modelling.champion_periods import (
    Challengers,
    ChampionPeriod,
    PeriodPredictions,
    PredictionInputs,
    open_reign,
    predict,
)
from turbomode_assets.modelling.corporate_actions import CorporateActions, read_corporate_actions
from turbomode_assets.modelling.feature_sets import stored_columns
from turbomode_assets.modelling.gate import TIMEFRAMES, GateOutcome, pass_gate
from turbomode_assets.modelling.signal_reasons import SignalReasons, signal_reasons
from turbomode_assets.orchestration.assets.gate_configuration import GateConfiguration
from turbomode_assets.orchestration.assets.metadata import (
    OWNERS,
    definition_metadata,
    shown,
    table_metadata,
)
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.reports import preview_markdown, signal_table
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.signals import Release, rank_signals, release_signals
from turbomode_assets.signals.scanner import REASONS, left_out_counts
from turbomode_assets.stores import Lake, MasterReader, ModelMemory, PinnedRows
from turbomode_assets.stores.model_registry import challengers_over, champions_over
from turbomode_assets.stores.reader import versions_of
from turbomode_assets.stores.signal_book import record_signals

LONGEST_BAR_WINDOW = max(LONGEST_LIQUIDITY_WINDOW, LONGEST_VOLATILITY_WINDOW)
"""Sessions before a decision whose bars say how liquid it is, and where its barriers lie."""
_CALLER = "signals"


@dg.asset(
    group_name="signals",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="2",
    kinds={"polars", "deltalake", "duckdb"},
    owners=OWNERS,
    metadata=definition_metadata(PREDICTIONS),
    ins={
        "features": dg.AssetIn(partition_mapping=trailing_sessions(LONGEST_SEQUENCE)),
        "bars": dg.AssetIn(partition_mapping=trailing_sessions(LONGEST_BAR_WINDOW)),
    },
    deps=[
        dg.AssetDep("ensemble", partition_mapping=trailing_sessions(LONGEST_TRAINING)),
        dg.AssetDep("audit", partition_mapping=trailing_sessions(LONGEST_SEQUENCE)),
        "symbol_metadata",
        "sector_mappings",
        "splits",
        "dividends",
    ],
)
@explained
def signals(
    context: dg.AssetExecutionContext,
    config: GateConfiguration,
    features: PinnedRows,
    bars: PinnedRows,
    settings: SettingsResource,
    master: MasterReaderResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
    lake_store: LakeResource,
) -> dg.MaterializeResult[None]:
    """BUY, HOLD or SELL for every tradeable symbol; asking for signals never trains."""
    span, store, files = session_span(context), master.open(), artifacts.open()
    book, lake, quality = memory.open(), lake_store.open(), settings.data_quality()
    reigns = [open_reign(*each, files) for each in champions_over(book, span)]
    shadows = Challengers(challengers_over(book, span), files)
    stored = _stored_columns(lake, span, [*reigns, *shadows.reigns])
    tables = _read_tables(store, quality, features, stored, bars, span)
    outcome = _pass(store, book, quality, span, reigns, shadows, config.gate_override)
    market = tables.market(outcome)
    said = [predict(reign, market) for reign in reigns]
    champions = pl.concat(each.rows for each in said)
    tried = shadows.predict(market)
    shares = [(each.rows, share) for each, share in tried]
    release = rank_signals(release_signals(champions, shares))
    reasons = signal_reasons([*said, *(each for each, _ in tried)], release.sent)
    version = _store(lake, release, reasons, span)
    record_signals(book, release.sent, market.bars, tables.sectors_in(span), said=release.said)
    metadata = table_metadata(release.sent, span, reads=tables.reads, store_version=version)
    metadata |= _told(release, said, span) | shown(outcome.facts) | shadows.metadata
    return dg.MaterializeResult(metadata=metadata)


@dataclass(frozen=True)
class _Tables:
    """What a run reads besides models; `stored` says which formula each column holds."""

    features: PinnedRows
    stored: PinnedRows
    bars: PinnedRows
    actions: CorporateActions
    universe: PinnedRows
    mappings: PinnedRows
    ledger: PinnedRows

    @property
    def reads(self) -> tuple[PinnedRows, ...]:
        """Every table, as the signals record it."""
        own = (self.features, self.stored, self.bars, self.universe, self.mappings, self.ledger)
        return (*own, *self.actions.reads)

    @property
    def quoted(self) -> pl.DataFrame:
        """Bars of the symbols that signals may go out for."""
        symbols = self.universe.rows.filter(role="tradeable").get_column("symbol")
        return self.bars.rows.filter(pl.col("symbol").is_in(symbols.implode()))

    def market(self, outcome: GateOutcome) -> PredictionInputs:
        """What models predict from."""
        return PredictionInputs(
            features=self.features.rows,
            stored=self.stored.rows,
            universe=self.universe.rows,
            bars=self.quoted,
            adjusted=self.actions.adjust(self.quoted),
            ledger=self.ledger.rows,
            store_versions=versions_of(self.reads),
            gate_override=outcome.override,
        )

    def sectors_in(self, span: SessionSpan) -> pl.DataFrame:
        """Sector of each symbol in each session of a span."""
        bars = self.quoted.filter(pl.col("session").is_between(span.first, span.last))
        return with_sectors(bars, self.mappings.rows).select("symbol", "session", "sector")


def _stored_columns(lake: Lake, span: SessionSpan, reigns: Sequence[ChampionPeriod]) -> PinnedRows:
    """Which formula each column of features holds, as far back as models read."""
    benchmarks = [reign.columns.benchmark for reign in reigns]
    reach = span.trailing(LONGEST_SEQUENCE)
    return stored_columns(lake, reach, caller=_CALLER, benchmarks=benchmarks)


def _read_tables(
    store: MasterReader,
    quality: DataQualityConfig,
    features: PinnedRows,
    stored: PinnedRows,
    bars: PinnedRows,
    span: SessionSpan,
) -> _Tables:
    universe, mappings = (
        store.read(name, caller=_CALLER) for name in ("symbol_metadata", "sector_mappings")
    )
    return _Tables(
        features=features,
        stored=stored,
        bars=bars,
        actions=read_corporate_actions(store, quality.curation, caller=_CALLER),
        universe=universe,
        mappings=mappings,
        ledger=store.read("partition_status", caller=_CALLER, span=span, timeframes=TIMEFRAMES),
    )


def _pass(
    store: MasterReader,
    book: ModelMemory,
    quality: DataQualityConfig,
    span: SessionSpan,
    reigns: list[ChampionPeriod],
    shadows: Challengers,
    override: str | None,
) -> GateOutcome:
    """Pass the GREEN gate with all that the champions' predictions of a span rest on.

    A challenger that looks back further than they do is left out where it does not pass with that.
    """

    def passed(first: dt.date, given: str | None) -> GateOutcome:
        return pass_gate(
            store,
            book,
            quality,
            SessionSpan(first, span.last),
            threshold=quality.gate.signals_green_share,
            needed_by=f"signals of {span}",
            override=given,
        )

    first = min(reign.sessions_read.first for reign in reigns)
    outcome = passed(first, override)
    # A reason that the champions did not need must not mark, or waive anything for, their signals.
    given = override if outcome.override else None

    def challenge(reign: ChampionPeriod) -> GateOutcome | None:
        begun = reign.sessions_read.first
        return passed(begun, given) if begun < first else None

    shadows.require(challenge)
    return outcome


def _store(lake: Lake, release: Release, reasons: SignalReasons, span: SessionSpan) -> int:
    """Write what went out, and what was said in shadow; return the version of what went out.

    The lake comes before memory: whatever is active there has its row of predictions.
    """
    columns = PREDICTIONS.column_names
    written = lake.replace("predictions", release.sent.select(columns), span=span, caller=_CALLER)
    if release.shadow.height or lake.exists("shadow_predictions"):
        shadow = release.shadow.select(columns)
        lake.replace("shadow_predictions", shadow, span=span, caller=_CALLER)
    lake.replace("model_probabilities", reasons.probabilities, span=span, caller=_CALLER)
    lake.replace("contributions", reasons.contributions, span=span, caller=_CALLER)
    return written.version


def _told(release: Release, said: list[PeriodPredictions], span: SessionSpan) -> dict[str, Any]:
    """Signals of the last session, and who was left out of any of them, for the run's metadata."""
    last = release.sent.filter(pl.col("session") == span.last)
    left_out = pl.concat(each.scan.left_out for each in said)
    counts = left_out_counts(left_out).with_columns(
        meaning=pl.col("reason").replace_strict(REASONS, return_dtype=pl.String)
    )
    return {
        "signals": dg.MetadataValue.md(signal_table(last)),
        "left_out_rows": left_out.height,
        "left_out": dg.MetadataValue.md(preview_markdown(counts, rows=counts.height)),
    }
