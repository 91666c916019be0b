"""Laws of the audit: what it looks at is enough, and what it finds again it writes once."""

import datetime as dt
import random
import shutil

import polars as pl
import pytest
from deltalake import DeltaTable

from turbomode_assets.config.completeness import HaltConfig
from turbomode_assets.contracts.payload import payload_digests
from turbomode_assets.contracts.quality_log import NO_DATA
from turbomode_assets.contracts.tables import CANDLES, DIVIDENDS, SPLITS
from turbomode_assets.ingestion.auditing import AuditRun
from turbomode_assets.orchestration.resources.master_writer import store_batch
from turbomode_assets.sessions import SessionSpan, offset_session, session_close
from turbomode_assets.sessions.listing import trading_hours
from turbomode_assets.stores.operations import NewWork
from turbomode_assets_tests.builders import (
    fill_columns,
    make_log,
    make_rows,
    make_universe,
    with_digests,
)
from turbomode_assets_tests.ingestion.exchanges import Desk

FIRST = dt.date(2019, 10, 28)
SPAN = SessionSpan(FIRST, offset_session(FIRST, 59))
NAMES = ["AAA", "BBB", "COIN"]
TIMEFRAMES = ["1d", "1h"]
FEW_TURNS = 9
"""Seed of the random changes that are made in every run of the tests."""
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
        {
            "symbol": symbol,
            "timeframe": timeframe,
            "ts": at,
            "session": session,
            "close": 20 + (at.toordinal() * 7 + at.hour) % 13 / 10,
        }
        for symbol in NAMES
        for timeframe in TIMEFRAMES
        for at, session in starts_of(symbol, timeframe)
    ]
    is_adjusted = pl.col("symbol") == "BBB"
    candles = fill_columns(
        CANDLES,
        pl.DataFrame(rows),
        open=pl.col("close") - 0.05,
        high=pl.col("close") + 0.1,
        low=pl.col("close") - 0.1,
        volume=1000.0 + pl.int_range(pl.len()) % 17,
        vendor="ibkr",
        adjustment=pl.when(is_adjusted).then(pl.lit("split")).otherwise(pl.lit("raw")),
        adjusted_as_of=pl.when(is_adjusted).then(pl.lit(ARRIVED.date())),
        ingested_at=ARRIVED,
    )
    return with_digests(candles)


MARKET = market()


class Platform:
    """A small store that is changed and audited, at a clock that moves on."""

    def __init__(self, root, timeframes=("1d",)):
        self.desk = Desk(root, timeframes=list(timeframes))
        self.desk.time = ARRIVED
        self.writer = self.desk.writer
        self.universe = universe()
        self.put_universe(self.universe)
        for table in (SPLITS, DIVIDENDS):
            self.writer.replace(table.name, table.empty(), span=None, symbols=NAMES, caller="t")
        stored = MARKET.filter(pl.col("timeframe").is_in(list(timeframes)))
        self.put(stored, SPAN, NAMES, timeframes)

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
        frame = make_rows(table, *rows, symbol=symbol, **KNOWN)
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
        }
        self.writer.append("data_quality_log", make_log(row, **KNOWN), caller="t")

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

    def copied(self, root):
        """The same store elsewhere."""
        shutil.copytree(self.desk.root, root)
        twin = object.__new__(Platform)
        twin.desk = Desk(root, timeframes=list(self.desk.config.fetch.timeframes))
        twin.desk.quality, twin.desk.time = self.desk.quality, self.desk.time
        twin.writer, twin.universe = twin.desk.writer, self.universe
        return twin

    def afresh(self, root):
        """The same store without its ledger, audited for the first time."""
        twin = self.copied(root)
        for table in ("partition_status", "audits"):
            shutil.rmtree(root / "master" / table)
        twin.audit(SPAN)
        return twin


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    made = Platform(tmp_path_factory.mktemp("audited"))
    made.split("COIN", SPAN.sessions[3], 1.0)
    made.audit(SPAN)
    return made


@pytest.fixture
def platform(audited, tmp_path):
    """Daily candles of three symbols, audited: yours to change."""
    return audited.copied(tmp_path / "platform")


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
    """Do one random thing to the store, the queue, the listing or the rules."""
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
    chance.choices(list(doings), list(doings.values()))[0]()


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


@pytest.mark.parametrize(
    "seed", [FEW_TURNS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(20, 40))]
)
def test_a_ledger_kept_up_to_date_is_what_a_first_audit_would_make(tmp_path, seed):
    chance, platform = random.Random(seed), Platform(tmp_path / "platform", TIMEFRAMES)
    platform.audit(SPAN)
    for turn in range(2 if seed == FEW_TURNS else 5):
        for _ in range(chance.randrange(1, 4)):
            some_change(platform, chance)
        twin = platform.afresh(tmp_path / f"twin-{turn}")
        platform.audit(some_span(chance))
        assert differing(platform, twin) == []


def differing(platform, twin):
    """Rows of which only one of the two ledgers has the like."""
    told = pl.concat([platform.said, twin.said])
    return told.filter(told.is_unique()).rows()


def break_off(platform, span):
    """Store the first batch of an audit, and no more."""
    platform.desk.time += dt.timedelta(hours=1)
    run = AuditRun(platform.desk.tools("killed"), span, lambda line: None, describe=dict)
    batches = iter(run)
    store_batch(platform.writer, next(batches), "audit")
    batches.close()


def days(first, last):
    """Sessions of the span from one place to another, both included."""
    return SessionSpan(SPAN.sessions[first], SPAN.sessions[last])


NEWEST = days(-1, -1)


def test_an_audit_that_finds_nothing_new_writes_nothing(platform):
    before, version = platform.ledger, platform.writer.version("partition_status")
    told = platform.audit(SPAN)
    assert platform.writer.version("partition_status") == version
    assert platform.ledger.equals(before)
    assert (told["cells_changed"], told["cells_green"]) == (0, before.height)
    audits = platform.writer.read("audits", caller="t").rows
    assert audits["changed"].to_list() == [before.height, 0]


def test_only_the_cells_that_say_something_new_get_a_new_date(platform):
    session = SPAN.sessions[5]
    platform.cell("AAA", "1d", session, pl.DataFrame.clear)
    before = platform.ledger
    platform.audit(NEWEST)
    changed = platform.ledger.join(before, on=platform.ledger.columns, how="anti", nulls_equal=True)
    assert changed.select("symbol", "session", "verdict").rows() == [("AAA", session, "RED")]
    assert changed["checked_at"].to_list() == [platform.desk.time]


def test_a_change_before_the_ledger_is_seen_in_the_cells_that_look_back_on_it(tmp_path):
    platform, (before, first) = Platform(tmp_path / "platform"), SPAN.sessions[29:31]
    platform.audit(days(30, -1))
    copied = MARKET.filter(symbol="AAA", timeframe="1d", session=first)
    values = [name for name in CANDLES.column_names if name not in ("ts", "session")]
    platform.cell(
        "AAA",
        "1d",
        before,
        lambda rows: (
            rows.select("ts", "session").hstack(copied.select(values)).select(rows.columns)
        ),
    )
    platform.audit(NEWEST)
    assert platform.row("AAA", first)["reasons"] == "copied_bar"


def test_late_events_are_seen_where_candles_were_delivered_with_them_and_on_their_day(platform):
    session, ex_date = SPAN.sessions[25], SPAN.sessions[50]
    platform.cell("BBB", "1d", session, revised(2.0))
    platform.cell("AAA", "1d", session, revised(0.7))
    platform.audit(NEWEST)
    assert platform.row("BBB", session)["reasons"] == "split_sized_jump"
    assert "jump" in platform.row("AAA", session)["reasons"]
    platform.split("BBB", ex_date, 2.0)
    platform.dividends("AAA", 4.9, days=[session])
    platform.audit(NEWEST)
    assert "split_not_applied" in platform.row("BBB", session)["reasons"]
    assert platform.row("AAA", session)["verdict"] == "GREEN"


def test_what_was_not_due_is_looked_at_again_by_the_audit_of_another_session(tmp_path):
    platform = Platform(tmp_path / "platform")
    platform.cell("AAA", "1d", SPAN.last, pl.DataFrame.clear)
    platform.desk.time = session_close(SPAN.last)
    platform.audit(SPAN)
    assert platform.row("AAA", SPAN.last)["reasons"] == "not_yet_due"
    platform.desk.time += dt.timedelta(days=10)
    platform.audit(days(0, 0))
    assert platform.row("AAA", SPAN.last)["reasons"] == "missing"


def test_work_that_failed_or_was_done_is_seen_by_the_audit_of_another_session(platform):
    session = SPAN.sessions[5]
    platform.cell("AAA", "1d", session, pl.DataFrame.clear)
    platform.audit(NEWEST)
    platform.fail("AAA", "1d", session, session)
    platform.audit(NEWEST)
    assert platform.row("AAA", session)["reasons"] == "missing,vendor_failure"
    platform.forget_queue()
    platform.audit(NEWEST)
    assert platform.row("AAA", session)["reasons"] == "missing"


def test_cells_that_are_expected_no_more_leave_the_ledger(platform):
    platform.cell("AAA", "1d", SPAN.sessions[7], pl.DataFrame.clear)
    list_otherwise(platform, "AAA", SPAN.sessions[8], None)
    platform.audit(NEWEST)
    early = platform.ledger.filter(pl.col("symbol") == "AAA", pl.col("session") <= SPAN.sessions[7])
    assert set(early["reasons"]) == {"no_session"}
    assert early["session"].to_list() == SPAN.sessions[:7]


def test_candles_of_a_symbol_that_nobody_knows_any_more_are_named_so(platform):
    platform.put_universe(platform.universe.filter(pl.col("symbol") != "AAA"))
    platform.audit(NEWEST)
    strange = platform.ledger.filter(pl.col("symbol") == "AAA")
    assert set(strange.select("verdict", "reasons").rows()) == {("AMBER", "no_session")}


@pytest.mark.slow
def test_a_timeframe_is_audited_from_the_start_when_it_comes_and_gone_when_it_goes(platform):
    platform.put(MARKET.filter(timeframe="1h"), SPAN, NAMES, ["1h"])
    platform.audit(NEWEST)
    assert set(platform.ledger["timeframe"]) == {"1d"}
    daily, both = platform.desk.config, Desk(platform.desk.root, timeframes=TIMEFRAMES).config
    platform.desk.config = both
    platform.audit(NEWEST)
    assert platform.ledger["timeframe"].value_counts().rows_by_key("timeframe")["1h"] == [(180,)]
    platform.desk.config = daily
    platform.audit(NEWEST)
    assert set(platform.ledger["timeframe"]) == {"1d"}


@pytest.mark.parametrize("table", ["candles", "splits"])
def test_a_history_that_was_cleaned_away_means_everything_is_looked_at(platform, table):
    session = SPAN.sessions[25]
    platform.cell("AAA", "1d", session, spoilt)
    platform.event(SPLITS, "COIN")
    delta = DeltaTable(platform.writer.uri(table))
    delta.optimize.compact()
    delta.vacuum(0, dry_run=False, enforce_retention_duration=False)
    told = platform.audit(NEWEST)
    assert sum(told[f"cells_{verdict}"] for verdict in ("green", "amber", "red")) == 180
    assert "checksum_mismatch" in platform.row("AAA", session)["reasons"]


def test_an_audit_after_a_first_one_that_broke_off_looks_at_everything(tmp_path):
    platform = Platform(tmp_path / "platform", TIMEFRAMES)
    break_off(platform, SPAN)
    platform.audit(NEWEST)
    assert differing(platform, platform.afresh(tmp_path / "twin")) == []


@pytest.mark.slow
def test_an_audit_after_one_that_broke_off_looks_at_what_that_left_out(tmp_path):
    platform = Platform(tmp_path / "platform", TIMEFRAMES)
    platform.audit(days(0, 29))
    break_off(platform, days(30, -2))
    platform.audit(NEWEST)
    assert differing(platform, platform.afresh(tmp_path / "twin")) == []


def test_holes_that_an_audit_shows_are_queued_although_it_broke_off(tmp_path):
    platform = Platform(tmp_path / "platform")
    platform.cell("AAA", "1d", SPAN.sessions[5], spoilt)
    break_off(platform, SPAN)
    assert platform.desk.tools().operations.queued()["reason"].to_list() == ["checksum_mismatch"]


def test_an_audit_waits_for_another_that_is_under_way(platform):
    operations, said = platform.desk.tools().operations, []
    assert operations.try_lease("audit", "another", 3600)
    tools = platform.desk.tools(sleep=lambda seconds: operations.release(["audit"], "another"))
    for batch in AuditRun(tools, NEWEST, said.append, describe=dict):
        store_batch(platform.writer, batch, "audit")
    assert said[0] == "another audit is under way; waiting for it"
    assert operations.try_lease("audit", "another", 3600)
