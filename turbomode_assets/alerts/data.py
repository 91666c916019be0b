"""What the stores say is wrong: late data, drift, a champion that does badly, and decisions."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace

import polars as pl

from turbomode_assets.alerts.conditions import PROMOTION, Condition, Severity
from turbomode_assets.config.alerts import HitRateConfig
from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.drift.levels import tell_move
from turbomode_assets.drift.subjects import OUTCOME, PREDICTION
from turbomode_assets.ensemble.retraining import retraining_cause
from turbomode_assets.ingestion.freshness import watched_sessions
from turbomode_assets.modelling.retraining import training_state
from turbomode_assets.sessions import last_closed_session
from turbomode_assets.settings import Settings
from turbomode_assets.stores import MasterReader, ModelMemory

LATE, DRIFT, PERFORMANCE = "late", "drift", "performance"
FARTHEST = 63
"""So many sessions back it is looked for where lateness began."""
_BESIDE_FEATURES = {"predictions": PREDICTION, "outcomes": OUTCOME}
"""Subject of each other verdict on drift."""
LONG_AGO = "long_ago"
"""Names a stretch of which the beginning was not seen."""
_DECIDED: dict[str, tuple[Severity, str]] = {
    "promoted": ("info", "was promoted"),
    "promoted_by_hand": ("info", "was promoted by hand"),
    "refused": ("info", "was refused"),
    "rolled_back": ("warning", "is champion again: the one after it was rolled back"),
    "withdrawn": ("warning", "was withdrawn before it took effect"),
}


def late_sessions(
    settings: Settings, now: dt.datetime, is_on_its_way: Callable[[dt.date], bool]
) -> Iterator[Condition]:
    """Stretches of sessions that are not GREEN enough though their deadlines have passed.

    A stretch is one condition, named by its first session for as long as it lasts. It is critical
    where nothing of a session is GREEN, unless that session is on its way.
    """
    rules = settings.data_quality()
    watched = _watched_far_enough(settings, rules, now)
    stretches = watched.with_columns(stretch=pl.col("is_late").rle_id()).filter("is_late")
    since = watched.get_column("session").tail(rules.freshness.sessions).min()
    for stretch in stretches.partition_by("stretch", maintain_order=True):
        if stretch.item(-1, "session") >= since:
            began = stretch.item(0, "session")
            seen = began > watched.item(0, "session")
            yield _late(
                stretch,
                str(began) if seen else LONG_AGO,
                is_on_its_way,
                ingests=settings.ingests,
            )


def drift(settings: Settings) -> Iterator[Condition]:
    """The newest verdict on drift, where it is an alert."""
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    if not memory.exists():
        return
    newest = memory.query("FROM drift_verdicts ORDER BY session DESC LIMIT 1")
    for row in newest.iter_rows(named=True):
        alarms = [
            name
            for name in ("features", *_BESIDE_FEATURES)
            if row["verdict" if name == "features" else f"{name}_verdict"] == "alert"
        ]
        features = (
            f"at {row['session']} {row['exceeding']} of {row['features']} features exceed their "
            "limits"
        )
        if alarms:
            yield Condition(
                f"{DRIFT}:{row['model_version']}",
                DRIFT,
                "warning",
                f"Drift since the training of {row['model_version']}: {' and '.join(alarms)}",
                "; ".join([features, *_reasons(memory, row["session"], alarms)]),
                (
                    "the retraining policy counts it towards a training"
                    if row["retrain"]
                    else "no training follows from it: drift of features alone asks for one"
                )
                + "; the page of the night names what is furthest from what was learned",
            )


def _reasons(memory: ModelMemory, session: dt.date, alarms: list[str]) -> Iterator[str]:
    """Say which probabilities and outcomes an alarm is about, and by which rule."""
    rows = memory.query(
        "FROM drift_monitoring WHERE session = ? AND verdict = 'alert' ORDER BY feature", [session]
    )
    wanted = [subject for name, subject in _BESIDE_FEATURES.items() if name in alarms]
    for subject in wanted:
        for row in rows.filter(subject=subject).iter_rows(named=True):
            if row["moved"]:
                yield tell_move(row)
            if row["exceeds"]:
                yield f"{row['feature']} exceeds its limits"


def performance(settings: Settings, now: dt.datetime) -> Iterator[Condition]:
    """A champion whose forecasts or hit rate are worse than allowed."""
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    if not memory.exists():
        return
    yield from _underperformance(settings, last_closed_session(now))
    yield from _hit_rate(memory, settings.scheduler().alerts.hit_rate)


def decisions(settings: Settings, now: dt.datetime) -> Iterator[Condition]:
    """Promotions, refusals, rollbacks and withdrawals of late."""
    memory = ModelMemory(settings.memory_path, settings.tenant_name)
    if not memory.exists():
        return
    since = now - dt.timedelta(hours=settings.scheduler().alerts.news_hours)
    rows = memory.query("FROM promotions WHERE decided_at > ? ORDER BY sequence", [since])
    for row in rows.iter_rows(named=True):
        severity, words = _DECIDED[row["decision"]]
        since_when = f" from {row['effective_session']} on" if row["effective_session"] else ""
        yield Condition(
            f"{PROMOTION}:{row['sequence']}",
            PROMOTION,
            severity,
            f"Model {row['model_version']} {words}{since_when}",
            f"by {row['decided_by']}: {row['reason']}",
            f"turbomode models show {row['model_version']}",
        )


def _watched_far_enough(
    settings: Settings, rules: DataQualityConfig, now: dt.datetime
) -> pl.DataFrame:
    """What is watched, and as many sessions before it as it takes to see where lateness began."""
    master = MasterReader(settings.master_root)
    timeframes: list[str] = list(settings.vendors().fetch.timeframes)
    sessions = rules.freshness.sessions
    while True:
        freshness = rules.freshness.model_copy(update={"sessions": sessions})
        wider = rules.model_copy(update={"freshness": freshness})
        watched = watched_sessions(master, wider, timeframes, now)
        began_before = not watched.is_empty() and watched.item(0, "is_late")
        # Before the first audit there is no beginning to look for.
        if not began_before or sessions >= FARTHEST or not master.exists("partition_status"):
            return watched
        sessions = min(2 * sessions, FARTHEST)


def _late(
    stretch: pl.DataFrame,
    since: str,
    is_on_its_way: Callable[[dt.date], bool],
    *,
    ingests: bool,
) -> Condition:
    """Tell of a stretch of late sessions, with the figures of its worst one."""
    first, last, count = stretch.item(0, "session"), stretch.item(-1, "session"), stretch.height
    worst = stretch.sort("green_share", "session").row(0, named=True)
    are = f"{first} to {last} are late: {count} sessions" if count > 1 else f"{first} are late"
    of = f", the worst is {worst['session']}" if count > 1 else ""
    comes = not worst["green_share"] and is_on_its_way(worst["session"])
    return Condition(
        f"{LATE}:{since}",
        LATE,
        "warning" if worst["green_share"] or comes else "critical",
        f"Data of {are}",
        f"{worst['green_share']:.1%} GREEN now{of}; "
        f"its deadline was {worst['deadline']:%Y-%m-%d %H:%M} UTC"
        + ("; sessions up to it are being caught up" if comes else ""),
        f"turbomode status says what is missing; turbomode backfill --from {first} "
        f"--to {last} fetches it" + ("" if ingests else ", run by the tenant that ingests"),
    )


def _underperformance(settings: Settings, session: dt.date) -> Iterator[Condition]:
    """Judge the champion as the retraining policy does, however many challengers were refused."""
    rules = settings.training()
    state = training_state(settings, rules, session)
    if state.champion_as_of is None:
        return
    as_last_trained = replace(state, last_trained=state.champion_as_of, last_refused=False)
    cause = retraining_cause(as_last_trained, rules.training_orchestrator, session=session)
    if cause is not None and cause.kind == "underperformance":
        yield Condition(
            f"{PERFORMANCE}:log_loss",
            PERFORMANCE,
            "warning",
            "The champion does worse than knowing nothing",
            cause.text,
            "turbomode models list shows what could replace it; turbomode models rollback "
            "returns to the one before",
        )


def _hit_rate(memory: ModelMemory, rule: HitRateConfig) -> Iterator[Condition]:
    """Judge signals that went out, whichever champion gave them."""
    wins, closed, first, last = memory.query(
        "SELECT count(*) FILTER (outcome = 'win'), count(*), min(session), max(session) FROM ("
        " FROM signal_outcomes WHERE role = 'champion' AND outcome IN ('win', 'loss')"
        " ORDER BY session DESC, symbol LIMIT ?)",
        [rule.signals],
    ).row(0)
    if closed == rule.signals and wins / closed < rule.minimum:
        yield Condition(
            f"{PERFORMANCE}:hit_rate",
            PERFORMANCE,
            "warning",
            f"Only {wins / closed:.1%} of the last {closed} signals that won or lost have won",
            f"signals of {first} to {last}; at least {rule.minimum:.1%} is asked for",
            "the page of the night shows them; turbomode models rollback returns to the champion "
            "before",
        )
