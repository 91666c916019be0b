"""Where a `dagster.yaml` of before the rooms looks for its run launcher."""

from turbomode_assets.orchestration.resources.run_launcher import (
    WatchfulRunLauncher as WatchfulRunLauncher,
)
