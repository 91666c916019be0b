"""Where a `dagster.yaml` of before the rooms looks for its event log."""

from turbomode_assets.orchestration.resources.event_log import (
    QuickSqliteEventLogStorage as QuickSqliteEventLogStorage,
)
