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
from turbomode_assets.completeness.planning import next_sweep, plan_backfill, shrunk_window
from turbomode_assets.completeness.reasons import REASONS
from turbomode_assets.completeness.shares import green_shares, sessions_below

__all__ = [
    "REASONS",
    "GateResult",
    "backfill_command",
    "corrupted",
    "expected_grid",
    "green_shares",
    "judge",
    "measure_gate",
    "next_sweep",
    "plan_backfill",
    "require_green",
    "sessions_below",
    "shrunk_window",
]
