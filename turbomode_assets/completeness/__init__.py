"""What should exist, what does, and what to do about the difference."""

from turbomode_assets.completeness.checksums import corrupted
from turbomode_assets.completeness.expected import expected_grid
from turbomode_assets.completeness.gate import (
    GateResult,
    backfill_command,
    measure_gate,
    require_green,
)
from turbomode_assets.completeness.judgement import judge
from turbomode_assets.completeness.ledger_counts import (
    age_buckets,
    age_of_data,
    ledger_grid,
    reason_counts,
    vendors_of,
)
from turbomode_assets.completeness.planning import next_sweep, plan_backfill, shrunk_window
from turbomode_assets.completeness.reasons import REASONS
from turbomode_assets.completeness.shares import (
    green_shares,
    month_counts,
    sessions_below,
    verdict_counts,
)

__all__ = [
    "REASONS",
    "GateResult",
    "age_buckets",
    "age_of_data",
    "backfill_command",
    "corrupted",
    "expected_grid",
    "green_shares",
    "judge",
    "ledger_grid",
    "measure_gate",
    "month_counts",
    "next_sweep",
    "plan_backfill",
    "reason_counts",
    "require_green",
    "sessions_below",
    "shrunk_window",
    "vendors_of",
    "verdict_counts",
]
