"""A vendor that answers from a small market of its own, and ingestion tools around it."""

import datetime as dt
import functools
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from turbomode_assets.config.completeness import BackfillConfig
from turbomode_assets.config.data_quality import DataQualityConfig
from turbomode_assets.config.loader import load_data_quality_config
from turbomode_assets.config.vendors import VendorsConfig
from turbomode_assets.contracts.tables import SPLITS
from turbomode_assets.ingestion.candle_fetching import CandleFetch
from turbomode_assets.ingestion.progress import Progress
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.orchestration.resources.master_writer import store_batch
from turbomode_assets.sessions import SessionSpan, session_close, session_open
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets.stores.operations import Operations, RationedBudget
from turbomode_assets.vendors import Candles, NoData, Request, Vendor, VendorFailure
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA
from turbomode_assets_tests.builders import REPOSITORY, make_universe

OVERRIDES = {"retry_wait_seconds": 0, "seconds_per_commit": 3600}


# A function: what polars computes during an import starts threads that no fork has.
@functools.cache
def two_symbols() -> pl.DataFrame:
    """AAA and BBB, for ever listed."""
    return make_universe(["AAA", "BBB"], vendor="ibkr")


class Exchange:
    """Daily, hourly and minute bars of flat prices; `script` may say otherwise for a request."""

    notes = ()

    def __init__(self, name: str = "ibkr", close: float = 10.0) -> None:
        self.name = name
        self.close_price = close
        self.asked: list[Request] = []
        self.closed = 0
        self.script: Callable[[Request], Candles | NoData | VendorFailure | None] = lambda r: None
        self._guard = threading.Lock()

    def fetch_candles(self, request: Request) -> Candles | NoData | VendorFailure:
        with self._guard:
            self.asked.append(request)
        return self.script(request) or self.bars(request)

    def bars(self, request: Request, close: float | None = None) -> Candles:
        price = self.close_price if close is None else close
        step = {"1m": 1, "1h": 60, "1d": 100_000}[request.timeframe]
        starts = []
        for session in request.span.sessions:
            at = session_open(session)
            while at < session_close(session):
                starts.append(at)
                at += dt.timedelta(minutes=step)
        frame = pl.DataFrame({"ts": pl.Series(starts, dtype=CANDLE_SCHEMA["ts"])}).with_columns(
            *(pl.lit(price).alias(name) for name in ("open", "high", "low", "close")),
            volume=pl.lit(100.0),
            vwap=pl.lit(None, dtype=pl.Float64),
            trades=pl.lit(None, dtype=pl.Int64),
        )
        return Candles(frame)

    def candle_calls(self, request: Request) -> int:
        return 1

    @property
    def questions(self) -> list[tuple[str, str, str]]:
        """What it was asked, in order."""
        return [(r.symbol, r.timeframe, str(r.span)) for r in self.asked]

    def close(self) -> None:
        self.closed += 1


def quality_with(**backfill: object) -> DataQualityConfig:
    """The shipped rules of data quality, with other values in the section `backfill`."""
    shipped = load_data_quality_config(REPOSITORY / "configs")
    changed = BackfillConfig(**(shipped.backfill.model_dump() | backfill))
    return shipped.model_copy(update={"backfill": changed})


class Desk:
    """Ingestion over one data root, at a time that the test sets."""

    def __init__(self, root: Path, *vendors: Vendor, **fetch: object) -> None:
        self.root = root
        self.vendors = vendors or (Exchange(),)
        self.time = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
        shipped = json.loads((REPOSITORY / "configs" / "vendors.json").read_text(encoding="utf-8"))
        shipped["precedence"] = ["ibkr", "yahoo"]
        shipped["fetch"] |= OVERRIDES | fetch
        shipped.pop("$schema")
        self.config = VendorsConfig(**shipped)
        self.quality = quality_with(tolerated_unanswered_share=0.0)
        self.writer = MasterWriter(str(root / "master"))
        self.said: list[str] = []

    def tools(self, owner: str = "worker", sleep: Callable[[float], None] | None = None):
        operations = Operations(f"sqlite:///{self.root / 'operations.sqlite'}")
        pause = sleep or (lambda seconds: None)
        budget = RationedBudget(
            operations, self.config.budgets, clock=lambda: self.time, sleep=pause
        )
        return IngestionTools(
            self.config,
            self.quality,
            REPOSITORY / "configs",
            self.vendors,
            self.writer,
            operations,
            budget,
            owner,
            lambda: self.time,
            pause,
        )

    def fetch(
        self,
        span: SessionSpan,
        universe: pl.DataFrame | None = None,
        owner: str = "worker",
        **more,
    ) -> CandleFetch:
        """A fetch of a span, for two symbols unless others are given."""
        listed = two_symbols() if universe is None else universe
        progress = Progress(self.said.append, lambda: "no budgets")
        splits = SPLITS.empty()
        return CandleFetch(self.tools(owner, **more), listed, splits, span, progress, describe=dict)

    def run(self, span: SessionSpan, universe: pl.DataFrame | None = None, **more) -> None:
        """Fetch a span and store it, on the evening after its last session unless time went on."""
        evening = session_close(span.last) + dt.timedelta(hours=6)
        self.time = max(self.time, evening)
        for batch in self.fetch(span, universe, **more):
            store_batch(self.writer, batch, "raw_candles")

    def candles(self, timeframe: str = "1d", symbols: Sequence[str] | None = None) -> pl.DataFrame:
        read = self.writer.read("candles", caller="test", timeframes=[timeframe], symbols=symbols)
        return read.rows

    def log(self, kind: str) -> pl.DataFrame:
        rows = self.writer.read("data_quality_log", caller="test").rows
        return rows.filter(pl.col("kind") == kind)
