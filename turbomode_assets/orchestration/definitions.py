"""Assembles the definitions, and refuses to load any that could write the master store."""

import datetime as dt
import warnings
from collections.abc import Callable, Mapping

import dagster as dg

from turbomode_assets.contracts.errors import ReadOnlyError

with warnings.catch_warnings():
    # Dagster marks backfill policies as beta, once for every asset.
    warnings.simplefilter("ignore", dg.BetaWarning)
    from turbomode_assets.orchestration.assets import (
        audit,
        backtest,
        bars,
        completeness,
        drift_metrics,
        ensemble,
        features,
        followed_audit,
        labels,
        maintenance,
        nightly_page,
        outcomes,
        raw_candles,
        reference,
        signals,
    )
    from turbomode_assets.orchestration.automation import (
        alerts,
        failed_nights,
        jobs,
        sensors,
        tasks,
    )

from turbomode_assets.ingestion.fetched import MASTER_WRITER_KEY
from turbomode_assets.orchestration.resources.experiment_tracking import ExperimentTrackingResource
from turbomode_assets.orchestration.resources.ingestion import IngestionResource
from turbomode_assets.orchestration.resources.io_managers import (
    LakeIOManager,
    MasterReaderIOManager,
)
from turbomode_assets.orchestration.resources.keeper import KEEPER_KEY, KeeperResource
from turbomode_assets.orchestration.resources.master_writer import MasterWriterIOManager
from turbomode_assets.orchestration.resources.settings import SettingsResource
from turbomode_assets.orchestration.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
    MemoryResource,
)
from turbomode_assets.stores.operations import utc_now

INGESTION = frozenset(
    {
        "raw_candles",
        "audit",
        "symbol_metadata",
        "sector_mappings",
        "splits",
        "dividends",
        "fundamentals",
        "db_metadata",
    }
)
"""The only assets that may write the master store."""

KEEPERS = frozenset({"maintenance"})
"""The only asset that may rearrange the master's files; what it is handed cannot write a row."""

_RESERVED: dict[str, type] = {MASTER_WRITER_KEY: MasterWriterIOManager, KEEPER_KEY: KeeperResource}
"""Keys that not everybody may ask for, and the one class that may lie under each."""


def build(
    settings: SettingsResource | None = None, now: Callable[[], dt.datetime] = utc_now
) -> dg.Definitions:
    """Assemble the graph.

    Tests hand in the settings that elsewhere come from the environment, and a clock for the tasks.
    """
    settings = settings or SettingsResource()
    scheduler, ingests = settings.scheduler(), settings.ingests
    assets = dg.load_assets_from_modules(
        [
            reference,
            raw_candles,
            audit if ingests else followed_audit,
            bars,
            features,
            labels,
            completeness,
            ensemble,
            drift_metrics,
            signals,
            outcomes,
            backtest,
            maintenance,
            nightly_page,
        ]
    )
    return guarded(
        dg.Definitions(
            assets=assets,
            asset_checks=[
                audit.sessions_are_complete,
                audit.sessions_are_fresh,
                features.features_are_healthy,
            ],
            jobs=jobs.build_jobs(ingests=ingests),
            sensors=[
                *tasks.build_task_sensors(scheduler, settings, now),
                *sensors.build_sensors(scheduler.sensors, ingests=ingests),
                alerts.alerts_sensor(scheduler.alerts, now),
                failed_nights.failed_nights_sensor(
                    jobs.night_jobs(ingests=ingests),
                    jobs.page,
                    is_on=scheduler.tasks.drift_monitor.enabled,
                ),
            ],
            resources=build_resources(settings),
            executor=dg.in_process_executor,
        )
    )


def build_resources(settings: SettingsResource) -> dict[str, object]:
    """Everything assets are handed, all of one tenant."""
    master = MasterReaderResource(settings=settings)
    lake = LakeResource(settings=settings)
    return {
        "settings": settings,
        "master": master,
        "tracking": ExperimentTrackingResource(),
        "lake_store": lake,
        "memory": MemoryResource(settings=settings),
        "artifacts": ArtifactsResource(settings=settings),
        "ingestion": IngestionResource(settings=settings),
        "master_reader": MasterReaderIOManager(master=master),
        MASTER_WRITER_KEY: MasterWriterIOManager(master=master),
        KEEPER_KEY: KeeperResource(settings=settings),
        "lake": LakeIOManager(lake=lake),
    }


def guarded(definitions: dg.Definitions) -> dg.Definitions:
    """Return the definitions, unless something outside ingestion could write market data.

    Looked at are the resources by what they are (under whatever key, nested or handed to one asset
    alone), and who asks for the writer's key: assets, checks, jobs of ops, schedules and sensors.

    Raises:
        ReadOnlyError: naming what could write the master store.
    """
    offenders = [
        *_writers_in(
            definitions.resources or {}, allowed={MASTER_WRITER_KEY, KEEPER_KEY}, owner="resource"
        ),
        *_assets_that_could_write(definitions),
        *_others_that_ask_for_the_writer(definitions),
    ]
    if offenders:
        raise ReadOnlyError(
            f"these could write the master store: {', '.join(offenders)}",
            where="definitions",
            fix=f"use the `lake` io manager; only {', '.join(sorted(INGESTION))} may write it",
        )
    return definitions


def _assets_that_could_write(definitions: dg.Definitions) -> list[str]:
    offenders = []
    for asset in definitions.resolve_asset_graph().assets_defs:
        keys = {key.to_user_string() for key in asset.keys}
        if not asset.is_executable or (keys and keys <= INGESTION):
            continue
        names = ", ".join(sorted(keys)) or asset.op.name
        bound = {asset.get_io_manager_key_for_asset_key(key) for key in asset.keys}
        asked = {*asset.required_resource_keys, *bound}
        allowed = {KEEPER_KEY} if keys and keys <= KEEPERS else set()
        if _RESERVED.keys() & asked - allowed:
            offenders.append(names)
        own = {
            key: resource
            for key, resource in asset.resource_defs.items()
            if resource is not (definitions.resources or {}).get(key)
        }
        offenders += _writers_in(own, allowed=allowed, owner=f"resource of {names}")
    return offenders


def _others_that_ask_for_the_writer(definitions: dg.Definitions) -> list[str]:
    offenders = [
        f"job {job.name}"
        for job in definitions.jobs or []
        if isinstance(job, dg.JobDefinition) and _RESERVED.keys() & job.required_resource_keys
    ]
    for automation in [*(definitions.schedules or []), *(definitions.sensors or [])]:
        if _RESERVED.keys() & set(getattr(automation, "required_resource_keys", ())):
            offenders.append(f"{type(automation).__name__} {automation.name}")
    return offenders


def _writers_in(resources: Mapping[str, object], *, allowed: set[str], owner: str) -> list[str]:
    return [
        f"{owner} {key}"
        for key, resource in resources.items()
        if _writers_held_by(resource) - ({_RESERVED[key]} if key in allowed else set())
    ]


def _writers_held_by(resource: object) -> set[type]:
    """Reserved classes that a resource is of, or that are nested in it."""
    inner = getattr(resource, "configurable_resource_cls", None) or type(resource)
    held = {
        each
        for each in _RESERVED.values()
        if isinstance(resource, each) or (isinstance(inner, type) and issubclass(inner, each))
    }
    nested = getattr(resource, "nested_resources", None) or {}
    return held.union(*(_writers_held_by(each) for each in dict(nested).values()))
