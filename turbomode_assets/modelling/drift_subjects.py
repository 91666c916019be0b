"""Drift of what the champion says and of how labels come out, beside that of features."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field

import polars as pl

from turbomode_assets.config.training import DriftConfig
from turbomode_assets.contracts.errors import first_few
from turbomode_assets.drift import (
    DriftReference,
    drift_where_whole,
    outcome_values,
    subject_verdicts,
)
from turbomode_assets.drift.levels import tell_moves
from turbomode_assets.drift.subjects import (
    OUTCOME,
    PREDICTION,
    PREDICTION_COLUMNS,
    window_sessions,
)
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import Artifacts, Lake, MasterReader, ModelMemory
from turbomode_assets.stores.artifacts import OUTCOME_REFERENCE, PREDICTION_REFERENCE
from turbomode_assets.stores.model_registry import Champion
from turbomode_assets.stores.signal_book import label_rules, signals_said

ChampionSpans = list[tuple[Champion, SessionSpan]]
_CALLER = "drift_metrics"


@dataclass
class SubjectDrift:
    """What was measured of one subject, and the sessions that could not be, each with why."""

    subject: str
    drift: list[pl.DataFrame] = field(default_factory=list)
    lacking: dict[dt.date, str] = field(default_factory=dict)
    without_levels: set[str] = field(default_factory=set)

    @property
    def verdicts(self) -> pl.DataFrame:
        """Verdict on each session that was measured."""
        if not self.drift:
            return pl.DataFrame(schema={"session": pl.Date, "verdict": pl.String})
        return subject_verdicts(pl.concat(self.drift), self.subject)

    @property
    def metadata(self) -> dict[str, str]:
        """The newest verdict, and what moved; where sessions have none, how many and why."""
        verdicts, name = self.verdicts, f"{self.subject}s"
        told = {f"{name}_verdict": verdicts["verdict"][-1]} if verdicts.height else {}
        if self.drift and (moves := tell_moves(pl.concat(self.drift))):
            told[f"{name}_moved"] = moves
        if self.without_levels:
            told[f"{name}_levels"] = (
                f"{first_few(sorted(self.without_levels))} was stored without levels: it must be "
                "trained again before a sudden move of what it says is an alert"
            )
        if self.lacking:
            last = max(self.lacking)
            told[f"{name}_not_judged"] = (
                f"{len(self.lacking)} sessions; the last, {last}: {self.lacking[last]}"
            )
        return told

    def leave_out(self, sessions: SessionSpan, reason: str) -> None:
        """Judge none of these sessions."""
        self.lacking |= dict.fromkeys(sessions.sessions, reason)

    def measure(
        self,
        champion: Champion,
        sessions: SessionSpan,
        rows: pl.DataFrame,
        reference: DriftReference,
        config: DriftConfig,
        *,
        made: Collection[dt.date],
        what: str,
    ) -> None:
        """Measure a champion's sessions where the windows are whole; `what` names the rows."""
        drift, lacking = drift_where_whole(reference, rows, sessions, config, made=made)
        if drift is not None:
            version = pl.lit(champion.model_version).alias("model_version")
            self.drift.append(drift.with_columns(version, subject=pl.lit(self.subject)))
        self.lacking |= {session: f"{what}: {reason}" for session, reason in lacking.items()}


def learned_symbols(master: MasterReader) -> list[str]:
    """Symbols that models learn from: nothing else may be held against what they learned."""
    universe = master.read("symbol_metadata", caller=_CALLER).rows
    return universe.filter(pl.col("role") == "tradeable").get_column("symbol").to_list()


def watch_predictions(
    reigns: ChampionSpans, memory: ModelMemory, artifacts: Artifacts, config: DriftConfig
) -> SubjectDrift:
    """Hold what each champion says, from its shadow period on, against its frozen forecasts."""
    watched = SubjectDrift(PREDICTION)
    for champion, sessions in reigns:
        reference = _reference(artifacts, champion, PREDICTION_REFERENCE)
        if reference is None:
            watched.leave_out(sessions, _without(champion, "what it says"))
            continue
        if reference.levels is None:
            watched.without_levels.add(champion.model_version)
        said = signals_said(memory, _window(reference, sessions)).filter(
            pl.col("model_version") == champion.model_version
        )
        rows = said.select("session", *PREDICTION_COLUMNS)
        made = set(rows.get_column("session"))
        what = f"signals of {champion.model_version}"
        watched.measure(champion, sessions, rows, reference, config, made=made, what=what)
    return watched


def watch_outcomes(
    reigns: ChampionSpans,
    memory: ModelMemory,
    lake: Lake,
    symbols: list[str],
    artifacts: Artifacts,
    config: DriftConfig,
) -> SubjectDrift:
    """Hold the labels of `symbols` known up to each session against those learned from."""
    watched, rules = SubjectDrift(OUTCOME), _rule_of_each_model(memory)
    for champion, sessions in reigns:
        reference = _reference(artifacts, champion, OUTCOME_REFERENCE)
        if reference is None:
            watched.leave_out(sessions, _without(champion, "how labels came out"))
            continue
        window = _window(reference, sessions)
        labels = lake.read("labels", caller=_CALLER, span=window, symbols=symbols).rows
        made = lake.read("label_rules", caller=_CALLER, span=window).rows.filter(
            pl.col("rule_digest") == rules.get(champion.model_version)
        )
        sessions_made = set(made.get_column("session"))
        rows = outcome_values(labels.filter(pl.col("session").is_in(sessions_made)))
        what = f"labels by the rule of {champion.model_version}"
        watched.measure(champion, sessions, rows, reference, config, made=sessions_made, what=what)
    return watched


def _reference(artifacts: Artifacts, champion: Champion, name: str) -> DriftReference | None:
    """Read a champion's reference; None where its training froze none."""
    path = artifacts.model_folder(champion.model_version) / name
    return DriftReference.load(path) if path.is_file() else None


def _without(champion: Champion, what: str) -> str:
    return f"{champion.model_version} was stored without a reference of {what}"


def _window(reference: DriftReference, sessions: SessionSpan) -> SessionSpan:
    return sessions.trailing(window_sessions(reference) - 1)


def _rule_of_each_model(memory: ModelMemory) -> dict[str, str]:
    known = label_rules(memory)
    return dict(zip(known["model_version"], known["rule_digest"], strict=True))
