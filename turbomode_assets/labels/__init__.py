"""Labels: what became of each decision, stored under the session on which it became known."""

from turbomode_assets.labels.triple_barrier import lookback_sessions, triple_barrier

__all__ = ["lookback_sessions", "triple_barrier"]
