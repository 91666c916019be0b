"""The section on maintenance: what is kept, and for how long."""

from typing import Annotated

from pydantic import Field

from turbomode_assets.config.section import Section


class MaintenanceConfig(Section):
    """What the weekly maintenance leaves alone.

    Files of tables that no version in use needs are deleted `vacuum_after_hours` after they were
    replaced: longer than any run may take, for steps read the versions they found at their start.
    In use are the versions that models not refused, the signals and backtests of the newest
    `explained_sessions` sessions, and the last audit were made from. Files of a partition are
    merged when there are more than `compact_above_files`; merging more often rewrites more, and
    old versions keep what was rewritten. Logs and runs go to the archive after
    `archive_after_days`.
    """

    vacuum_after_hours: Annotated[int, Field(ge=24, le=8_760)]
    explained_sessions: Annotated[int, Field(ge=1, le=5_040)]
    compact_above_files: Annotated[int, Field(ge=1, le=1_000)]
    archive_after_days: Annotated[int, Field(ge=1, le=3_650)]
