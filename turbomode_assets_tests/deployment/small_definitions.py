"""A task of two sessions with its sensor, for tests of what stands around the UI."""

import dagster as dg

SESSIONS = dg.StaticPartitionsDefinition(["2024-03-01", "2024-03-04"])


@dg.asset(partitions_def=SESSIONS)
def signals() -> None:
    """Do nothing, quickly."""


scanner = dg.define_asset_job("scanner", selection=[signals])


@dg.sensor(name="scanner", job=scanner, minimum_interval_seconds=30)
def ask_for_scanner() -> dg.SkipReason:
    """Wait for ever."""
    return dg.SkipReason("2024-03-05 awaits ingestion")


defs = dg.Definitions(
    assets=[signals], jobs=[scanner], sensors=[ask_for_scanner], executor=dg.in_process_executor
)
