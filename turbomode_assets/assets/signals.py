"""Signals: what the champion says about every symbol, with all that is needed to explain it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import dagster as dg
import polars as pl

from turbomode_assets.assets.feature_sets import require_feature_set, stored_feature_sets
from turbomode_assets.assets.gate import GateConfiguration, joined_reasons, pass_gate
from turbomode_assets.assets.metadata import (
    OWNERS,
    definition_metadata,
    table_metadata,
    versions_of,
)
from turbomode_assets.automation.partitions import SESSIONS, session_span, trailing_sessions
from turbomode_assets.config.learning import LONGEST_TRAINING
from turbomode_assets.config.training import LONGEST_SEQUENCE
from turbomode_assets.contracts.errors import MissingDataError, TurbomodeError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import PREDICTIONS
from turbomode_assets.curation import with_sectors
from turbomode_assets.ensemble import Ensemble, load_ensemble, prediction_matrix
from turbomode_assets.features import LONGEST_WINDOW
from turbomode_assets.reports import signal_table
from turbomode_assets.resources.boundary import explained
from turbomode_assets.resources.settings import SettingsResource
from turbomode_assets.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.signals import make_predictions, release_signals
from turbomode_assets.stores import Artifacts, Pinned
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.model_registry import Champion, challengers_over, champions_over
from turbomode_assets.stores.signal_book import record_signals

Answer = TypeVar("Answer")


@dg.asset(
    group_name="signals",
    partitions_def=SESSIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"polars", "deltalake", "duckdb"},
    owners=OWNERS,
    metadata=definition_metadata(PREDICTIONS),
    ins={
        "features": dg.AssetIn(partition_mapping=trailing_sessions(LONGEST_SEQUENCE)),
        "bars": dg.AssetIn(),
    },
    deps=[
        dg.AssetDep("ensemble", partition_mapping=trailing_sessions(LONGEST_TRAINING)),
        dg.AssetDep("audit", partition_mapping=trailing_sessions(LONGEST_SEQUENCE)),
        "symbol_metadata",
        "sector_mappings",
    ],
)
@explained
def signals(
    context: dg.AssetExecutionContext,
    config: GateConfiguration,
    features: Pinned,
    bars: Pinned,
    settings: SettingsResource,
    master: MasterReaderResource,
    memory: MemoryResource,
    artifacts: ArtifactsResource,
    lake_store: LakeResource,
) -> dg.MaterializeResult[None]:
    """BUY, HOLD or SELL for every tradeable symbol; asking for signals never trains."""
    span, store = session_span(context), master.open()
    book, lake = memory.open(), lake_store.open()
    universe = store.read("symbol_metadata", caller="signals")
    sectors = store.read("sector_mappings", caller="signals")
    reads = (features, bars, universe, sectors)
    sets = stored_feature_sets(lake, span.trailing(LONGEST_SEQUENCE), caller="signals")
    tradeable = universe.rows.filter(pl.col("role") == "tradeable").get_column("symbol")
    quoted = bars.rows.filter(pl.col("symbol").is_in(tradeable.implode()))
    reigns = [_open_reign(*each, artifacts.open()) for each in champions_over(book, span)]
    shadows = Shadows(challengers_over(book, span), artifacts.open())
    quality = settings.data_quality()
    passage = pass_gate(
        store,
        book,
        quality,
        _sessions_read(span, [*reigns, *shadows.reigns]),
        threshold=quality.gate.signals_green_share,
        needed_by=f"signals of {span}",
        configuration=config,
    )
    market = Market(features.rows, sets, quoted, versions_of(reads), passage.override)
    release = release_signals(
        pl.concat(_predict(reign, market) for reign in reigns), shadows.predict(market)
    )
    # The lake first: whatever is active in memory has its row of predictions.
    written = lake.replace("predictions", release.sent, span=span, caller="signals")
    if release.shadow.height or lake.exists("shadow_predictions"):
        lake.replace("shadow_predictions", release.shadow, span=span, caller="signals")
    sectored = with_sectors(quoted, sectors.rows).select("symbol", "session", "sector")
    record_signals(book, release.sent, quoted, sectored, said=release.said)
    table = signal_table(release.sent.filter(pl.col("session") == span.last))
    metadata = table_metadata(release.sent, span, reads=reads, signals=dg.MetadataValue.md(table))
    metadata |= passage.metadata | shadows.metadata
    return dg.MaterializeResult(metadata=metadata | {"store_version": written.version})


@dataclass(frozen=True)
class Reign:
    """A champion or challenger, the sessions it is that for, and its models."""

    champion: Champion
    sessions: SessionSpan
    model: Ensemble


@dataclass(frozen=True)
class Market:
    """What predictions are made from: features and their sets, bars, what was read, and a waiver.

    `quoted` holds the bars of the tradeable symbols.
    """

    features: pl.DataFrame
    sets: pl.DataFrame
    quoted: pl.DataFrame
    store_versions: dict[str, int]
    gate_override: str | None


class Shadows:
    """The challengers of a span. One that fails is left out, and the metadata say why.

    A model that is on trial must not keep the champion's signals back.
    """

    def __init__(
        self, challengers: list[tuple[Champion, SessionSpan]], artifacts: Artifacts
    ) -> None:
        self._left_out: dict[str, str] = {}
        opened = [
            self._try(challenger, partial(_open_reign, challenger, sessions, artifacts))
            for challenger, sessions in challengers
        ]
        self.reigns = [reign for reign in opened if reign is not None]

    def predict(self, market: Market) -> list[tuple[pl.DataFrame, float]]:
        """Each challenger's predictions and the share of the symbols that go out with them."""
        answers = [
            self._try(reign.champion, partial(_challenge, reign, market)) for reign in self.reigns
        ]
        return [answer for answer in answers if answer is not None]

    @property
    def metadata(self) -> dict[str, str]:
        """Who predicted in shadow, and who could not."""
        names = {reign.champion.model_version for reign in self.reigns} - self._left_out.keys()
        told = {"challengers": ", ".join(sorted(names))} if names else {}
        if self._left_out:
            reasons = [f"{name}: {reason}" for name, reason in sorted(self._left_out.items())]
            told["challengers_left_out"] = "\n".join(reasons)
        return told

    def _try(self, challenger: Champion, work: Callable[[], Answer]) -> Answer | None:
        try:
            return work()
        except TurbomodeError as error:
            self._left_out[challenger.model_version] = str(error)
            return None


def _open_reign(champion: Champion, sessions: SessionSpan, artifacts: Artifacts) -> Reign:
    folder = artifacts.model_folder(champion.model_version) / ENSEMBLE
    return Reign(champion, sessions, load_ensemble(folder))


def _sessions_read(span: SessionSpan, reigns: list[Reign]) -> SessionSpan:
    """Sessions whose bars the predictions of a span rest on."""
    look_back = max(reign.model.look_back_sessions for reign in reigns)
    return span.trailing(look_back + LONGEST_WINDOW - 1)


def _challenge(reign: Reign, market: Market) -> tuple[pl.DataFrame, float]:
    return _predict(reign, market), reign.model.config.model_promotion_gate.ab_share


def _predict(reign: Reign, market: Market) -> pl.DataFrame:
    champion, model = reign.champion, reign.model
    _require_features(market.features, market.quoted, reign.sessions)
    require_feature_set(
        market.sets,
        reign.sessions.trailing(model.look_back_sessions),
        champion.feature_digest,
        reader=f"champion {champion.model_version}",
    )
    matrix, rows = prediction_matrix(
        market.features.join(market.quoted, on="symbol", how="semi"),
        reign.sessions,
        model.columns,
        model.families,
        look_back_sessions=model.look_back_sessions,
    )
    return make_predictions(
        rows,
        model.predict_proba(matrix),
        model.config.signals,
        model_version=champion.model_version,
        feature_digest=champion.feature_digest,
        config_digest=champion.config_digest,
        store_versions=market.store_versions,
        vendors=market.quoted,
        gate_override=joined_reasons(champion.gate_override, market.gate_override),
    )


def _require_features(features: pl.DataFrame, quoted: pl.DataFrame, reign: SessionSpan) -> None:
    """Refuse bars without a row of features: features older than the bars they stand for."""
    due = quoted.filter(pl.col("session").is_between(reign.first, reign.last))
    missing = due.join(features, on=["symbol", "session"], how="anti")
    if missing.height:
        raise MissingDataError(
            f"bars without features: {describe_rows(missing, ['symbol', 'session'])}",
            where=f"signals, {reign}",
            fix="materialize features again: dagster asset materialize -m turbomode_assets "
            f"--select features --partition-range {reign.first}...{reign.last}",
        )
