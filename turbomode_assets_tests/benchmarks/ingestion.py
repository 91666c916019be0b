"""How fast candles come from a vendor's socket into the committed store, and what of it is ours.

    python -m turbomode_assets_tests.benchmarks.ingestion

The gateway is a process of its own that answers at once. The rival is the vendor alone: the client
library and the checks of its answers, with nothing compared, derived or stored. The share is
measured under the shipped budget of Interactive Brokers, on a clock that runs on by itself and
jumps ahead where a worker would sleep.
"""

import datetime as dt
import multiprocessing
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from turbomode_assets.config.loader import load_vendors_config
from turbomode_assets.rationing.protocol import Budget
from turbomode_assets.sessions import SessionSpan, offset_session
from turbomode_assets.stores.operations import Operations, RationedBudget
from turbomode_assets.vendors import Candles, Request
from turbomode_assets.vendors.ibkr import IbkrVendor
from turbomode_assets.vendors.universe import read_universe
from turbomode_assets_tests.builders import REPOSITORY, make_universe
from turbomode_assets_tests.ingestion.exchanges import Desk
from turbomode_assets_tests.vendors.builders import CountedBudget
from turbomode_assets_tests.vendors.ib_vendors import ib_config, patient_gateway

NOW = dt.datetime(2024, 8, 1, tzinfo=dt.UTC)
SYMBOLS = ("AAPL", "BRK.B", "GE", "KO", "JPM", "XOM", "PG", "LIN")
FIRST = dt.date(2024, 6, 3)
SPAN = SessionSpan(FIRST, offset_session(FIRST, 19))
CONFIGS = REPOSITORY / "configs"


class Clock:
    """The wall clock, and all the time that was slept away."""

    def __init__(self) -> None:
        self.slept = 0.0
        self._begun = time.monotonic()

    def now(self) -> dt.datetime:
        return NOW + dt.timedelta(seconds=time.monotonic() - self._begun + self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def serve(connection: Connection) -> None:
    """Be the gateway until the other end closes."""
    with patient_gateway() as gateway:
        connection.send(gateway.port)
        connection.recv()


def vendor_at(port: int, budget: Budget) -> IbkrVendor:
    universe = read_universe(CONFIGS / "universe.csv")
    return IbkrVendor(ib_config(port=port), universe, budget, lambda: NOW)


def alone(port: int) -> tuple[int, float]:
    """Ask the vendor alone: candles and seconds."""
    vendor, candles, begun = vendor_at(port, CountedBudget()), 0, time.perf_counter()
    for session in SPAN.sessions:
        for symbol in SYMBOLS:
            request = Request(symbol, "XNYS", SessionSpan(session, session), "1m")
            answer = vendor.fetch_candles(request)
            assert isinstance(answer, Candles)
            candles += answer.frame.height
    seconds = time.perf_counter() - begun
    vendor.close()
    return candles, seconds


def ingested(port: int, root: Path, budget: Budget, clock: Clock | None) -> tuple[int, int, float]:
    """Ingest the same: candles fetched, candles stored with the derived ones, and seconds."""
    desk = Desk(root, vendor_at(port, budget), timeframes=["1m"], sessions_per_question={"1m": 5})
    desk.time = NOW
    begun = time.perf_counter()
    sleep = clock.sleep if clock else None
    desk.run(SPAN, make_universe(SYMBOLS, vendor="ibkr"), sleep=sleep)
    seconds = time.perf_counter() - begun
    counts = desk.writer.count("candles", "timeframe", span=SPAN)
    return counts["1m"], sum(counts.values()), seconds


def row(what: str, candles: int, seconds: float, rival: float) -> str:
    """One line of the table; `rival` is what 1.0 means, in candles per second."""
    rate = candles / seconds
    return f"{what:<44}{candles:>10,}{seconds:>8.2f}{rate:>12,.0f}{rate / rival:>7.2f}"


def main() -> None:
    """Measure and print."""
    ours, theirs = multiprocessing.Pipe()
    gateway = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
    gateway.start()
    port = ours.recv()
    with tempfile.TemporaryDirectory() as folder:
        alone(port)
        candles, seconds = alone(port)
        print(f"{'what':<44}{'candles':>10}{'s':>8}{'candles/s':>12}{'ratio':>7}")
        rival = candles / seconds
        print(row("the vendor alone", candles, seconds, rival))
        candles, stored, seconds = ingested(port, Path(folder) / "fast", CountedBudget(), None)
        print(row("socket to committed store", candles, seconds, rival))
        print(row("the same, counting derived candles", stored, seconds, rival))
        clock = Clock()
        operations = Operations(f"sqlite:///{folder}/operations.sqlite", clock=clock.now)
        budgets = load_vendors_config(CONFIGS).budgets
        budget = RationedBudget(operations, budgets, clock=clock.now, sleep=clock.sleep)
        _, _, seconds = ingested(port, Path(folder) / "paced", budget, clock)
        share = seconds / (seconds + clock.slept)
        print(
            f"under the shipped budget: {clock.slept:,.0f} s waiting for turns, {seconds:.1f} s "
            f"of work, gateway and store: {share:.2%} of the run"
        )
    ours.send("enough")
    gateway.join()


if __name__ == "__main__":
    main()
