"""Compiling what computes features before somebody waits for it: `make` does so.

python -m turbomode_assets.features.warming
"""

import datetime as dt

import polars as pl

from turbomode_assets.features.engine import compute_features
from turbomode_assets.sessions import sessions_between

_SESSIONS = sessions_between(dt.date(2018, 1, 2), dt.date(2018, 1, 31))


def warm_up() -> None:
    """Compile everything that features on the CPU need, unless it was compiled here before.

    The compiled code is cached beside the modules. What is compiled depends on the types of the
    arguments alone, so a few bars do; every window is longer than they are.
    """
    days = len(_SESSIONS)
    flat = {name: [10.0] * 2 * days for name in ("open", "high", "low", "close", "volume")}
    bars = pl.DataFrame({"symbol": ["A"] * days + ["B"] * days, "session": _SESSIONS * 2, **flat})
    compute_features(bars, benchmark="A", device="cpu")


if __name__ == "__main__":
    warm_up()
