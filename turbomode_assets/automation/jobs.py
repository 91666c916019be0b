"""The jobs people launch from the UI. None of them but `train` trains."""

import dagster as dg

INGEST = dg.AssetSelection.groups("ingestion")
FETCH = dg.AssetSelection.assets("raw_candles", "audit")
DERIVE = dg.AssetSelection.assets("bars", "features", "labels")
DECIDE = dg.AssetSelection.assets("drift_metrics", "signals", "outcomes")
LOOK = dg.AssetSelection.assets("completeness")

SIDE_BY_SIDE = dg.multiprocess_executor.configured(
    {
        "start_method": {
            "forkserver": {"preload_modules": ["lightgbm", "torch", "sklearn", "pandas"]}
        }
    }
)
"""Steps in processes of their own; loading these libraries anew for each would take longer than
most steps."""

history = dg.define_asset_job(
    "history",
    selection=INGEST | DERIVE | LOOK,
    description="Everything up to features and labels; launch it for a range.",
)
nightly = dg.define_asset_job(
    "nightly",
    selection=INGEST | DERIVE | DECIDE | LOOK,
    description="One session from raw candles to signals and outcomes, with the champion in force.",
)
train = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.assets("ensemble"),
    executor_def=SIDE_BY_SIDE,
    description="A new ensemble as of a session; base models are fitted side by side.",
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
JOBS = [history, nightly, train, backfill, sweep, rederive, readjust, reference]
