"""The tasks by what does their work: their jobs by name, and the assets that each makes."""

TASK_TAG = "turbomode/task"
"""Run tag whose values never run twice at once: `dagster.yaml` limits each to one."""

JOB_OF_TASK = {
    "ingestion": "ingestion",
    "training": "train",
    "scanner": "scanner",
    "backtest": "backtest_generator",
    "drift_monitor": "drift_monitor",
    "maintenance": "weekly_maintenance",
}
"""Name of the job of each task. No job may have the name of an asset: both do not load."""

NIGHTLY_JOB = "nightly"
NIGHTLY_TASKS = ("ingestion", "scanner", "backtest", "drift_monitor")
"""Tasks whose work a run of `nightly` does; each job's assets are among its own."""

_DERIVED = {"bars", "features", "labels", "completeness"}
_REFERENCE = {"symbol_metadata", "sector_mappings", "splits", "dividends", "fundamentals"}
TASK_ASSETS: dict[str, frozenset[str]] = {
    "ingestion": frozenset({"raw_candles", "audit", "db_metadata"} | _REFERENCE | _DERIVED),
    "training": frozenset({"ensemble"}),
    "scanner": frozenset({"signals", "outcomes"}),
    "backtest": frozenset({"backtest"}),
    "drift_monitor": frozenset({"drift_metrics", "nightly_page"}),
    "maintenance": frozenset({"maintenance"}),
}
"""What each task's job makes: a run that somebody restricted to fewer assets is not the task's."""

FOLLOWED_ASSETS = TASK_ASSETS | {"ingestion": frozenset({"audit"} | _DERIVED)}
"""What each task's job makes where another tenant ingests."""
