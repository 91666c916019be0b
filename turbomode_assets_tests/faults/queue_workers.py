"""Workers that fill holes from the queue, as processes of their own that a test may kill."""

import datetime as dt
import time
from pathlib import Path

import polars as pl

from turbomode_assets.config.budgets import BudgetConfig, WindowConfig
from turbomode_assets.config.loader import load_data_quality_config
from turbomode_assets.contracts.tables import SPLITS
from turbomode_assets.ingestion.auditing import AuditRun
from turbomode_assets.ingestion.backfilling import QueueSelection, newest_window
from turbomode_assets.ingestion.candle_fetching import CandleFetch
from turbomode_assets.ingestion.progress import Progress
from turbomode_assets.ingestion.tools import IngestionTools
from turbomode_assets.orchestration.resources.master_writer import store_batch
from turbomode_assets.rationing.protocol import Call
from turbomode_assets.sessions import SessionSpan, session_index
from turbomode_assets.stores.master_writer import MasterWriter
from turbomode_assets.stores.operations import Operations, RationedBudget, utc_now
from turbomode_assets.vendors import Candles, Request, VendorFailure
from turbomode_assets.vendors.candle_rows import candle_rows
from turbomode_assets.vendors.protocol import CANDLE_SCHEMA
from turbomode_assets_tests.builders import REPOSITORY, make_universe
from turbomode_assets_tests.ingestion.exchanges import Desk, Exchange

MOST_SYMBOLS = 80
YEAR = SessionSpan(dt.date(2019, 1, 2), dt.date(2019, 12, 31))
WINDOW_SESSIONS = 21
CALLS_PER_SECOND = 40
LEASE_SECONDS = 1.0


class RationedExchange(Exchange):
    """Prices that differ from day to day; each call spends budget and is written down."""

    def __init__(self, root: Path, owner: str) -> None:
        super().__init__("ibkr")
        self.root = root
        self.owner = owner
        self.budget: RationedBudget | None = None
        self.seconds = 0.0
        """How long an answer takes."""

    def fetch_candles(self, request: Request) -> Candles | VendorFailure:
        assert self.budget is not None
        call = Call(self.name, identity=f"{request.symbol}/{request.span}", group=request.symbol)
        with self.budget.spend(call) as spent:
            if spent is not None:
                return VendorFailure("budget", spent.reason, True, spent.retry_at)
            with (self.root / "calls.txt").open("a", encoding="utf-8") as book:
                span = request.span
                book.write(
                    f"{time.time()} {self.owner} {request.symbol} {span.first} {span.last}\n"
                )
            time.sleep(self.seconds)
        return self.bars(request)

    def bars(self, request: Request, close: float | None = None) -> Candles:
        flat = super().bars(request).frame
        day = pl.Series([session_index(session) for session in request.span.sessions])
        close_price = 20 + int(request.symbol[1:]) + (day % 13) / 10
        frame = flat.with_columns(
            open=close_price - 0.05,
            high=close_price + 0.1,
            low=close_price - 0.1,
            close=close_price,
            volume=1000.0 + day % 17,
        )
        return Candles(frame.select(CANDLE_SCHEMA.names()))


def tools_of(root: Path, owner: str, *, seconds: float = 0.0) -> IngestionTools:
    """Ingestion over a root in real time, with a budget that all workers share."""
    vendor = RationedExchange(root, owner)
    vendor.seconds = seconds
    desk = Desk(root, vendor, lease_seconds=LEASE_SECONDS, sessions_per_question={"1d": 252})
    rule = WindowConfig(per="vendor", limit=CALLS_PER_SECOND, seconds=1.0)
    budget = BudgetConfig(
        windows=[rule],
        bucket=None,
        open_calls=None,
        margin_seconds=0.05,
        longest_wait_seconds=60,
        cool_off_seconds=1,
    )
    operations = Operations(f"sqlite:///{root / 'operations.sqlite'}")
    vendor.budget = RationedBudget(operations, {"ibkr": budget}, clock=utc_now, sleep=time.sleep)
    quality = load_data_quality_config(REPOSITORY / "configs")
    return IngestionTools(
        desk.config,
        quality,
        REPOSITORY / "configs",
        [vendor],
        MasterWriter(str(root / "master")),
        operations,
        vendor.budget,
        owner,
        utc_now,
        time.sleep,
    )


def symbols_of(count: int) -> list[str]:
    """Names of so many symbols."""
    return [f"S{number:02d}" for number in range(count)]


def universe() -> pl.DataFrame:
    return make_universe(symbols_of(MOST_SYMBOLS), vendor="ibkr")


def whole_year(root: Path, count: int) -> pl.DataFrame:
    """Candles of every symbol and session, as the exchange delivers them."""
    exchange = RationedExchange(root, "nobody")
    arrived = dt.datetime(2020, 1, 2, tzinfo=dt.UTC)
    requests = [Request(symbol, "XNYS", YEAR) for symbol in symbols_of(count)]
    return pl.concat(
        candle_rows("ibkr", exchange.bars(request), request, arrived) for request in requests
    )


def store(root: Path, candles: pl.DataFrame) -> None:
    """Make the store hold these candles, and their symbols."""
    writer = MasterWriter(str(root / "master"))
    symbols = candles["symbol"].unique().to_list()
    known = make_universe(symbols, vendor="ibkr")
    writer.replace("symbol_metadata", known, span=None, symbols=symbols, caller="test")
    writer.replace("candles", candles, span=YEAR, symbols=symbols, timeframes=["1d"], caller="test")


def audit(root: Path) -> None:
    """Audit the year, and queue its holes."""
    tools = tools_of(root, "auditor")
    for batch in AuditRun(tools, YEAR, lambda line: None, describe=dict):
        store_batch(tools.master, batch, "audit")


def work(root: Path, owner: str, seconds: float = 0.0) -> None:
    """Fill what is due, window by window, until nothing is queued; what others hold is awaited."""
    tools = tools_of(root, owner, seconds=seconds)
    while not tools.operations.queued().is_empty():
        window = newest_window(tools, WINDOW_SESSIONS)
        if window is None:
            time.sleep(0.05)
            continue
        progress = Progress(lambda line: None, tools.budget_left)
        fetch = CandleFetch(
            tools,
            universe(),
            SPLITS.empty(),
            window,
            progress,
            describe=dict,
            queued_only=QueueSelection(),
        )
        for batch in fetch:
            store_batch(tools.master, batch, "raw_candles")
