"""The jobs that tasks and people launch. None of them but `train` trains."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from turbomode_assets.runs.tasks import JOB_OF_TASK, NIGHTLY_JOB, TASK_TAG

INGEST = dg.AssetSelection.groups("ingestion")
FETCH = dg.AssetSelection.assets("raw_candles", "audit")
DERIVE = dg.AssetSelection.assets("bars", "features", "labels")
LOOK = dg.AssetSelection.assets("completeness")
FOLLOW = dg.AssetSelection.assets("audit")
"""Of a tenant that does not ingest this asset only reads the master's verdicts."""
SCAN = dg.AssetSelection.assets("signals", "outcomes")
TRADE = dg.AssetSelection.assets("backtest")
WATCH = dg.AssetSelection.assets("drift_metrics")
TELL = dg.AssetSelection.assets("nightly_page")

SIDE_BY_SIDE = dg.multiprocess_executor.configured(
    {
        "start_method": {
            "forkserver": {"preload_modules": ["lightgbm", "torch", "sklearn", "pandas"]}
        }
    }
)
"""Steps in processes of their own; loading these libraries anew for each would take longer than
most steps."""

TASK_JOBS: dict[str, UnresolvedAssetJobDefinition] = {
    "ingestion": dg.define_asset_job(
        JOB_OF_TASK["ingestion"],
        selection=INGEST | DERIVE | LOOK,
        tags={TASK_TAG: "ingestion"},
        description="Everything up to features and labels: a session by night, a range by hand.",
    ),
    "training": dg.define_asset_job(
        JOB_OF_TASK["training"],
        selection=dg.AssetSelection.assets("ensemble"),
        executor_def=SIDE_BY_SIDE,
        tags={TASK_TAG: "training"},
        description="A new ensemble as of a session; base models are fitted side by side.",
    ),
    "scanner": dg.define_asset_job(
        JOB_OF_TASK["scanner"],
        selection=SCAN,
        tags={TASK_TAG: "scanner"},
        description="Signals of a session by the champion in force, and outcomes of earlier ones.",
    ),
    "backtest": dg.define_asset_job(
        JOB_OF_TASK["backtest"],
        selection=TRADE,
        tags={TASK_TAG: "backtest"},
        description="What trading every stored prediction up to a session would have brought.",
    ),
    "drift_monitor": dg.define_asset_job(
        JOB_OF_TASK["drift_monitor"],
        selection=WATCH | TELL,
        tags={TASK_TAG: "drift_monitor"},
        description="How far the market has drifted from what the champion knows, and the page.",
    ),
    "maintenance": dg.define_asset_job(
        JOB_OF_TASK["maintenance"],
        selection=dg.AssetSelection.assets("maintenance"),
        tags={TASK_TAG: "maintenance"},
        description="Tables compacted, old files removed, old runs and logs archived.",
    ),
}
"""The job of each task of `scheduler_config.json`, by the task's name.

No job may have the name of an asset: a repository of both does not load.
"""

nightly = dg.define_asset_job(
    NIGHTLY_JOB,
    selection=INGEST | DERIVE | LOOK | SCAN | TRADE | WATCH | TELL,
    # It asks vendors too: never beside an ingestion.
    tags={TASK_TAG: "ingestion"},
    description="One session from raw candles to signals and outcomes, with the champion in force.",
)
page = dg.define_asset_job(
    "page",
    selection=TELL,
    description="The nightly page of a session, as of now.",
)
backfill = dg.define_asset_job(
    "backfill",
    selection=FETCH.without_checks(),
    description="Queued holes of some sessions, fetched and audited.",
)
sweep = dg.define_asset_job(
    "sweep",
    selection=dg.AssetSelection.assets("audit").without_checks(),
    description="Another look at old sessions, which queues what is missing there.",
)
rederive = dg.define_asset_job(
    "rederive",
    selection=DERIVE,
    description="Bars, features and labels of sessions whose candles came late or were revised.",
)
readjust = dg.define_asset_job(
    "readjust",
    selection=dg.AssetSelection.assets("features", "labels"),
    description="Features and labels of windows that straddle a late corporate action.",
)
reference = dg.define_asset_job(
    "reference",
    selection=INGEST - FETCH,
    description="Symbols, sectors, corporate actions and fundamentals.",
)
followed_ingestion = dg.define_asset_job(
    "ingestion",
    selection=FOLLOW | DERIVE | LOOK,
    tags={TASK_TAG: "ingestion"},
    description="Bars, features and labels of sessions that another tenant ingested and judged.",
)
followed_nightly = dg.define_asset_job(
    NIGHTLY_JOB,
    selection=FOLLOW | DERIVE | LOOK | SCAN | TRADE | WATCH | TELL,
    tags={TASK_TAG: "ingestion"},
    description="One session that another tenant ingested, from bars to signals and outcomes.",
)


def build_jobs(*, ingests: bool) -> list[UnresolvedAssetJobDefinition]:
    """Name every job; one that asks vendors or writes the master only to a tenant that ingests."""
    fetching = [backfill, sweep, reference] if ingests else []
    return [*night_jobs(ingests=ingests), page, *fetching, rederive, readjust]


def task_jobs(*, ingests: bool) -> dict[str, UnresolvedAssetJobDefinition]:
    """Name the job of each task; its name is the same for all tenants."""
    return TASK_JOBS if ingests else TASK_JOBS | {"ingestion": followed_ingestion}


def night_jobs(*, ingests: bool) -> list[UnresolvedAssetJobDefinition]:
    """Name the jobs of a night: each task's, and the one that does most of them at once."""
    return [*task_jobs(ingests=ingests).values(), nightly if ingests else followed_nightly]
