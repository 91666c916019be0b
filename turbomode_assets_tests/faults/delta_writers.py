"""What the processes of the fault tests do: write and read one table of a tenant's lake.

Each row carries in `volume` the generation that wrote it: a session is whole when it holds every
symbol exactly once, all of one generation. Every process imports this module: it stays light.
"""

import datetime as dt
import time
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import polars as pl

from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.tables import BARS, CANDLES
from turbomode_assets.sessions import SessionSpan, session_open
from turbomode_assets.stores.delta import Scope, open_table, replace_rows, scan_table
from turbomode_assets_tests.builders import fill_columns, make_rows

OWNER = "lake/faults"
SYMBOLS = [f"S{i}" for i in range(8)]
START_TOGETHER_SECONDS = 60

_barrier: Barrier | None = None


def join_barrier(barrier: Barrier) -> None:
    """Give a pool's process the barrier at which all of them start."""
    # A pool hands a barrier over only when a process starts; tasks find it here.
    global _barrier
    _barrier = barrier


def bars_of(span: SessionSpan, generation: int) -> pl.DataFrame:
    """Bars of every symbol and session, marked with their generation."""
    rows = pl.DataFrame({"symbol": SYMBOLS}).join(
        pl.DataFrame({"session": span.sessions}), how="cross"
    )
    prices = dict.fromkeys((*PRICES, "dollar_volume"), 10.0)
    return fill_columns(BARS, rows, **prices, volume=float(generation))


def candles_of(symbols: list[str], span: SessionSpan) -> pl.DataFrame:
    """Daily candles as a vendor's fetch delivers them."""
    rows = [
        {
            "symbol": symbol,
            "ts": session_open(session),
            "session": session,
            "payload_sha256": f"{symbol} {session}",
        }
        for symbol in symbols
        for session in span.sessions
    ]
    return make_rows(CANDLES, *rows, close=10.0, volume=None)


def write_year(uri: str, year: SessionSpan, generation: int) -> None:
    """Replace a whole year in one commit, so that all its sessions lie in one file."""
    bars = bars_of(year, generation)
    replace_rows(uri, bars, BARS, owner=OWNER, scope=Scope(year), caller="faults")


def write_generation(uri: str, session: dt.date, generation: int) -> None:
    """Replace one session of bars."""
    span = SessionSpan(session, session)
    replace_rows(
        uri, bars_of(span, generation), BARS, owner=OWNER, scope=Scope(span), caller="faults"
    )


def write_when_all_are_ready(uris: list[str], session: dt.date, generation: int) -> None:
    """Write a session into one table after another, each at the same moment as the others do."""
    assert _barrier is not None
    for uri in uris:
        _barrier.wait(START_TOGETHER_SECONDS)
        write_generation(uri, session, generation)


def write_many(uri: str, sessions: list[dt.date], generation: int) -> None:
    """Write sessions one by one, beginning at the same moment as the others do."""
    assert _barrier is not None
    _barrier.wait(START_TOGETHER_SECONDS)
    for session in sessions:
        write_generation(uri, session, generation)


def write_candles(uri: str, symbols: list[str], sessions: list[dt.date]) -> None:
    """Write some symbols' candles session by session, as one vendor's fetch does."""
    assert _barrier is not None
    _barrier.wait(START_TOGETHER_SECONDS)
    for session in sessions:
        span = SessionSpan(session, session)
        scope = Scope(span, (("timeframe", ("1d",)), ("symbol", tuple(symbols))))
        replace_rows(
            uri, candles_of(symbols, span), CANDLES, owner=OWNER, scope=scope, caller="faults"
        )


def read_until(uri: str, sessions: list[dt.date], generation: int, seconds: float) -> int:
    """Read the table again and again until all sessions are of a generation; count the reads."""
    assert _barrier is not None
    _barrier.wait(START_TOGETHER_SECONDS)
    deadline = time.monotonic() + seconds
    reads = 0
    while time.monotonic() < deadline:
        found = generations(uri)
        assert set(found) == set(sessions)
        reads += 1
        if set(found.values()) == {generation}:
            return reads
    raise AssertionError(f"generation {generation} was not complete after {seconds} s")


def write_and_tell(connection: Connection, uri: str, sessions: list[dt.date]) -> None:
    """Wait for a generation, write it session by session, and tell each one that is committed."""
    bars_of(SessionSpan(sessions[0], sessions[-1]), 0)  # loads the calendar
    connection.send("ready")
    generation = connection.recv()
    for position, session in enumerate(sessions):
        write_generation(uri, session, generation)
        connection.send(position)


def generations(uri: str) -> dict[dt.date, int]:
    """Read the generation of every session; fails where one is torn, doubled or short."""
    rows = scan_table(open_table(uri, BARS, OWNER), BARS, Scope()).collect()
    whole = rows.group_by("session").agg(
        pl.len().alias("rows"),
        pl.col("symbol").n_unique().alias("symbols"),
        pl.col("volume").n_unique().alias("generations"),
        pl.col("volume").first().cast(pl.Int64).alias("generation"),
    )
    torn = whole.filter(
        (pl.col("rows") != len(SYMBOLS))
        | (pl.col("symbols") != len(SYMBOLS))
        | (pl.col("generations") != 1)
    )
    assert torn.is_empty(), torn
    return dict(whole.select("session", "generation").iter_rows())
