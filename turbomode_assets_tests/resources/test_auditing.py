"""Laws of the audit: what it looks at is enough, and what it finds again it writes once."""

import datetime as dt
import random
import shutil

import polars as pl
import pytest

from turbomode_assets.config.completeness import HaltConfig
from turbomode_assets.contracts.payload import payload_digests
from turbomode_assets.contracts.quality_log import NO_DATA, log_rows
from turbomode_assets.contracts.tables import CANDLES, DATA_QUALITY_LOG, DIVIDENDS, SPLITS
from turbomode_assets.resources.auditing import AuditRun
from turbomode_assets.resources.master_writer import store_batch
from turbomode_assets.sessions import SessionSpan, offset_session, session_close
from turbomode_assets.sessions.listing import trading_hours
from turbomode_assets.stores.operations import NewWork
from turbomode_assets_tests.builders import make_universe
from turbomode_assets_tests.resources.exchanges import Desk

FIRST = dt.date(2019, 10, 28)
SPAN = SessionSpan(FIRST, offset_session(FIRST, 59))
NAMES = ["AAA", "BBB", "COIN"]
TIMEFRAMES = ["1d", "1h"]
ARRIVED = dt.datetime(2020, 2, 1, tzinfo=dt.UTC)
KNOWN = {"knowledge_ts": ARRIVED, "vendor": "ibkr"}


def universe():
    is_coin = pl.col("symbol") == "COIN"
    calendar = pl.when(is_coin).then(pl.lit("24/7")).otherwise("calendar")
    return make_universe(NAMES, vendor="ibkr").with_columns(calendar=calendar)


def starts_of(symbol, timeframe):
    """When each candle of the span starts, and its session."""
    calendar = "24/7" if symbol == "COIN" else "XNYS"
    hours = trading_hours(pl.Series(SPAN.sessions)).filter(pl.col("calendar") == calendar)
    for session, opens, closes in hours.select("session", "opens_at", "closes_at").iter_rows():
        at = opens
        while at < closes:
            yield at, session
            one_a_session = timeframe == "1d" and symbol != "COIN"
            day = dt.timedelta(days=1)
            at += closes - opens if one_a_session else day if timeframe == "1d" else day / 24


def market():
    """Prices that differ from bar to bar, by so little that nothing of them is doubted."""
    rows = [
        (symbol, timeframe, at, session, 20 + (at.toordinal() * 7 + at.hour) % 13 / 10)
        for symbol in NAMES
        for timeframe in TIMEFRAMES
        for at, session in starts_of(symbol, timeframe)
    ]
    plain = pl.DataFrame(
        rows,
        schema={name: CANDLES.schema[name] for name in ("symbol", "timeframe", "ts", "session")}
        | {"close": pl.Float64},
        orient="row",
    )
    adjusted = pl.col("symbol") == "BBB"
    candles = plain.with_columns(
        open=pl.col("close") - 0.05,
        high=pl.col("close") + 0.1,
        low=pl.col("close") - 0.1,
        volume=1000.0 + pl.int_range(pl.len()) % 17,
        vwap=pl.lit(None, dtype=pl.Float64),
        trades=pl.lit(None, dtype=pl.Int64),
        vendor=pl.lit("ibkr"),
        adjustment=pl.when(adjusted).then(pl.lit("split")).otherwise(pl.lit("raw")),
        adjusted_as_of=pl.when(adjusted).then(pl.lit(ARRIVED.date())),
        ingested_at=pl.lit(ARRIVED).cast(CANDLES.schema["ingested_at"]),
    )
    digests = payload_digests(candles)
    return candles.with_columns(payload_sha256=digests).select(CANDLES.column_names)


MARKET = market()


class Platform:
    """A small store that is changed and audited, at a clock that moves on."""

    def __init__(self, root, candles=MARKET):
        self.desk = Desk(root, timeframes=TIMEFRAMES)
        self.desk.time = ARRIVED
        self.writer = self.desk.writer
        self.universe = universe()
        self.put_universe(self.universe)
        for table in (SPLITS, DIVIDENDS):
            self.writer.replace(table.name, table.empty(), span=None, symbols=NAMES, caller="t")
        self.put(candles, SPAN, NAMES, TIMEFRAMES)

    def put(self, candles, span, symbols, timeframes):
        self.writer.replace(
            "candles", candles, span=span, symbols=symbols, timeframes=timeframes, caller="t"
        )

    def put_universe(self, rows):
        self.writer.replace("symbol_metadata", rows, span=None, symbols=NAMES, caller="t")

    def cell(self, symbol, timeframe, session, change=lambda rows: rows):
        """Make a cell of the market what `change` makes of its candles as they were delivered."""
        chosen = {"symbol": symbol, "timeframe": timeframe, "session": session}
        rows = change(MARKET.filter(**chosen))
        self.put(rows, SessionSpan(session, session), [symbol], [timeframe])

    def event(self, table, symbol, *rows):
        schema = table.schema
        frame = pl.DataFrame([{"symbol": symbol, **KNOWN, **row} for row in rows], schema=schema)
        self.writer.replace(table.name, frame, span=None, symbols=[symbol], caller="t")

    def split(self, symbol, session, ratio):
        self.event(SPLITS, symbol, {"session": session, "ex_date": session, "ratio": ratio})

    def dividends(self, symbol, *amounts, days):
        rows = [
            {"session": day, "ex_date": day, "amount": amount, "previous_close": 20.0}
            for day, amount in zip(days, amounts, strict=True)
        ]
        self.event(DIVIDENDS, symbol, *rows)

    def note(self, symbol, timeframe, first, last):
        row = {
            "symbol": symbol,
            "timeframe": timeframe,
            "first_session": first,
            "session": last,
            "kind": NO_DATA,
            "ts": session_close(first),
            "column": "session",
            "detail": "halted",
            **KNOWN,
        }
        frame = pl.DataFrame([row], schema={name: DATA_QUALITY_LOG.schema[name] for name in row})
        self.writer.append("data_quality_log", log_rows(frame), caller="t")

    def halt(self, *symbols, first, last):
        """Let trading of these symbols have halted then; of none, never."""
        halts = [
            HaltConfig(symbols=[symbol], first_session=first, last_session=last, reason="why")
            for symbol in symbols
        ]
        ledger = self.desk.quality.ledger.model_copy(update={"halts": halts})
        self.desk.quality = self.desk.quality.model_copy(update={"ledger": ledger})

    def fail(self, symbol, timeframe, first, last):
        """Queue work that nobody could answer."""
        operations = self.desk.tools().operations
        work = NewWork(symbol, timeframe, SessionSpan(first, last), "missing", 1.0)
        operations.enqueue([work])
        policy = self.desk.quality.backfill
        operations.fail([work.key], "the line is dead", retry_at=None, policy=policy)

    def forget_queue(self):
        operations = self.desk.tools().operations
        names = ["symbol", "timeframe", "first_session", "last_session"]
        operations.dequeue(operations.queued().select(names).rows())

    def audit(self, span):
        self.desk.time += dt.timedelta(hours=1)
        run = AuditRun(self.desk.tools("auditor"), span, lambda line: None, describe=dict)
        for batch in run:
            store_batch(self.writer, batch, "audit")
        return run.metadata()

    @property
    def ledger(self):
        return self.writer.read("partition_status", caller="t").rows

    @property
    def said(self):
        return self.ledger.drop("checked_at", "store_version")

    def row(self, symbol, session, timeframe="1d"):
        chosen = {"symbol": symbol, "timeframe": timeframe, "session": session}
        return self.ledger.filter(**chosen).row(0, named=True)

    def afresh(self, root):
        """The same store without its ledger, audited for the first time."""
        shutil.copytree(self.desk.root, root)
        for table in ("partition_status", "audits"):
            shutil.rmtree(root / "master" / table)
        twin = object.__new__(Platform)
        twin.desk = Desk(root, timeframes=list(self.desk.config.fetch.timeframes))
        twin.desk.quality, twin.desk.time = self.desk.quality, self.desk.time
        twin.writer = twin.desk.writer
        twin.audit(SPAN)
        return twin


@pytest.fixture
def platform(tmp_path):
    made = Platform(tmp_path / "platform")
    made.audit(SPAN)
    return made


import os

SEEDS = range(*map(int, os.environ.get("SEEDS", "0,4").split(",")))


def spoilt(rows):
    return rows.with_columns(pl.col("close") + 0.01)


def mislabelled(rows):
    return rows.with_columns(payload_sha256=pl.lit("0"))


def revised(factor):
    def change(rows):
        told = rows.with_columns(pl.col("open", "high", "low", "close") * factor)
        return told.with_columns(payload_sha256=payload_digests(told))

    return change


def some_change(platform, chance):
    """Do one random thing to the store, and say what."""
    symbol, timeframe = chance.choice(NAMES), chance.choice(TIMEFRAMES)
    session = chance.choice(SPAN.sessions)
    later = min(SPAN.last, offset_session(session, chance.randrange(6)))
    days = sorted({session, offset_session(FIRST, 40)})
    doings = {
        lambda: platform.cell(symbol, timeframe, session, pl.DataFrame.clear): 4,
        lambda: platform.cell(symbol, timeframe, session): 2,
        lambda: platform.cell(symbol, "1d", session, revised(chance.choice([1.1, 2, 100]))): 4,
        lambda: platform.cell(symbol, timeframe, session, spoilt): 2,
        lambda: platform.cell(symbol, timeframe, session, mislabelled): 2,
        lambda: platform.note(symbol, timeframe, session, later): 2,
        lambda: platform.split(symbol, session, chance.choice([2.0, 0.1])): 3,
        lambda: platform.event(SPLITS, symbol): 1,
        lambda: platform.dividends(symbol, *chance.sample([0.1, 0.2], len(days)), days=days): 3,
        lambda: platform.fail(symbol, timeframe, session, later): 3,
        platform.forget_queue: 2,
        lambda: list_otherwise(platform, symbol, session, later): 1,
        lambda: platform.halt(symbol, first=session, last=later): 1,
        lambda: platform.halt(first=session, last=later): 1,
    }
    do = chance.choices(list(doings), list(doings.values()))[0]
    import inspect

    print(symbol, timeframe, session, later, days, inspect.getsource(do).strip())
    do()


def list_otherwise(platform, symbol, first, last):
    mine = pl.col("symbol") == symbol
    ends = {"first_session": first, "last_session": last}
    platform.universe = platform.universe.with_columns(
        **{name: pl.when(mine).then(end).otherwise(name) for name, end in ends.items()}
    )
    platform.put_universe(platform.universe)


def some_span(chance):
    first, last = sorted(chance.choices(SPAN.sessions[-20:], k=2))
    return SessionSpan(first, last)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_ledger_kept_up_to_date_is_what_a_first_audit_would_make(platform, tmp_path, seed):
    chance = random.Random(seed)
    for turn in range(4):
        for _ in range(chance.randrange(1, 4)):
            some_change(platform, chance)
        twin = platform.afresh(tmp_path / f"twin-{turn}")
        platform.audit(some_span(chance))
        told = pl.concat([platform.said, twin.said])
        assert told.filter(told.is_unique()).rows() == []
