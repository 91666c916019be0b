"""From vendors' answers to rows of the reference tables. Nothing is corrected here."""

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from turbomode_assets.config.vendors import FetchConfig
from turbomode_assets.contracts.errors import VendorError
from turbomode_assets.contracts.tables import (
    CANDLES,
    DIVIDENDS,
    FUNDAMENTALS,
    SECTOR_MAPPINGS,
    SPLITS,
    SYMBOL_METADATA,
)
from turbomode_assets.sessions import (
    FIRST_SESSION,
    SessionSpan,
    last_closed_session,
    offset_session,
    session_close,
    session_opens,
    sessions_of,
)
from turbomode_assets.vendors.asking import ask, unanswered
from turbomode_assets.vendors.protocol import (
    CorporateActions,
    Fundamentals,
    NoData,
    Request,
    Vendor,
    VendorFailure,
)

logger = logging.getLogger(__name__)

GICS = "GICS"
UNIVERSE = "universe"
"""Who says so of what stands in the universe file."""


@dataclass(frozen=True)
class ReferenceAnswer:
    """What all symbols' answers come to: tables, who answered, and the error of those who did not.

    The rows are to be stored even where there is an error: it speaks of other symbols.
    """

    tables: tuple[pl.DataFrame, ...]
    symbols: list[str]
    error: VendorError | None


@dataclass(frozen=True)
class Asking:
    """Whom reference data is asked from, and how patiently."""

    vendors: Sequence[Vendor]
    fetch: FetchConfig
    sleep: Callable[[float], None]


def fetch_universe(
    vendors: Sequence[Vendor], known_at: dt.datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `symbol_metadata` and `sector_mappings`.

    Metadata and GICS sectors come from the first vendor that can say; sectors in vendors' own
    vocabularies from all that do. Only what was known at `known_at` (an aware datetime): a symbol
    listed later is left out, and a delisting whose last session had not closed is not told. A row
    with a delisting is known at the close of the last session, any other at `known_at`. A sector
    holds from the symbol's first session, or from the first session of all where that is unknown.

    Raises:
        VendorError: every vendor failed, or the universe is empty.
    """
    failures: list[tuple[str, VendorFailure]] = []
    metadata: list[pl.DataFrame] = []
    mappings: list[pl.DataFrame] = []
    for vendor in vendors:
        answer = vendor.fetch_metadata()
        if isinstance(answer, VendorFailure):
            failures.append((vendor.name, answer))
            continue
        known = _as_known(answer.frame, known_at).with_columns(vendor=pl.lit(vendor.name))
        if known.is_empty():
            raise VendorError(
                f"none of {answer.frame.height} symbols was listed by {known_at:%Y-%m-%d}",
                where=f"vendor {vendor.name}, metadata",
                fix="give it symbols, or correct their first sessions",
            )
        if not metadata:
            # A vendor with sectors of its own takes those of GICS from the universe file.
            source = vendor.name if answer.vocabulary is None else UNIVERSE
            gics = known.with_columns(vendor=pl.lit(source))
            mappings.append(_sector_rows(gics, "sector", GICS, known_at))
        if answer.vocabulary is not None:
            mappings.append(_sector_rows(known, "vendor_sector", answer.vocabulary, known_at))
        metadata.append(known.select(SYMBOL_METADATA.column_names).sort(SYMBOL_METADATA.sort_by))
    if not metadata:
        raise unanswered(failures, "metadata")
    _tell("metadata", failures)
    return metadata[0], pl.concat(mappings).sort(SECTOR_MAPPINGS.sort_by)


def fetch_corporate_actions(
    asking: Asking, instruments: pl.DataFrame, span: SessionSpan
) -> ReferenceAnswer:
    """Rows of `splits` and of `dividends` with an ex-date inside the span.

    An event belongs to the session of its ex-date (the next one where that day has none) and was
    known to the market when that session opened.
    """
    splits, dividends = [SPLITS.empty()], [DIVIDENDS.empty()]

    def take(vendor: str, answer: CorporateActions, request: Request) -> None:
        for rows, events, table in (
            (splits, answer.splits, SPLITS),
            (dividends, answer.dividends, DIVIDENDS),
        ):
            if events.height:
                rows.append(_event_rows(events, vendor, request).select(table.column_names))

    symbols, error = _ask_all(
        asking, instruments, span, lambda v, r: v.fetch_corporate_actions(r), take, "events"
    )
    tables = pl.concat(splits).sort(SPLITS.sort_by), pl.concat(dividends).sort(DIVIDENDS.sort_by)
    return ReferenceAnswer(tables, symbols, error)


def fetch_fundamentals(
    asking: Asking, instruments: pl.DataFrame, known_at: dt.datetime
) -> ReferenceAnswer:
    """Rows of `fundamentals`: what vendors say now, under the first session that closes after.

    A vendor gives no date with these values, so they were known when they were fetched. What a
    vendor does not know has no row.
    """
    session = offset_session(last_closed_session(known_at), 1)
    span = SessionSpan(session, session)
    found = [FUNDAMENTALS.empty()]

    def take(vendor: str, answer: Fundamentals, request: Request) -> None:
        rows = answer.frame.with_columns(
            symbol=pl.lit(request.symbol),
            session=pl.lit(session),
            knowledge_ts=pl.lit(known_at).cast(CANDLES.schema["ts"]),
            vendor=pl.lit(vendor),
        )
        found.append(rows.select(FUNDAMENTALS.column_names))

    symbols, error = _ask_all(
        asking, instruments, span, lambda v, r: v.fetch_fundamentals(r), take, "fundamentals"
    )
    return ReferenceAnswer((pl.concat(found).sort(FUNDAMENTALS.sort_by),), symbols, error)


def _ask_all(
    asking: Asking,
    instruments: pl.DataFrame,
    span: SessionSpan,
    question: Callable[[Vendor, Request], object],
    take: Callable[..., None],
    what: str,
) -> tuple[list[str], VendorError | None]:
    """Ask for every instrument, take the data, and tell which symbols were answered."""
    symbols, failures = [], []
    for symbol, calendar in instruments.select("symbol", "calendar").iter_rows():
        request = Request(symbol, calendar, span)
        asked = ask(asking.vendors, request, question, asking.fetch, asking.sleep)
        answer = asked.answer
        if isinstance(answer, VendorFailure):
            failures.append((symbol, answer))
            continue
        _tell(f"{what} of {symbol}", asked.failures)
        symbols.append(symbol)
        if not isinstance(answer, NoData):
            take(asked.vendor, answer, request)
    error = unanswered(failures, f"{what}, {span}") if failures else None
    return symbols, error


def _tell(about: str, failures: Sequence[tuple[str, VendorFailure]]) -> None:
    """Say who failed where another vendor answered: the rows name only the one that did."""
    for vendor, failure in failures:
        logger.warning("%s: %s failed: %s: %s", about, vendor, failure.kind, failure.message)


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


def _sector_rows(
    known: pl.DataFrame, column: str, vocabulary: str, known_at: dt.datetime
) -> pl.DataFrame:
    return (
        known.filter(pl.col(column).is_not_null())
        .with_columns(
            sector=pl.col(column),
            vocabulary=pl.lit(vocabulary),
            valid_from=pl.col("first_session").fill_null(FIRST_SESSION),
            valid_to=pl.lit(None, dtype=pl.Date),
            knowledge_ts=pl.lit(known_at).cast(CANDLES.schema["ts"]),
        )
        .select(SECTOR_MAPPINGS.column_names)
    )


def _event_rows(events: pl.DataFrame, vendor: str, request: Request) -> pl.DataFrame:
    session = sessions_of(events["ex_date"]).alias("session")
    opens = session_opens(session).alias("knowledge_ts")
    return events.with_columns(
        session,
        opens,
        symbol=pl.lit(request.symbol),
        vendor=pl.lit(vendor),
    )
