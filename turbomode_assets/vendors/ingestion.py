"""From vendors' answers to rows of the master's tables. Nothing is corrected here.

Vendors are asked in order of precedence. Data or a fact (`NoData`) ends the asking; only a failure
passes on to the next. When all fail for a symbol the whole fetch fails: a failure is never written
down as "no data".
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from turbomode_assets.config.vendors import VendorsConfig
from turbomode_assets.contracts.errors import VendorError, first_few
from turbomode_assets.contracts.tables import (
    CANDLES,
    DIVIDENDS,
    SECTOR_MAPPINGS,
    SPLITS,
    SYMBOL_METADATA,
)
from turbomode_assets.sessions import (
    FIRST_SESSION,
    NEW_YORK,
    SessionSpan,
    session_close,
    session_opens,
    sessions_of,
)
from turbomode_assets.vendors.archive import ArchiveVendor
from turbomode_assets.vendors.protocol import (
    Candles,
    CorporateActions,
    NoData,
    Request,
    Vendor,
    VendorFailure,
)
from turbomode_assets.vendors.simulated import SimulatedVendor
from turbomode_assets.vendors.timestamps import ROUND_THE_CLOCK

Progress = Callable[[int, int], None]
"""Called after each symbol with how many are done and how many there are."""


def build_vendors(config: VendorsConfig, data_root: Path) -> list[Vendor]:
    """Vendors in order of precedence; a relative archive folder hangs below the data root."""
    makers: dict[str, Callable[[], Vendor]] = {
        "simulated": lambda: SimulatedVendor(config.simulated),
        "archive": lambda: ArchiveVendor(config.archive, data_root),
    }
    return [makers[name]() for name in config.precedence]


def fetch_universe(
    vendors: Sequence[Vendor], known_at: dt.datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `symbol_metadata` and `sector_mappings`, from the first vendor that can say.

    Only what was known at `known_at` (an aware datetime): a symbol listed later is left out, and a
    delisting whose last session had not closed is not told. A row with a delisting is known at the
    close of the last session, any other at `known_at`. A sector holds from the symbol's first
    session, or from the first session of all where that is unknown.

    Raises:
        VendorError: every vendor failed, or the universe is empty.
    """
    failures = []
    for vendor in vendors:
        answer = vendor.fetch_metadata()
        if isinstance(answer, VendorFailure):
            failures.append(f"{vendor.name}: {answer.message}")
            continue
        known = _as_known(answer.frame, known_at).with_columns(vendor=pl.lit(vendor.name))
        if known.is_empty():
            raise VendorError(
                f"none of {answer.frame.height} symbols was listed by {known_at:%Y-%m-%d}",
                where=f"vendor {vendor.name}, metadata",
                fix="give it symbols, or correct their first sessions",
            )
        mappings = known.filter(pl.col("sector").is_not_null()).with_columns(
            valid_from=pl.col("first_session").fill_null(FIRST_SESSION),
            valid_to=pl.lit(None, dtype=pl.Date),
            knowledge_ts=pl.lit(known_at).cast(CANDLES.schema["ts"]),
        )
        return (
            known.select(SYMBOL_METADATA.column_names).sort(SYMBOL_METADATA.sort_by),
            mappings.select(SECTOR_MAPPINGS.column_names).sort(SECTOR_MAPPINGS.sort_by),
        )
    raise _all_failed(failures, "metadata")


def fetch_candles(
    vendors: Sequence[Vendor],
    instruments: pl.DataFrame,
    span: SessionSpan,
    *,
    ingested_at: dt.datetime,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Rows of `candles` for the instruments (rows of `symbol_metadata`) over a span.

    A candle belongs to the session of its start's date (New York for XNYS, UTC for 24/7), or to
    the next session where that day has none. `payload_sha256` digests the row as delivered.

    Raises:
        VendorError: every vendor failed for a symbol, or no symbol has a candle in the span.
    """
    frames, reasons = [], []
    for request in _requests(instruments, span, progress):
        vendor, answer = _first_answer(vendors, request, lambda v, r: v.fetch_candles(r))
        if isinstance(answer, VendorFailure):
            reasons.append((request.symbol, answer))
        elif isinstance(answer, Candles):
            frames.append(_candle_rows(vendor, answer, request))
    _refuse_failures(reasons, f"candles, {span}")
    delivered = pl.concat(frames) if frames else CANDLES.empty()
    if delivered.is_empty():
        raise VendorError(
            f"no candle of any of {instruments.height} symbols",
            where=f"candles, {span}; vendors {', '.join(vendor.name for vendor in vendors)}",
            fix="ask for sessions that the vendors cover; nothing was written",
        )
    arrived = pl.lit(ingested_at).cast(CANDLES.schema["ingested_at"])
    return (
        delivered.with_columns(payload_sha256=_digests(delivered), ingested_at=arrived)
        .select(CANDLES.column_names)
        .sort(CANDLES.sort_by)
    )


def fetch_corporate_actions(
    vendors: Sequence[Vendor],
    instruments: pl.DataFrame,
    span: SessionSpan,
    *,
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `splits` and `dividends` with an ex-date inside the span.

    An event belongs to the session of its ex-date (the next one where that day has none) and was
    known to the market when that session opened.

    Raises:
        VendorError: every vendor failed for a symbol.
    """
    splits, dividends, reasons = [SPLITS.empty()], [DIVIDENDS.empty()], []
    for request in _requests(instruments, span, progress):
        vendor, answer = _first_answer(vendors, request, lambda v, r: v.fetch_corporate_actions(r))
        if isinstance(answer, VendorFailure):
            reasons.append((request.symbol, answer))
        elif isinstance(answer, CorporateActions):
            for rows, events, table in (
                (splits, answer.splits, SPLITS),
                (dividends, answer.dividends, DIVIDENDS),
            ):
                if events.height:
                    rows.append(_event_rows(events, vendor, request).select(table.column_names))
    _refuse_failures(reasons, f"corporate actions, {span}")
    return pl.concat(splits).sort(SPLITS.sort_by), pl.concat(dividends).sort(DIVIDENDS.sort_by)


def _as_known(metadata: pl.DataFrame, known_at: dt.datetime) -> pl.DataFrame:
    """Metadata without what happened after `known_at`, and when each row became known."""
    gone = metadata["last_session"].drop_nulls().unique()
    closes = pl.DataFrame(
        {"last_session": gone, "closed": [session_close(session) for session in gone]},
        schema={"last_session": pl.Date(), "closed": CANDLES.schema["ts"]},
    )
    now = pl.lit(known_at).cast(CANDLES.schema["ts"])
    told = pl.col("closed") <= now
    today = known_at.astimezone(dt.UTC).date()
    return (
        metadata.join(closes, on="last_session", how="left", validate="m:1")
        .filter(pl.col("first_session").is_null() | (pl.col("first_session") <= today))
        .with_columns(
            last_session=pl.when(told).then(pl.col("last_session")),
            knowledge_ts=pl.when(told).then(pl.col("closed")).otherwise(now),
        )
    )


def _requests(
    instruments: pl.DataFrame, span: SessionSpan, progress: Progress | None
) -> Iterator[Request]:
    """One request for each instrument; `progress` hears of each when the next is asked for."""
    for done, (symbol, calendar) in enumerate(instruments.select("symbol", "calendar").iter_rows()):
        yield Request(symbol, calendar, span)
        if progress is not None:
            progress(done + 1, instruments.height)


def _first_answer(
    vendors: Sequence[Vendor],
    request: Request,
    ask: Callable[[Vendor, Request], Candles | CorporateActions | NoData | VendorFailure],
) -> tuple[str, Candles | CorporateActions | NoData | VendorFailure]:
    """Name and answer of the first vendor that does not fail; else every failure as one."""
    messages = []
    for vendor in vendors:
        answer = ask(vendor, request)
        if not isinstance(answer, VendorFailure):
            return vendor.name, answer
        messages.append(f"{vendor.name}: {answer.kind}: {answer.message}")
    return "", VendorFailure("all_failed", "; ".join(messages), False)


def _refuse_failures(reasons: list[tuple[str, VendorFailure]], where: str) -> None:
    if reasons:
        raise _all_failed([f"{symbol} ({failure.message})" for symbol, failure in reasons], where)


def _all_failed(failures: Sequence[str], where: str) -> VendorError:
    return VendorError(
        f"no vendor could answer: {first_few(failures) or 'no vendor is configured'}",
        where=where,
        fix="mend the cause and run again, or take the symbol out; nothing was written",
    )


def _candle_rows(vendor: str, delivered: Candles, request: Request) -> pl.DataFrame:
    zone = "UTC" if request.calendar == ROUND_THE_CLOCK else NEW_YORK
    day = delivered.frame["ts"].dt.convert_time_zone(zone).dt.date()
    rows = delivered.frame.with_columns(
        sessions_of(day).alias("session"),
        symbol=pl.lit(request.symbol),
        timeframe=pl.lit(request.timeframe),
        vendor=pl.lit(vendor),
        adjustment=pl.lit(delivered.adjustment),
        adjusted_as_of=pl.lit(delivered.adjusted_as_of, dtype=pl.Date),
        ingested_at=pl.lit(None, dtype=CANDLES.schema["ingested_at"]),
        payload_sha256=pl.lit(None, dtype=pl.String),
    )
    # A vendor may round a request up to whole days; what lies outside was not asked for.
    inside = pl.col("session").is_between(request.span.first, request.span.last)
    return rows.filter(inside).select(CANDLES.column_names)


def _event_rows(events: pl.DataFrame, vendor: str, request: Request) -> pl.DataFrame:
    session = sessions_of(events["ex_date"]).alias("session")
    opens = session_opens(session).alias("knowledge_ts")
    return events.with_columns(
        session,
        opens,
        symbol=pl.lit(request.symbol),
        vendor=pl.lit(vendor),
    )


_PAYLOAD = (
    "vendor",
    "symbol",
    "timeframe",
    "ts",
    *("open", "high", "low", "close", "volume", "vwap", "trades"),
    *("adjustment", "adjusted_as_of"),
)


def _digests(delivered: pl.DataFrame) -> pl.Series:
    """SHA-256 of each row's JSON: shortest exact floats, null where the vendor gave none."""
    payloads = delivered.select(pl.struct(_PAYLOAD).struct.json_encode()).to_series()
    return pl.Series([hashlib.sha256(payload.encode()).hexdigest() for payload in payloads])
