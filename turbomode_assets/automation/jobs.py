"""The jobs people launch from the UI. None of them but `train` trains."""

import dagster as dg

INGEST = dg.AssetSelection.groups("ingestion")
DERIVE = dg.AssetSelection.assets("bars", "features", "labels")
DECIDE = dg.AssetSelection.assets("drift_metrics", "signals")

history = dg.define_asset_job(
    "history",
    selection=INGEST | DERIVE,
    description="Everything up to features and labels; launch it for a range.",
)
nightly = dg.define_asset_job(
    "nightly",
    selection=INGEST | DERIVE | DECIDE,
    description="One session from raw candles to signals, with the champion in force.",
)
train = dg.define_asset_job(
    "train",
    selection=dg.AssetSelection.assets("ensemble"),
    description="A new ensemble as of a session.",
)
JOBS = [history, nightly, train]
