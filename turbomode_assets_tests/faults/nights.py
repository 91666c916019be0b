"""A simulated clock and vendor, and what asks the sensors as the daemon does."""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
from dagster._core.storage.tags import RUN_KEY_TAG, SENSOR_NAME_TAG

from turbomode_assets.orchestration.automation.jobs import TASK_JOBS
from turbomode_assets.orchestration.definitions import build
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.vendors import Candles, NoData, Request, VendorFailure
from turbomode_assets.vendors.simulated import SimulatedVendor
from turbomode_assets_tests.builders import REPOSITORY

ZONE = ZoneInfo("America/New_York")
LOOKS = (
    *("00:00", "00:15", "00:30", "00:45", "02:00", "02:15", "03:00", "12:00"),
    *("22:45", "22:55", "23:00", "23:15", "23:30", "23:45"),
)
LATE = "20:00"
TASKS = tuple(TASK_JOBS)


class Weather:
    """What befalls the market and its vendor: outages, and storms that widen every candle."""

    def __init__(self) -> None:
        self.is_down = False
        self.storm: SessionSpan | None = None


class WeatheredVendor(SimulatedVendor):
    """The simulated vendor, down in outages; in storms highs and lows lie far from the close."""

    weather = Weather()

    def fetch_candles(self, request: Request) -> Candles | NoData | VendorFailure:
        """Candles of one symbol, as the weather is."""
        if self.weather.is_down:
            return VendorFailure("unreachable", "connection refused", True)
        answer = super().fetch_candles(request)
        if self.weather.storm is None or not isinstance(answer, Candles):
            return answer
        day, storm = pl.col("ts").dt.date(), self.weather.storm
        stormy = day.is_between(storm.first, storm.last)
        return Candles(
            answer.frame.with_columns(
                high=pl.when(stormy).then(pl.col("high") * 1.08).otherwise("high"),
                low=pl.when(stormy).then(pl.col("low") * 0.92).otherwise("low"),
                volume=pl.when(stormy).then(pl.col("volume") * 6).otherwise("volume"),
            )
        )


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, at: dt.datetime) -> None:
        self.at = at

    def __call__(self) -> dt.datetime:
        return self.at


class Daemon:
    """Asks every task's sensor in turn and runs what it asks for, in this process.

    As the real one it starts nothing twice under one run key. `instead` gets job, partition and
    tags of what is asked for, and returns True if it has run that in its own way.
    """

    def __init__(
        self,
        settings: SettingsResource,
        home: Path,
        clock: Clock,
        *,
        instead: Callable[[str, str | None, dict[str, str]], bool],
    ) -> None:
        home.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / "dagster.yaml", home)
        self.instance = dg.DagsterInstance.from_config(str(home))
        self.clock = clock
        self._instead = instead
        self._definitions = build(settings, now=clock)
        self._cursors: dict[str, str | None] = {}

    def look(self, names: Sequence[str] = TASKS) -> None:
        """Ask each sensor once."""
        for name in names:
            sensor = next(s for s in self._definitions.sensors or () if s.name == name)
            context = dg.build_sensor_context(
                instance=self.instance,
                cursor=self._cursors.get(name),
                definitions=self._definitions,
                sensor_name=name,
            )
            with context:
                answer = sensor.evaluate_tick(context)
            self._cursors[name] = answer.cursor
            for request in answer.run_requests or ():
                self._start(name, request)

    def _start(self, sensor: str, request: dg.RunRequest) -> None:
        job = request.job_name or TASK_JOBS[sensor].name
        tags = {**request.tags, SENSOR_NAME_TAG: sensor, RUN_KEY_TAG: request.run_key or ""}
        mark = {SENSOR_NAME_TAG: sensor, RUN_KEY_TAG: request.run_key or ""}
        if self.instance.get_runs(dg.RunsFilter(tags=mark), limit=1):
            return
        if self._instead(job, request.partition_key, tags):
            return
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        self._definitions.resolve_job_def(job).execute_in_process(
            run_config={**quiet, **request.run_config},
            instance=self.instance,
            partition_key=request.partition_key,
            tags=tags,
            raise_on_error=False,
        )


def looks_between(first: dt.date, last: dt.date) -> Iterator[dt.datetime]:
    """Times at which the daemon looks, from the evening of a day to the morning after another."""
    for number in range((last - first).days + 2):
        day = first + dt.timedelta(days=number)
        for text in LOOKS:
            if (day == first and text < LATE) or (day > last and text > LATE):
                continue
            time = dt.time.fromisoformat(text)
            yield dt.datetime.combine(day, time, tzinfo=ZONE).astimezone(dt.UTC)
