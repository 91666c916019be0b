"""One look: what is wrong now, what of it is news, and telling it to those who are to know."""

import datetime as dt
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from turbomode_assets.alerts.alert_book import (
    claim_event,
    compare,
    mark_told,
    open_alerts,
    release,
)
from turbomode_assets.alerts.alerts import message_of
from turbomode_assets.alerts.conditions import (
    DELIVERY,
    NIGHT,
    PROMOTION,
    Condition,
    News,
    Severity,
)
from turbomode_assets.alerts.data import (
    DRIFT,
    LATE,
    PERFORMANCE,
    decisions,
    drift,
    late_sessions,
    performance,
)
from turbomode_assets.alerts.delivery import (
    NOBODY,
    Receiver,
    does_not_accept,
    ping,
    receivers_of,
    redacted,
)
from turbomode_assets.alerts.runs import RUN, SENSOR, failed_runs, failing_sensors
from turbomode_assets.alerts.tasks import (
    INGESTION,
    LET_GO,
    PAUSED,
    SILENCE,
    completed_night,
    let_go,
    paused_tasks,
    silent_nights,
)
from turbomode_assets.contracts.errors import TurbomodeError
from turbomode_assets.runs.history import RunSources
from turbomode_assets.runs.nights import is_catching_up
from turbomode_assets.settings import Settings
from turbomode_assets.stores import ModelMemory

UNREADABLE = "unreadable"
_SHORTEST_SECRET = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Findings:
    """What is wrong now; of the kinds in `unjudged` nothing could be found out."""

    conditions: tuple[Condition, ...]
    unjudged: frozenset[str]


@dataclass(frozen=True)
class AlertRound:
    """What a look found, what it told, and whom it did not reach."""

    conditions: tuple[Condition, ...]
    told: tuple[News, ...]
    receivers: int
    unreached: tuple[str, ...]
    heartbeat: str | None

    @property
    def is_critical(self) -> bool:
        """Whether something critical holds."""
        return _is_critical(self.conditions)

    @property
    def summary(self) -> str:
        """The look in one line."""
        parts = [f"{len(self.conditions)} conditions hold", f"{len(self.told)} told"]
        if not self.receivers:
            parts.append(NOBODY)
        if self.unreached:
            parts.append(f"not reached: {', '.join(self.unreached)}")
        return "; ".join([*parts, *([self.heartbeat] if self.heartbeat else [])])


def conditions_at(settings: Settings, runs: RunSources, now: dt.datetime) -> Findings:
    """Gather what is wrong now. A source that cannot be read is a condition itself."""
    config = settings.scheduler()
    ingestion = runs.work[INGESTION]
    sources: dict[str, Callable[[], Iterable[Condition]]] = {
        RUN: lambda: failed_runs(runs, config, now),
        SILENCE: lambda: silent_nights(runs, config, now),
        PAUSED: lambda: paused_tasks(runs, config, now),
        LET_GO: lambda: let_go(runs, config, now),
        SENSOR: lambda: failing_sensors(runs, config, now),
        LATE: lambda: late_sessions(
            settings,
            now,
            lambda session: is_catching_up(
                runs.history, config, INGESTION, ingestion, session, now
            ),
        ),
        DRIFT: lambda: drift(settings),
        PERFORMANCE: lambda: performance(settings, now),
        PROMOTION: lambda: decisions(settings, now),
    }
    found: list[Condition] = []
    unjudged = {DELIVERY}
    for kind, read in sources.items():
        try:
            found += read()
        # Whatever breaks a source, in whichever library, is what alerts are there to tell of;
        # raised, it would silence every other source.
        except Exception as error:
            _log.exception("the source %r of alerts cannot be read", kind)
            found.append(_unreadable(kind, error))
            unjudged.add(kind)
    secrets = _secrets(settings)
    clean = (
        replace(
            each,
            title=redacted(each.title, secrets),
            detail=redacted(each.detail, secrets),
            remedy=redacted(each.remedy, secrets),
        )
        for each in found
    )
    return Findings(tuple(clean), frozenset(unjudged))


def look(
    settings: Settings,
    runs: RunSources,
    now: dt.datetime,
    *,
    complain: bool = True,
) -> AlertRound:
    """Find what is wrong, write it into the alert book, tell what is news of it.

    What no receiver took counts as not told, and is told at the next look.

    Raises:
        TurbomodeError: the configuration or the alert book cannot be read; with `complain` the
            receivers were told so.
    """
    receivers = receivers_of(settings.alert_urls)
    try:
        book = ModelMemory(settings.memory_path, settings.tenant_name)
        open_alerts(book)  # first: a book that is held or damaged is waited for once, not by all
        findings = conditions_at(settings, runs, now)
        rules = settings.scheduler().alerts
        news = compare(
            book,
            findings.conditions,
            now,
            repeat_after=dt.timedelta(hours=rules.repeat_after_hours),
            over_after=dt.timedelta(minutes=rules.over_after_minutes),
            unjudged=findings.unjudged,
            claim=bool(receivers),
        )
        unreached = _tell(settings, book, receivers, news, now)
        is_well = not _is_critical(findings.conditions)
        heartbeat = _beat(settings, runs, book, now) if is_well else None
    except TurbomodeError as error:
        if complain:
            _tell_that_nothing_can_be_told(settings, receivers, error)
        raise
    told = () if len(unreached) == len(receivers) else tuple(news)
    return AlertRound(findings.conditions, told, len(receivers), unreached, heartbeat)


def _is_critical(conditions: Iterable[Condition]) -> bool:
    return any(each.severity == "critical" for each in conditions)


def _tell(
    settings: Settings,
    book: ModelMemory,
    receivers: Sequence[Receiver],
    news: Sequence[News],
    now: dt.datetime,
) -> tuple[str, ...]:
    """Send one message with all the news; name the receivers that did not take it."""
    if not news or not receivers:
        return ()
    title, body, worst = message_of(
        news, tenant=settings.tenant_name, simulated=settings.is_simulated
    )
    took = {each: each.accepts(title, body, worst) for each in receivers}
    if any(took.values()):
        mark_told(book, news, now)
    else:
        release(book, news)
    unreached = [each for each, taken in took.items() if not taken]
    for each in unreached:
        _log.error("alerts do not reach %s", each.name)
    _write_down_deliveries(book, [does_not_accept(each) for each in unreached], now)
    return tuple(each.name for each in unreached)


def _write_down_deliveries(
    book: ModelMemory, failed: Sequence[Condition], now: dt.datetime
) -> None:
    """Begin and end the alerts about receivers, and no others; the next look tells them."""
    others = set(open_alerts(book).get_column("kind")) - {DELIVERY}
    compare(
        book,
        failed,
        now,
        repeat_after=dt.timedelta(0),
        over_after=dt.timedelta(0),
        unjudged=others,
        claim=False,
    )


def _beat(settings: Settings, runs: RunSources, book: ModelMemory, now: dt.datetime) -> str | None:
    """Call the heartbeat's address once on each calendar day on which the newest night is complete.

    Days on which no session closes beat too: a watch outside knows days, and no holidays.
    """
    address, config = settings.heartbeat_url, settings.scheduler()
    session = completed_night(runs, config, now) if address else None
    if not address or session is None:
        return None
    day = now.astimezone(ZoneInfo(config.time_zone)).date()
    event = Condition(
        f"{NIGHT}:{day}",
        NIGHT,
        "info",
        f"All was well on {day}",
        f"the outgoing heartbeat said so; the newest night was that of {session}",
        "nothing is to be done",
    )
    news = claim_event(book, event, now)
    if news is None:
        return None
    trouble = ping(address)
    if trouble is None:
        mark_told(book, [news], now)
        return f"heartbeat sent for {day}"
    release(book, [news])
    _log.error("the heartbeat for %s did not go out: %s", day, trouble)
    return f"the heartbeat for {day} did not go out: {trouble}"


def _tell_that_nothing_can_be_told(
    settings: Settings, receivers: Sequence[Receiver], error: TurbomodeError
) -> None:
    body = redacted(f"CRITICAL: {error.what}. {error.where}. Fix: {error.fix}", _secrets(settings))
    title = f"turbomode {settings.tenant_name}: alerts cannot be judged"
    for receiver in receivers:
        receiver.accepts(title, body, "critical")


def _secrets(settings: Settings) -> list[str]:
    """Addresses and what they are made of, the longest first."""
    addresses = [*settings.alert_urls, settings.heartbeat_url or ""]
    parts = {part for each in addresses for part in (each, *re.split(r"[/:@?&=#]+", each))}
    return sorted((part for part in parts if len(part) >= _SHORTEST_SECRET), key=len, reverse=True)


def _unreadable(kind: str, error: Exception) -> Condition:
    words = str(error).splitlines() or [""]
    severity: Severity = "critical"
    return Condition(
        f"{UNREADABLE}:{kind}",
        UNREADABLE,
        severity,
        f"Nothing can be said of {kind}: its source cannot be read",
        f"{type(error).__name__}: {words[0]}",
        error.fix if isinstance(error, TurbomodeError) else "the log of this look says where",
    )
