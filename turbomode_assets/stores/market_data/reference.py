"""What symbols are and what happened to them: the master's reference tables, as of a day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Self

import polars as pl

from turbomode_assets.contracts.fundamentals import METRICS
from turbomode_assets.contracts.ordering import sort_rows
from turbomode_assets.contracts.tables import QUALITY_KINDS, SECTOR_VOCABULARIES
from turbomode_assets.contracts.timeframes import TIMEFRAMES
from turbomode_assets.stores.market_data.pinned_tables import PinnedTables
from turbomode_assets.stores.market_data.questions import (
    day_condition,
    earliest,
    known_by,
    known_name,
    known_names,
    require_days,
)

Symbols = str | Sequence[str]


class ReferenceData:
    """Symbols, sectors, corporate actions, fundamentals and the data quality log."""

    def __init__(self, tables: PinnedTables) -> None:
        self._tables = tables

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store; later calls are refused."""
        self._tables.close()

    def version(self, table: str) -> int:
        """Version of a table that reads are answered from."""
        return self._tables.version(table)

    def get_fundamentals(
        self,
        symbols: Symbols,
        *,
        start: dt.date | None = None,
        end: dt.date | None = None,
        metrics: str | Sequence[str] | None = None,
        as_of: dt.date | None = None,
    ) -> pl.DataFrame:
        """Metrics, one row for each, under the first session they could serve.

        Units and meanings are in `contracts.fundamentals.METRICS`.
        """
        require_days(start=start, end=end, as_of=as_of)
        names = self._known_symbols(symbols)
        wanted = list(METRICS) if metrics is None else known_names(metrics, METRICS, "metric")
        condition = (
            pl.col("symbol").is_in(names)
            & pl.col("metric").is_in(wanted)
            & day_condition("session", start, earliest(end, as_of))
            & known_by(as_of)
        )
        contract = self._tables.reader.contract("fundamentals")
        rows = self._tables.scan("fundamentals").filter(condition).select(contract.column_names)
        return sort_rows(rows.collect(), contract.sort_by)

    def get_latest_fundamentals(
        self,
        symbols: Symbols,
        *,
        metrics: str | Sequence[str] | None = None,
        as_of: dt.date | None = None,
    ) -> pl.DataFrame:
        """The last row of each symbol and metric, as `get_fundamentals` gives it."""
        rows = self.get_fundamentals(symbols, metrics=metrics, as_of=as_of)
        return rows.group_by("symbol", "metric").tail(1).sort("symbol", "metric")

    def get_symbol_metadata(
        self, symbols: Symbols | None = None, *, as_of: dt.date | None = None
    ) -> pl.DataFrame:
        """What each symbol is: name, class, calendar, role, first and last session.

        With `as_of`, symbols listed later are left out, and a delisting that was not known by then
        is not told.
        """
        require_days(as_of=as_of)
        rows = self._tables.frame("symbol_metadata")
        if symbols is not None:
            rows = rows.filter(pl.col("symbol").is_in(self._known_symbols(symbols)))
        if as_of is None:
            return rows
        told = (pl.col("last_session") <= as_of) & known_by(as_of)
        return rows.filter(
            pl.col("first_session").is_null() | (pl.col("first_session") <= as_of)
        ).with_columns(last_session=pl.when(told).then(pl.col("last_session")))

    def get_all_active_symbols(self, as_of: dt.date | None = None) -> list[str]:
        """Symbols listed on a day (at present by default), benchmarks among them.

        A symbol trades on its last session and is gone on the next day.
        """
        rows = self.get_symbol_metadata(as_of=as_of)
        gone = pl.col("last_session").is_not_null()
        if as_of is not None:
            gone &= pl.col("last_session") < as_of
        return rows.filter(~gone)["symbol"].to_list()

    def get_symbols_by_sector(
        self, sector: str, vocabulary: str = "GICS", as_of: dt.date | None = None
    ) -> list[str]:
        """Symbols that were in a sector on a day (at present by default), still listed or not."""
        require_days(as_of=as_of)
        mappings = self._mappings(vocabulary)
        sector = known_name(sector, mappings["sector"].unique(), f"{vocabulary} sector")
        rows = mappings.filter(_in_force(as_of) & (pl.col("sector") == sector))
        return rows["symbol"].unique().sort().to_list()

    def get_sector_mapping(
        self, symbols: Symbols, as_of: dt.date | None = None, vocabulary: str = "GICS"
    ) -> pl.DataFrame:
        """The sector each symbol was in on a day (at present by default), since when, until when.

        A symbol without a sector on that day has no row.
        """
        require_days(as_of=as_of)
        names = self._known_symbols(symbols)
        return self._mappings(vocabulary).filter(_in_force(as_of) & pl.col("symbol").is_in(names))

    def get_splits(
        self,
        symbols: Symbols | None = None,
        *,
        start: dt.date | None = None,
        end: dt.date | None = None,
        as_of: dt.date | None = None,
    ) -> pl.DataFrame:
        """Splits by ex-date; the ratio is new shares per old share."""
        return self._events("splits", symbols, start, end, as_of)

    def get_dividends(
        self,
        symbols: Symbols | None = None,
        *,
        start: dt.date | None = None,
        end: dt.date | None = None,
        as_of: dt.date | None = None,
    ) -> pl.DataFrame:
        """Cash dividends by ex-date, USD per share of the day before, with the close before."""
        return self._events("dividends", symbols, start, end, as_of)

    def get_data_quality(
        self,
        symbols: Symbols | None = None,
        *,
        timeframe: str | None = None,
        kinds: str | Sequence[str] | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        as_of: dt.date | None = None,
    ) -> pl.DataFrame:
        """What ingestion noticed about sessions in the range: no data, failovers, revisions."""
        require_days(start=start, end=end, as_of=as_of)
        condition = known_by(as_of) & day_condition("session", start, None)
        condition &= day_condition("first_session", None, earliest(end, as_of))
        if symbols is not None:
            condition &= pl.col("symbol").is_in(self._known_symbols(symbols))
        if timeframe is not None:
            condition &= pl.col("timeframe") == known_name(timeframe, TIMEFRAMES, "timeframe")
        if kinds is not None:
            condition &= pl.col("kind").is_in(known_names(kinds, QUALITY_KINDS, "kind"))
        contract = self._tables.reader.contract("data_quality_log")
        rows = self._tables.scan(contract.name).filter(condition).select(contract.column_names)
        return sort_rows(rows.collect(), contract.sort_by)

    def _known_symbols(self, symbols: Symbols) -> list[str]:
        return known_names(symbols, self._tables.frame("symbol_metadata")["symbol"], "symbol")

    def _mappings(self, vocabulary: str) -> pl.DataFrame:
        vocabulary = known_name(vocabulary, SECTOR_VOCABULARIES, "vocabulary")
        return self._tables.frame("sector_mappings").filter(pl.col("vocabulary") == vocabulary)

    def _events(
        self,
        table: str,
        symbols: Symbols | None,
        start: dt.date | None,
        end: dt.date | None,
        as_of: dt.date | None,
    ) -> pl.DataFrame:
        require_days(start=start, end=end, as_of=as_of)
        rows = self._tables.frame(table).filter(
            known_by(as_of) & day_condition("ex_date", start, earliest(end, as_of))
        )
        if symbols is None:
            return rows
        return rows.filter(pl.col("symbol").is_in(self._known_symbols(symbols)))


def _in_force(as_of: dt.date | None) -> pl.Expr:
    if as_of is None:
        return pl.col("valid_to").is_null()
    ended = pl.col("valid_to").is_not_null() & (pl.col("valid_to") < as_of)
    return (pl.col("valid_from") <= as_of) & ~ended
