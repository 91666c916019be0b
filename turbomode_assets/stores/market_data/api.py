"""Market data for notebooks and research: read-only, as of a day, at a version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from turbomode_assets.contracts.columns import YEAR
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.ordering import sort_rows
from turbomode_assets.contracts.tables import CANDLES
from turbomode_assets.contracts.timeframes import TIMEFRAMES
from turbomode_assets.stores.market_data.bars import (
    adjusted_candles,
    availability,
    expected_days,
    with_last_day,
)
from turbomode_assets.stores.market_data.pinned_tables import PinnedTables
from turbomode_assets.stores.market_data.questions import (
    WHERE,
    day_condition,
    earliest,
    known_by,
    known_name,
    require_days,
)
from turbomode_assets.stores.market_data.reference import ReferenceData, Symbols
from turbomode_assets.stores.master import MASTER

_CANDLE_COLUMNS = [name for name in CANDLES.column_names if name != "payload_sha256"]
_RECENT = dt.timedelta(days=40)
"""How far before the last session a traded symbol's latest candle is first looked for."""


class MarketData(ReferenceData):
    """Candles, corporate actions, fundamentals, symbols and sectors of the master store.

        with MarketData("/absolute/path/to/data") as market:
            market.get_candles(["AAPL", "MSFT"], start=dt.date(2015, 1, 2), adjusted=True)

    `root` is the data root, or the master store itself. Reads follow what ingestion writes; with
    `versions` ({table: version}) these tables are read as they were. Days are dates, ranges
    include both ends, prices are USD, volumes are shares (24/7: units), times are UTC. `as_of`
    answers as a reader on the evening of that day would have been answered.

    Raises from every method:
        InputError: a symbol, timeframe, sector or other name that does not exist, with the nearest
            that do; a range that ends before it begins; nothing was read.
        MissingDataError: a table was never written.
    """

    def __init__(self, root: Path | str, versions: Mapping[str, int] | None = None) -> None:
        self._root = _master_root(str(root))
        super().__init__(PinnedTables(self._root, versions))
        self._last_sessions: dict[tuple[int, str], dt.date | None] = {}

    def at_version(self, versions: Mapping[str, int] | None = None) -> MarketData:
        """The market at these versions; tables not named stay as they are now.

        Without `versions` it is a snapshot: nothing written later changes its answers.
        """
        return MarketData(self._root, {**self._tables.versions(), **(versions or {})})

    def get_candles(
        self,
        symbols: Symbols,
        timeframe: str = "1d",
        *,
        start: dt.date | None = None,
        end: dt.date | None = None,
        days_back: int | None = None,
        as_of: dt.date | None = None,
        adjusted: bool = False,
    ) -> pl.DataFrame:
        """Candles of the sessions between two days, sorted by symbol and ts.

        As stored (`adjustment` says what the vendor had done to them), or, if `adjusted`,
        back-adjusted for the splits and dividends known by `as_of` (the table's last session by
        default): prices and vwap in the money, volume in the shares of that day. `days_back` gives
        the last so many calendar days up to `end`, else `as_of`, else the last candle found.

        Measured by `turbomode_assets_tests/benchmarks/market_data.py` on 2 cores that other work
        shared (load 8), 1,030 symbols x 5,040 sessions, from a warm page cache; best and median:
        one symbol, all sessions 24 and 25 ms (adjusted 36 and 38), the last year 9 and 10 ms.
        """
        timeframe = known_name(timeframe, TIMEFRAMES, "timeframe")
        require_days(start=start, end=end, as_of=as_of)
        if days_back is not None and (start is not None or days_back < 1):
            raise InputError(
                f"days_back={days_back} with start={start}",
                where=WHERE,
                fix="give a start, or a number of days from 1 on",
            )
        names = self._known_symbols(symbols)
        last = earliest(end, as_of)
        if days_back is not None and last is not None:
            start = last - dt.timedelta(days=days_back - 1)
        candles = self._candles(names, timeframe, start, last)
        if days_back is not None and last is None and candles.height:
            newest: dt.date = candles.select(pl.col("session").max()).item()
            first = newest - dt.timedelta(days=days_back - 1)
            candles = candles.filter(pl.col("session") >= first)
        return self._adjusted(candles, timeframe, as_of) if adjusted else candles

    def get_latest_candle(
        self,
        symbols: Symbols,
        timeframe: str = "1d",
        *,
        as_of: dt.date | None = None,
        adjusted: bool = False,
    ) -> pl.DataFrame:
        """The last candle of each symbol that has one, as `get_candles` gives it."""
        timeframe = known_name(timeframe, TIMEFRAMES, "timeframe")
        require_days(as_of=as_of)
        names = self._known_symbols(symbols)
        last = earliest(as_of, self._last_session(timeframe))
        recent = None if last is None else last - _RECENT
        candles = self._candles(names, timeframe, recent, as_of)
        quiet = sorted(set(names) - set(candles["symbol"]))
        if quiet:
            candles = pl.concat([candles, self._candles(quiet, timeframe, None, as_of)])
        newest = candles.group_by("symbol").tail(1).sort("symbol")
        return self._adjusted(newest, timeframe, as_of) if adjusted else newest

    def get_date_range(self, symbols: Symbols, timeframe: str = "1d") -> pl.DataFrame:
        """First and last session with candles of each symbol, and how many candles there are.

        A symbol without any has null sessions and 0 candles.
        """
        timeframe = known_name(timeframe, TIMEFRAMES, "timeframe")
        names = self._known_symbols(symbols)
        found = (
            self._tables.scan("candles")
            .filter(pl.col("timeframe") == timeframe, pl.col("symbol").is_in(names))
            .group_by("symbol")
            .agg(
                first_session=pl.col("session").min(),
                last_session=pl.col("session").max(),
                candles=pl.len().cast(pl.Int64),
            )
            .collect()
        )
        asked = pl.DataFrame({"symbol": names, "timeframe": [timeframe] * len(names)})
        return asked.join(
            found, on="symbol", how="left", validate="1:1", maintain_order="left"
        ).with_columns(pl.col("candles").fill_null(0))

    def check_data_availability(
        self, symbols: Symbols, timeframe: str, start: dt.date, end: dt.date
    ) -> pl.DataFrame:
        """Days that should have candles against those that have: expected, present, missing.

        A day is a session of an XNYS symbol and a UTC day around the clock, from its first session
        to its last, where they are known. An intraday day is present with its first candle. Weeks
        and months are named by their last day, and expected when it is in the range.
        """
        timeframe = known_name(timeframe, TIMEFRAMES, "timeframe")
        require_days(start=start, end=end)
        names = self._known_symbols(symbols)
        instruments = self.get_symbol_metadata(names)
        rows = self._scan(names, timeframe, start, None)
        # A weekend's day belongs to Monday's session: ask some sessions beyond the end.
        beyond = end + dt.timedelta(days=7)
        stored = (
            rows.filter(day_condition("session", None, beyond))
            .select("symbol", "timeframe", "ts", "session")
            .collect()
        )
        expected = expected_days(instruments, timeframe, start, end)
        return availability(with_last_day(stored, instruments), expected, names)

    def sql(
        self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pl.DataFrame:
        """Answer a DuckDB query over the tables of the master, each by its name.

        `params` fill the query's `?` or `$name`; they are values, never text of the query. Nothing
        can write a file, read one, or attach a database.

        Raises:
            InputError: DuckDB refuses the query, or it has no result.
        """
        import duckdb  # here for the reason that stores/memory.py gives

        given = dict(params) if isinstance(params, Mapping) else list(params or ())
        try:
            answer = self._tables.connection().sql(query, params=given or None)
            rows: pl.DataFrame | None = None if answer is None else answer.pl()
        except duckdb.Error as error:
            raise InputError(
                f"DuckDB refuses the query: {error}",
                where=WHERE,
                fix=f"select from {', '.join(self._tables.versions())}",
            ) from error
        if rows is None:
            raise InputError(
                "the statement has no result", where=WHERE, fix="write a query, such as SELECT"
            )
        return rows

    def _scan(
        self, names: list[str], timeframe: str, first: dt.date | None, last: dt.date | None
    ) -> pl.LazyFrame:
        # Comparing with one value prunes more than looking it up in a list of one.
        symbol = pl.col("symbol")
        wanted = symbol == names[0] if len(names) == 1 else symbol.is_in(names)
        years = day_condition(YEAR, None, None)
        if first is not None:
            years &= pl.col(YEAR) >= first.year
        if last is not None:
            years &= pl.col(YEAR) <= last.year
        return self._tables.scan("candles").filter(
            (pl.col("timeframe") == timeframe) & years & wanted,
            day_condition("session", first, last),
        )

    def _candles(
        self, names: list[str], timeframe: str, first: dt.date | None, last: dt.date | None
    ) -> pl.DataFrame:
        rows = self._scan(names, timeframe, first, last).select(_CANDLE_COLUMNS).collect()
        return sort_rows(rows, CANDLES.sort_by)

    def _adjusted(
        self, candles: pl.DataFrame, timeframe: str, as_of: dt.date | None
    ) -> pl.DataFrame:
        on = as_of or self._last_session(timeframe)
        if on is None:
            return candles
        symbols = pl.col("symbol").is_in(candles["symbol"].unique().implode())
        splits, dividends = (
            self._tables.frame(name).filter(symbols) for name in ("splits", "dividends")
        )
        known = known_by(as_of) & (pl.col("session") <= on)
        metadata = self._tables.frame("symbol_metadata")
        return adjusted_candles(candles, metadata, splits, dividends, known=known, as_of=on)

    def _last_session(self, timeframe: str) -> dt.date | None:
        """Last session with a candle of any symbol."""
        key = (self.version("candles"), timeframe)
        if key not in self._last_sessions:
            of_timeframe = self._tables.scan("candles").filter(pl.col("timeframe") == timeframe)
            year = of_timeframe.select(pl.col(YEAR).max()).collect().item()
            in_year = of_timeframe.filter(pl.col(YEAR).eq_missing(year))
            self._last_sessions[key] = in_year.select(pl.col("session").max()).collect().item()
        return self._last_sessions[key]


def _master_root(root: str) -> str:
    """The master store below a data root; a folder of that name is taken for the store itself."""
    root = root.rstrip("/")
    is_store = root.rpartition("/")[2] == MASTER and not Path(root, MASTER).is_dir()
    return root if is_store else f"{root}/{MASTER}"
