"""What watches the ledger: holes that are to be filled, sessions that are late, and revisions."""

import datetime as dt
import json
from collections.abc import Iterator

import dagster as dg
import polars as pl
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)

from turbomode_assets.completeness import next_sweep, shrunk_window
from turbomode_assets.config.scheduler import SensorConfig, SensorsConfig
from turbomode_assets.config.training import LONGEST_LABEL_WINDOW
from turbomode_assets.contracts.quality_log import LATE_ACTION, LATE_CANDLES, REVISION
from turbomode_assets.features import LONGEST_WINDOW
from turbomode_assets.ingestion.backfilling import BACKFILL_TAG, budget_pressure, newest_window
from turbomode_assets.ingestion.following import backfill_remedy
from turbomode_assets.ingestion.freshness import SESSIONS_ARE_FRESH, watched_now
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.orchestration.automation.jobs import backfill, readjust, rederive, sweep
from turbomode_assets.orchestration.resources.ingestion import IngestionResource
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import LakeResource, MasterReaderResource
from turbomode_assets.orchestration.run_records import DagsterRunHistory
from turbomode_assets.sessions import SessionSpan, last_closed_session, offset_session
from turbomode_assets.stores.changes import appended_rows

AUDIT = dg.AssetKey("audit")
WINDOW_TAG = "turbomode/window"
REACH = max(LONGEST_WINDOW, LONGEST_LABEL_WINDOW)
"""Sessions whose features or labels a candle or corporate action can change."""


def build_sensors(config: SensorsConfig, *, ingests: bool) -> list[dg.SensorDefinition]:
    """Build the sensors, on or off as configured; what fetches only for a tenant that ingests."""
    return [
        *([completeness_sensor(config.completeness)] if ingests else []),
        freshness_sensor(config.freshness),
        revisions_sensor(config.revisions),
    ]


def completeness_sensor(config: SensorConfig) -> dg.SensorDefinition:
    """Turn queued holes into runs, the newest sessions first; with none due, audit older ones."""

    @dg.sensor(
        name="completeness",
        jobs=[backfill, sweep],
        minimum_interval_seconds=config.interval_seconds,
        default_status=_status(config),
    )
    def completeness(
        context: dg.SensorEvaluationContext, ingestion: IngestionResource
    ) -> dg.SensorResult | dg.SkipReason:
        tools = ingestion.open()
        width = shrunk_window(tools.data_quality.backfill.window_sessions, budget_pressure(tools))
        window = newest_window(tools, width)
        if window is not None:
            request = _once_at_a_time(
                context.instance, backfill.name, window, {BACKFILL_TAG: "queue"}
            )
            return dg.SensorResult([request]) if request else _busy(window)
        return _sweep(context, tools)

    return completeness


def _sweep(
    context: dg.SensorEvaluationContext, tools: IngestionTools
) -> dg.SensorResult | dg.SkipReason:
    """Audit the next older stretch; once the oldest is reached, wait for the next session."""
    candles, newest = tools.master.stored_span("candles"), last_closed_session(tools.now())
    if candles is None:
        return dg.SkipReason("no candle was ever stored")
    state = json.loads(context.cursor or "{}")
    if state.get("begun_after") != str(newest):
        state = {"begun_after": str(newest), "reached": None}
    reached = dt.date.fromisoformat(state["reached"]) if state["reached"] else None
    if reached is not None and reached <= candles.first:
        return dg.SkipReason(f"nothing is due, and every session up to {newest} was looked at")
    width = tools.data_quality.backfill.sweep_sessions
    span = next_sweep(candles.first, newest, reached, width)
    if span is None:
        return dg.SkipReason(f"the newest candles are later than the last closed session {newest}")
    request = _once_at_a_time(context.instance, sweep.name, span, {})
    if request is None:
        return _busy(span)
    return dg.SensorResult([request], cursor=json.dumps(state | {"reached": str(span.first)}))


def freshness_sensor(config: SensorConfig) -> dg.SensorDefinition:
    """Report each of the latest sessions by itself as on time or late, whenever that changes."""

    @dg.sensor(
        name="freshness",
        asset_selection=[AUDIT],
        minimum_interval_seconds=config.interval_seconds,
        default_status=_status(config),
    )
    def freshness(
        context: dg.SensorEvaluationContext,
        settings: SettingsResource,
        master: MasterReaderResource,
    ) -> dg.SensorResult:
        watched = watched_now(settings, master.open())
        before = json.loads(context.cursor or "{}")
        now = {str(session): late for session, late in watched.select("session", "is_late").rows()}
        changed = [before.get(session) != late for session, late in now.items()]
        news = watched.filter(pl.Series(changed, dtype=pl.Boolean()))
        events = list(_evaluations(settings, news))
        return dg.SensorResult(asset_events=events, cursor=json.dumps(now))

    return freshness


def _evaluations(
    settings: SettingsResource, news: pl.DataFrame
) -> Iterator[dg.AssetCheckEvaluation]:
    for session, deadline, share, is_late in news.iter_rows():
        yield dg.AssetCheckEvaluation(
            asset_key=AUDIT,
            check_name=SESSIONS_ARE_FRESH,
            passed=not is_late,
            partition=str(session),
            metadata={
                "green_share": share,
                "deadline": f"{deadline:%Y-%m-%d %H:%M} UTC",
                "fix": backfill_remedy(settings, SessionSpan(session, session)),
            },
        )


def revisions_sensor(config: SensorConfig) -> dg.SensorDefinition:
    """Derive anew what late candles, revisions and late corporate actions reach, and no more."""

    @dg.sensor(
        name="revisions",
        jobs=[rederive, readjust],
        minimum_interval_seconds=config.interval_seconds,
        default_status=_status(config),
    )
    def revisions(
        context: dg.SensorEvaluationContext,
        master: MasterReaderResource,
        lake_store: LakeResource,
    ) -> dg.SensorResult | dg.SkipReason:
        store, derived = master.open(), lake_store.open().stored_span("features")
        if derived is None or not store.exists("data_quality_log"):
            return dg.SkipReason("nothing was derived yet")
        version = store.version("data_quality_log")
        since = int(context.cursor) if context.cursor else version
        news = appended_rows(store, "data_quality_log", since, version)
        if news is None:
            return dg.SkipReason(
                f"version {since} of data_quality_log is gone: set the cursor to {version} and "
                "materialize bars, features and labels for what came since"
            )
        daily = news.filter(pl.col("timeframe") == "1d")  # bars are made of these alone
        requests = [
            _range_request(job.name, span, f"log-{version}", {})
            for job, kinds in (
                (rederive, [LATE_CANDLES, REVISION]),
                (readjust, [LATE_ACTION]),
            )
            for span in _reached(daily.filter(pl.col("kind").is_in(kinds)), derived)
        ]
        return dg.SensorResult(requests, cursor=str(version))

    return revisions


def _reached(news: pl.DataFrame, derived: SessionSpan) -> list[SessionSpan]:
    """Stretches of derived sessions that the news reach; those that overlap are one."""
    reached: list[SessionSpan] = []
    stretches = news.select("first_session", "session").unique().sort("first_session", "session")
    for begins, ends in stretches.iter_rows():
        first, last = max(begins, derived.first), min(offset_session(ends, REACH), derived.last)
        if last < first:
            continue
        if reached and first <= reached[-1].last:
            reached[-1] = SessionSpan(reached[-1].first, max(last, reached[-1].last))
        else:
            reached.append(SessionSpan(first, last))
    return reached


def _once_at_a_time(
    instance: dg.DagsterInstance, job: str, span: SessionSpan, tags: dict[str, str]
) -> dg.RunRequest | None:
    """Ask for a run of a window unless one is under way; the run key counts the attempts."""
    mark = {WINDOW_TAG: f"{job}/{span}"}
    earlier = DagsterRunHistory(instance, ingests=True).tagged(WINDOW_TAG, mark[WINDOW_TAG])
    if any(not run.is_finished for run in earlier):
        return None
    return _range_request(job, span, f"attempt-{len(earlier) + 1}", tags | mark)


def _range_request(
    job: str, span: SessionSpan, attempt: str, tags: dict[str, str]
) -> dg.RunRequest:
    ends = {
        ASSET_PARTITION_RANGE_START_TAG: str(span.first),
        ASSET_PARTITION_RANGE_END_TAG: str(span.last),
    }
    return dg.RunRequest(run_key=f"{job}:{span}:{attempt}", job_name=job, tags=tags | ends)


def _busy(span: SessionSpan) -> dg.SkipReason:
    return dg.SkipReason(f"{span} is being worked on")


def _status(config: SensorConfig) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus.RUNNING if config.enabled else dg.DefaultSensorStatus.STOPPED
