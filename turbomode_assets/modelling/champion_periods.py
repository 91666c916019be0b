"""Who predicts which sessions: champions, and challengers in shadow; and what each of them says."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import polars as pl

from turbomode_assets.config.judging import ModelPromotionGateConfig
from turbomode_assets.config.training import SignalsConfig, TripleBarrierConfig
from turbomode_assets.contracts.errors import MissingDataError, TurbomodeError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import BARS
from turbomode_assets.ensemble import Ensemble, load_ensemble, prediction_matrix
from turbomode_assets.ensemble.meta_learner import BaseProbabilities
from turbomode_assets.features import LONGEST_WINDOW, FeatureSet
from turbomode_assets.modelling.feature_sets import model_feature_set, select_columns
from turbomode_assets.modelling.gate import joined_reasons
from turbomode_assets.models import Matrix
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.signals import daily_volatility, make_predictions, with_trade_terms
from turbomode_assets.signals.scanner import NO_FEATURES, Scan, scan_symbols
from turbomode_assets.stores import Artifacts
from turbomode_assets.stores.artifacts import ENSEMBLE
from turbomode_assets.stores.model_registry import Champion

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ChampionPeriod:
    """A champion or challenger, the sessions it is that for, and its models."""

    champion: Champion
    sessions: SessionSpan
    model: Ensemble
    columns: FeatureSet
    """Formulas of the columns that the model reads."""

    @property
    def sessions_read(self) -> SessionSpan:
        """Sessions whose bars its predictions, their barriers and their liquidity rest on."""
        rules = self.model.rules
        windows = (
            self.model.look_back_sessions + LONGEST_WINDOW - 1,
            rules.read(TripleBarrierConfig).volatility_window_sessions,
            rules.read(SignalsConfig).liquidity_window_sessions - 1,
        )
        return self.sessions.trailing(max(windows))


@dataclass(frozen=True)
class PredictionInputs:
    """What predictions are made from.

    `features` and which formula each column holds (`stored`); `universe`, `bars` of its tradeable
    symbols with their look-back, the same `adjusted`, the `ledger`; the versions of all that was
    read, and a waiver of the gate.
    """

    features: pl.DataFrame
    stored: pl.DataFrame
    universe: pl.DataFrame
    bars: pl.DataFrame
    adjusted: pl.DataFrame
    ledger: pl.DataFrame
    store_versions: dict[str, int]
    gate_override: str | None


@dataclass(frozen=True)
class PeriodPredictions:
    """Predictions of a reign with what is traded on them, and who was left out of them.

    `keys` (symbol, session), `matrix` and `base`, the base models' probabilities, are row by row
    what was predicted from.
    """

    rows: pl.DataFrame
    scan: Scan
    period: ChampionPeriod
    keys: pl.DataFrame
    matrix: Matrix
    base: BaseProbabilities

    @property
    def model_version(self) -> str:
        """Whose predictions they are."""
        return self.period.champion.model_version


class Challengers:
    """The challengers of a span. One that fails is left out, and the metadata say why.

    A model that is on trial must not keep the champion's signals back.
    """

    def __init__(
        self, challengers: list[tuple[Champion, SessionSpan]], artifacts: Artifacts
    ) -> None:
        self._left_out: dict[str, str] = {}
        opened = [
            self._try(challenger, partial(open_reign, challenger, sessions, artifacts))
            for challenger, sessions in challengers
        ]
        self.reigns = [reign for reign in opened if reign is not None]

    def require(self, check: Callable[[ChampionPeriod], object]) -> None:
        """Leave out the challengers that a check refuses."""
        for reign in list(self.reigns):
            self._try(reign.champion, partial(check, reign))
            if reign.champion.model_version in self._left_out:
                self.reigns.remove(reign)

    def predict(self, market: PredictionInputs) -> list[tuple[PeriodPredictions, float]]:
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


def open_reign(champion: Champion, sessions: SessionSpan, artifacts: Artifacts) -> ChampionPeriod:
    """Load the models of a champion or challenger.

    Raises:
        StoreError: its files are gone, altered, or of a version with other rules, or its columns
            are not known.
    """
    model = load_ensemble(artifacts.model_folder(champion.model_version) / ENSEMBLE)
    reign = ChampionPeriod(champion, sessions, model, model_feature_set(model.stored_features))
    # Refuses rules of another version before anything is read for it.
    _ = reign.sessions_read
    return reign


def predict(reign: ChampionPeriod, market: PredictionInputs) -> PeriodPredictions:
    """Predict every tradeable symbol in each session of a reign.

    Raises:
        MissingDataError: a session has no tradeable symbol, or features are not there.
    """
    champion, model = reign.champion, reign.model
    scan, matrix, rows = _scan(reign, market)
    scan.require_every_session(
        reader=f"model {champion.model_version}", where=f"signals, {reign.sessions}"
    )
    base = model.base_probabilities(matrix)
    predictions = make_predictions(
        rows,
        model.stacked(base),
        model.rules.read(SignalsConfig),
        model_version=champion.model_version,
        feature_digest=champion.feature_digest,
        config_digest=champion.config_digest,
        store_versions=market.store_versions,
        vendors=market.bars,
        gate_override=joined_reasons(champion.gate_override, market.gate_override),
    )
    barriers = model.rules.read(TripleBarrierConfig)
    traded = with_trade_terms(predictions, scan.tradeable, barriers)
    return PeriodPredictions(traded, scan, reign, rows, matrix, base)


def _challenge(reign: ChampionPeriod, market: PredictionInputs) -> tuple[PeriodPredictions, float]:
    share = reign.model.rules.read_key(ModelPromotionGateConfig, "ab_share")
    return predict(reign, market), share


def _scan(reign: ChampionPeriod, market: PredictionInputs) -> tuple[Scan, Matrix, pl.DataFrame]:
    """Find who is tradeable, and the matrix of exactly these rows."""
    model, rules = reign.model, reign.model.rules
    _require_features(market.features, market.bars, reign.sessions)
    reach = reign.sessions.trailing(model.look_back_sessions)
    features = select_columns(
        market.features.filter(pl.col("session").is_between(reach.first, reach.last)),
        market.stored,
        reign.columns,
        reader=f"model {reign.champion.model_version}",
    )
    scan = scan_symbols(
        market.universe,
        market.bars,
        daily_volatility(market.adjusted, reign.sessions, rules.read(TripleBarrierConfig)),
        market.ledger,
        reign.sessions,
        rules.read(SignalsConfig),
        is_green_waived=market.gate_override is not None,
    )
    matrix, rows = prediction_matrix(
        features.join(market.bars, on="symbol", how="semi"),
        reign.sessions,
        model.columns,
        model.families,
        look_back_sessions=model.look_back_sessions,
    )
    places = rows.with_row_index("place").join(scan.tradeable, on=BARS.key, how="semi")
    picked = places.get_column("place").sort().cast(pl.Int64).to_numpy()
    return scan.keep(rows, reason=NO_FEATURES), matrix.select(picked), rows[np.asarray(picked)]


def _require_features(features: pl.DataFrame, quoted: pl.DataFrame, reign: SessionSpan) -> None:
    """Refuse bars without a row of features: features older than the bars they stand for."""
    due = quoted.filter(pl.col("session").is_between(reign.first, reign.last))
    missing = due.join(features, on=BARS.key, how="anti")
    if missing.height:
        raise MissingDataError(
            f"bars without features: {describe_rows(missing, BARS.key)}",
            where=f"signals, {reign}",
            fix="materialize features again: dagster asset materialize -m turbomode_assets "
            f"--select features --partition-range {reign.first}...{reign.last}",
        )
