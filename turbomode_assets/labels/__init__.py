"""Labels: what became of each decision, and the conditions it was taken in.

Outcomes are stored under the session on which they became known; market regimes and rare events
are known at the close of the session they name.
"""

from turbomode_assets.labels.rare_events import (
    RARE_EVENT_KINDS,
    RARE_EVENT_SCHEMA,
    detect_rare_events,
    update_archive,
)
from turbomode_assets.labels.regimes import REGIMES, market_regimes
from turbomode_assets.labels.triple_barrier import lookback_sessions, triple_barrier

__all__ = [
    "RARE_EVENT_KINDS",
    "RARE_EVENT_SCHEMA",
    "REGIMES",
    "detect_rare_events",
    "lookback_sessions",
    "market_regimes",
    "triple_barrier",
    "update_archive",
]
