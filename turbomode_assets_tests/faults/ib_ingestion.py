"""A worker that ingests from a gateway, as a process of its own that a test may kill."""

import datetime as dt
import time
from pathlib import Path

import polars as pl

from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.vendors.ibkr import IbkrVendor
from turbomode_assets.vendors.universe import read_universe
from turbomode_assets_tests.builders import REPOSITORY, make_universe
from turbomode_assets_tests.ingestion.exchanges import Desk
from turbomode_assets_tests.vendors.builders import CountedBudget
from turbomode_assets_tests.vendors.ib_vendors import ib_config

SYMBOLS = ("AAPL", "BRK.B", "GE", "KO")
FIRST = dt.date(2024, 6, 24)
SPAN = SessionSpan(FIRST, offset_session(FIRST, 14))
"""With a half day (July 3rd), a holiday, and the end of a month."""
FETCH = {
    "timeframes": ["1h", "1d"],
    "sessions_per_question": {"1h": 2, "1d": 3},
    "rows_per_commit": 20,
    "lease_seconds": 0.3,
}
"""Many questions and many commits, each small."""


def universe() -> pl.DataFrame:
    return make_universe(SYMBOLS, vendor="ibkr")


def desk(root: Path, port: int) -> Desk:
    """Ingestion from the gateway at a port, with the budget of a vendor that does not mind."""
    budget = CountedBudget()
    vendor = IbkrVendor(
        ib_config(port=port), read_universe(REPOSITORY / "configs" / "universe.csv"), budget, _now
    )
    made = Desk(root, vendor, **FETCH)
    made.time = _now()
    return made


def ingest(root: Path, port: int, owner: str, span: SessionSpan = SPAN) -> None:
    """Fetch the span and store it."""
    desk(root, port).run(span, universe(), owner=owner, sleep=lambda seconds: time.sleep(0.05))


def _now() -> dt.datetime:
    return dt.datetime(2024, 8, 1, tzinfo=dt.UTC)
