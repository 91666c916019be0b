"""What a training run reads, at the newest versions of the stores or at recorded ones."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.config.loader import digest_of
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.contracts.errors import MissingDataError, StoreError, first_few
from turbomode_assets.curation import with_sectors
from turbomode_assets.ensemble import TrainingSet, assemble_training_set, load_ensemble
from turbomode_assets.ensemble.training_set import with_sectors as name_sectors
from turbomode_assets.features import LONGEST_WINDOW, FeatureSet
from turbomode_assets.modelling.corporate_actions import read_corporate_actions
from turbomode_assets.modelling.feature_sets import select_columns, stored_columns
from turbomode_assets.models import look_back_sessions
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.model_registry import Champion, champion_or_none
from turbomode_assets.stores.outcomes import known_outcomes
from turbomode_assets.validation import require_no_leak
from turbomode_assets.validation.leakage import sampled_rows

Versions = Mapping[str, int]
_CALLER = "ensemble"
_LEARNED = ("features", "feature_health", "labels", "label_rules")


@dataclass(frozen=True)
class TrainingMarket:
    """Forward-adjusted bars up to the as-of session, the sector of each, and who delivered them.

    Signals go out for the `tradeable` symbols, and only they are learned from.
    """

    adjusted: pl.DataFrame
    sectors: pl.DataFrame
    tradeable: tuple[str, ...]
    vendors: tuple[str, ...]
    versions: dict[str, int]


def training_span(as_of: dt.date, rules: TrainingConfig) -> SessionSpan:
    """Sessions whose decisions are learned from."""
    return SessionSpan(as_of, as_of).trailing(rules.data_sources.training_sessions)


def candle_span(as_of: dt.date, rules: TrainingConfig) -> SessionSpan:
    """Sessions whose candles the training rows are made of: windows of features and labels too."""
    barriers = rules.triple_barrier
    labels = barriers.volatility_window_sessions + barriers.horizon_sessions + 1
    models = look_back_sessions(rules.ensemble_config.models)
    return training_span(as_of, rules).trailing(max(models + LONGEST_WINDOW - 1, labels))


def bar_span(as_of: dt.date, rules: TrainingConfig) -> SessionSpan:
    """Sessions whose bars name regimes and rare events of the decisions learned from."""
    regimes = rules.regime_labeling
    windows = (
        regimes.trend_window_sessions,
        regimes.volatility_window_sessions + regimes.volatility_history_sessions,
        rules.rare_event_archive.window_sessions + 1,
    )
    return training_span(as_of, rules).trailing(max(windows))


def read_market(
    lake: Lake,
    master: MasterReader,
    as_of: dt.date,
    rules: TrainingConfig,
    curation: CurationConfig,
    *,
    versions: Versions | None = None,
) -> TrainingMarket:
    """Read bars, corporate actions and sectors, at `versions` where they are given."""
    pinned = versions or {}
    span = bar_span(as_of, rules)
    bars = lake.read("bars", caller=_CALLER, span=span, version=pinned.get("bars"))
    actions = read_corporate_actions(master, curation, caller=_CALLER, versions=pinned)
    mappings, universe = (
        master.read(name, caller=_CALLER, version=pinned.get(name))
        for name in ("sector_mappings", "symbol_metadata")
    )
    learned = training_span(as_of, rules)
    vendors = bars.rows.filter(pl.col("session") >= learned.first).get_column("vendor")
    return TrainingMarket(
        adjusted=actions.adjust(bars.rows).select(
            "symbol", "session", "open", "high", "low", "close", "volume"
        ),
        sectors=with_sectors(bars.rows, mappings.rows).select("symbol", "session", "sector"),
        tradeable=tuple(universe.rows.filter(pl.col("role") == "tradeable")["symbol"].sort()),
        vendors=tuple(vendors.unique().sort()),
        versions={each.table: each.version for each in (bars, *actions.reads, mappings, universe)},
    )


def learned_versions(lake: Lake) -> dict[str, int]:
    """Present versions of the tables that are learned from."""
    return {name: lake.version(name) for name in _LEARNED}


def read_training_set(
    lake: Lake,
    as_of: dt.date,
    rules: TrainingConfig,
    versions: Versions,
    *,
    columns: FeatureSet,
    families: Mapping[str, str],
    sectors: pl.DataFrame,
    tradeable: Sequence[str],
) -> TrainingSet:
    """Read features and labels at `versions`: complete, of one set and one rule, without leaks.

    `columns` are learned from; `families` has the family of each.
    """
    span = training_span(as_of, rules)
    history = span.trailing(look_back_sessions(rules.ensemble_config.models))
    due = SessionSpan(as_of, as_of)
    features = lake.read_complete(
        "features", caller=_CALLER, span=history, due=due, version=versions["features"]
    )
    stored = stored_columns(
        lake,
        history,
        caller=_CALLER,
        benchmarks=[columns.benchmark],
        version=versions["feature_health"],
    )
    learned_from = select_columns(features.rows, stored.rows, columns, reader="training")
    label_rules = lake.read_complete(
        "label_rules",
        caller=_CALLER,
        span=span,
        due=due,
        asset="labels",
        version=versions["label_rules"],
    )
    _require_rule(label_rules.rows, digest_of(rules.triple_barrier))
    labels = lake.read("labels", caller=_CALLER, span=span, version=versions["labels"])
    learned = labels.rows.filter(pl.col("symbol").is_in(list(tradeable)))
    training_set = assemble_training_set(
        learned_from, learned, as_of=as_of, config=rules, families=families
    )
    judged = sampled_rows(training_set.labels, training_set.exit_reasons)
    require_no_leak(
        training_set.matrix.select(judged).values,
        training_set.matrix.columns,
        training_set.labels[judged],
        training_set.exit_reasons[judged],
        maximum_auc=rules.validation_strategy.maximum_feature_auc,
    )
    return name_sectors(training_set, sectors)


FORECASTS = ("symbol", "decision_session", "p_sell", "p_hold", "p_buy", "model_version")
"""What a model said of a decision."""


def champion_before(memory: ModelMemory, as_of: dt.date) -> Champion | None:
    """The champion that a model trained as of a session would replace; None without one.

    That of the session before: training the same session again must not meet itself.
    """
    return champion_or_none(memory, offset_session(as_of, -1))


def champion_forecasts(
    memory: ModelMemory, artifacts: Artifacts, as_of: dt.date
) -> tuple[pl.DataFrame | None, str]:
    """What the champion so far said of rows it had not learned from; None, and why, without any."""
    champion = champion_before(memory, as_of)
    if champion is None:
        return None, "there is no champion yet"
    try:
        trained = load_ensemble(artifacts.model_folder(champion.model_version) / ENSEMBLE)
    except StoreError as error:
        # A damaged champion must not stop its successor.
        return None, str(error)
    version = pl.lit(champion.model_version).alias("model_version")
    return trained.out_of_sample.with_columns(version).select(FORECASTS), champion.model_version


def known_forecasts(
    lake: Lake,
    rules: TrainingConfig,
    versions: Versions,
    *,
    champion: pl.DataFrame | None,
    comparable: frozenset[str],
    as_of: dt.date,
) -> pl.DataFrame:
    """Forecasts whose outcomes are known: signals of the past, and the champion's out of sample.

    Only of `comparable` models, which forecast labels of the present rule; outcomes are the labels
    as they are now.
    """
    known = known_outcomes(
        lake,
        training_span(as_of, rules),
        caller=_CALLER,
        labels_version=versions["labels"],
        others=champion,
    )
    return known.filter(pl.col("model_version").is_in(list(comparable)))


def _require_rule(rules: pl.DataFrame, digest: str) -> None:
    other = rules.filter(pl.col("rule_digest") != digest).get_column("session")
    if other.len():
        raise MissingDataError(
            f"labels of {other.len()} sessions were made by another rule than triple_barrier now: "
            f"{first_few(other)}",
            where="lake, table labels",
            fix="materialize them again: dagster asset materialize -m turbomode_assets "
            f"--select labels --partition-range {other[0]}...{other[-1]}",
        )
