"""The `archive` vendor: Parquet or CSV files of a documented form (`files.py`)."""

import datetime as dt
import functools
from pathlib import Path

import polars as pl

from turbomode_assets.config.vendors import ArchiveConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.contracts.table import describe_rows
from turbomode_assets.contracts.tables import SYMBOL_METADATA
from turbomode_assets.sessions import is_session, sessions_of
from turbomode_assets.vendors.archive.files import (
    CANDLES,
    DIVIDENDS,
    SPLITS,
    SYMBOLS,
    FileForm,
    find_files,
    read_files,
)
from turbomode_assets.vendors.protocol import (
    CANDLE_SCHEMA,
    DIVIDEND_SCHEMA,
    INSTRUMENT_SCHEMA,
    SPLIT_SCHEMA,
    Candles,
    CorporateActions,
    Fundamentals,
    Instruments,
    NoData,
    Request,
    VendorFailure,
)
from turbomode_assets.vendors.timestamps import XNYS, daily_bar_starts

_ALLOWED = {
    column.name: column.allowed for column in SYMBOL_METADATA.columns if column.allowed is not None
}
_LISTING = ["symbol", "last_session"]


class ArchiveVendor:
    """Files on disk, whose prices carry the adjustment that the configuration declares.

    Without a symbols file every symbol of the candles is a tradeable XNYS stock without a sector.
    Dividend amounts are as paid, in the shares of their day. Where the file gives no
    `previous_close`, it is the close of the last candle before the ex-date, brought back to the
    shares of that time; a dividend before a symbol's first candle changes nothing and is left out.
    Prices that already contain dividends cannot give a previous close: dividends with an ex-date
    up to `adjusted_as_of` are then left out too, for they must never be applied again.

    Raises from every method:
        InputError: a file is absent, unreadable, or breaks its form.
    """

    name = "archive"

    def __init__(self, config: ArchiveConfig, data_root: Path) -> None:
        self.config = config
        # A relative folder hangs below the data root; joining keeps an absolute one as it is.
        self.folder = data_root / config.folder

    @property
    def notes(self) -> tuple[str, ...]:
        """What the adjustment of its prices means for its dividends."""
        if self.config.adjustment != "split_dividend" or self.config.dividends is None:
            return ()
        return (
            f"archive: prices contain dividends up to {self.config.adjusted_as_of}; "
            "dividends up to that day are not delivered",
        )

    def fetch_metadata(self) -> Instruments | VendorFailure:
        """Symbols of the symbols file, else of the candles."""
        if self.config.symbols is None:
            return Instruments(_plain_stocks(self._candles["symbol"].unique().sort()))
        path = self.folder / self.config.symbols
        frame = self._read(SYMBOLS, self.config.symbols)
        for column, allowed in _ALLOWED.items():
            strangers = frame.filter(~pl.col(column).is_in(allowed))
            if strangers.height:
                raise InputError(
                    f"{column} is none of {', '.join(allowed)}: "
                    f"{describe_rows(strangers, ['symbol', column])}",
                    where=f"{path}, column {column}",
                    fix=f"write one of {', '.join(allowed)}",
                )
        gone = frame.filter(pl.col("last_session").is_not_null())
        strays = gone.filter([not is_session(day) for day in gone["last_session"]])
        if strays.height:
            raise InputError(
                f"last_session is no XNYS session: {describe_rows(strays, _LISTING)}",
                where=f"{path}, column last_session",
                fix="name the last session with a candle; leave symbols gone before 1999 out",
            )
        return Instruments(
            frame.with_columns(vendor_sector=pl.lit(None, dtype=pl.String)).select(
                INSTRUMENT_SCHEMA.names()
            )
        )

    def fetch_candles(self, request: Request) -> Candles | NoData | VendorFailure:
        """One symbol's candles over a span.

        Raises:
            InputError: a row of an XNYS symbol in the span lies on a day without a session.
        """
        if request.timeframe != "1d":
            return VendorFailure("unsupported", "the archive holds daily candles only", False)
        rows = self._candles_of(request.symbol)
        if rows.is_empty():
            return VendorFailure(
                "unknown_symbol", f"no file in {self.folder} has candles of {request.symbol}", False
            )
        first_day, last_day = request.span.first_day, request.span.last
        covers_from, covers_to = self._covers
        if last_day < covers_from or first_day > covers_to:
            return VendorFailure(
                "out_of_range", f"the archive holds {covers_from} to {covers_to} only", False
            )
        wanted = rows.filter(pl.col("date").is_between(first_day, last_day))
        if request.calendar == XNYS:
            wanted = self._on_sessions(wanted)
        if wanted.is_empty():
            return NoData(_why_empty(rows["date"], first_day, last_day))
        starts = daily_bar_starts(wanted["date"], request.calendar).alias("ts")
        frame = wanted.with_columns(starts).select(CANDLE_SCHEMA.names())
        return Candles(frame, self.config.adjustment, self.config.adjusted_as_of)

    def candle_calls(self, request: Request) -> int:
        """None: it costs no vendor's budget."""
        return 0

    def fetch_corporate_actions(self, request: Request) -> CorporateActions | VendorFailure:
        """Splits and dividends of one symbol with an ex-date inside the span.

        Raises:
            InputError: a dividend is not below its previous close, or shares its day with a split
                and its file does not say the previous close.
        """
        inside = pl.col("ex_date").is_between(request.span.first_day, request.span.last)
        splits = self._splits_of(request.symbol)
        dividends = self._dividends_of(request.symbol, inside, splits)
        return CorporateActions(
            splits.filter(inside).select(SPLIT_SCHEMA.names()),
            dividends.select(DIVIDEND_SCHEMA.names()),
        )

    def fetch_fundamentals(self, request: Request) -> Fundamentals | NoData | VendorFailure:
        """Nothing: the archive's files hold none."""
        return NoData("the archive holds no fundamentals")

    def close(self) -> None:
        """Hold nothing that could be closed."""

    def _read(self, form: FileForm, pattern: str) -> pl.DataFrame:
        return read_files(find_files(self.folder, pattern, form.kind), form)

    @functools.cached_property
    def _candles(self) -> pl.DataFrame:
        return self._read(CANDLES, self.config.candles)

    @functools.cached_property
    def _covers(self) -> tuple[dt.date, dt.date]:
        """First and last day of any candle."""
        ends = self._candles.select(first=pl.col("date").min(), last=pl.col("date").max())
        first, last = ends.row(0)
        return first, last

    def _candles_of(self, symbol: str) -> pl.DataFrame:
        rows = self._candles
        # Sorted by symbol: the symbol's rows are one slice.
        begin = rows["symbol"].search_sorted(symbol, side="left")
        return rows.slice(begin, rows["symbol"].search_sorted(symbol, side="right") - begin)

    def _splits_of(self, symbol: str) -> pl.DataFrame:
        if self.config.splits is None:
            return SPLIT_SCHEMA.to_frame()
        return self._read(SPLITS, self.config.splits).filter(pl.col("symbol") == symbol)

    def _dividends_of(self, symbol: str, inside: pl.Expr, splits: pl.DataFrame) -> pl.DataFrame:
        if self.config.dividends is None:
            return DIVIDEND_SCHEMA.to_frame()
        wanted = (pl.col("symbol") == symbol) & inside
        if self.config.adjustment == "split_dividend":
            wanted &= pl.col("ex_date") > self.config.adjusted_as_of
        found = self._read(DIVIDENDS, self.config.dividends).filter(wanted)
        where = f"{self.folder / self.config.dividends}, symbol {symbol}"
        filled = self._with_previous_close(found, symbol, splits, where)
        eaten = filled.filter(pl.col("amount") >= pl.col("previous_close"))
        if eaten.height:
            shown = ["ex_date", "amount", "previous_close"]
            raise InputError(
                f"a dividend is not below the previous close: {describe_rows(eaten, shown)}",
                where=where,
                fix="correct amount or previous_close: both in the shares of the day before",
            )
        return filled

    def _with_previous_close(
        self, dividends: pl.DataFrame, symbol: str, splits: pl.DataFrame, where: str
    ) -> pl.DataFrame:
        asked = dividends.filter(pl.col("previous_close").is_null())
        if asked.is_empty():
            return dividends
        ambiguous = asked.join(splits.select("ex_date"), on="ex_date", how="semi")
        if ambiguous.height:
            raise InputError(
                f"dividend and split on one day: {describe_rows(ambiguous, ['ex_date', 'amount'])}",
                where=where,
                fix="give previous_close there: the file does not say which shares were paid",
            )
        closes = self._candles_of(symbol).filter(pl.col("close") > 0)
        filled = []
        for row in dividends.iter_rows(named=True):
            if row["previous_close"] is None:
                row["previous_close"] = self._close_before(row["ex_date"], closes, splits)
            if row["previous_close"] is not None:
                filled.append(row)
        return pl.DataFrame(filled, schema=dividends.schema)

    def _close_before(
        self, ex_date: dt.date, closes: pl.DataFrame, splits: pl.DataFrame
    ) -> float | None:
        """Close of the last candle before a day, in the shares that were held before that day."""
        position = closes["date"].search_sorted(ex_date, side="left")
        if position == 0:
            return None
        day, close = closes.select("date", "close").row(position - 1)
        basis = max(day, self.config.adjusted_as_of or day)
        # The close is in the shares of `basis`, the dividend in those of the day before ex_date.
        for split_day, ratio in splits.select("ex_date", "ratio").iter_rows():
            if ex_date <= split_day <= basis:
                close *= ratio
            elif basis < split_day < ex_date:
                close /= ratio
        return float(close)

    def _on_sessions(self, rows: pl.DataFrame) -> pl.DataFrame:
        off = rows.filter(sessions_of(rows["date"]) != rows["date"])
        if off.is_empty() or self.config.off_session_rows == "drop":
            return rows.join(off, on="date", how="anti", maintain_order="left")
        raise InputError(
            f"dates that are no XNYS sessions: {describe_rows(off, ['symbol', 'date'])}",
            where=f"{self.folder}, {self.config.candles}",
            fix="correct the dates, or set archive.off_session_rows to drop in vendors.json",
        )


def _plain_stocks(symbols: pl.Series) -> pl.DataFrame:
    """Metadata of symbols of which nothing is known: tradeable XNYS stocks without a sector."""
    filled = {"asset_class": "stock", "calendar": XNYS, "role": "tradeable"}
    return symbols.to_frame().select(
        pl.col(name) if name == "symbol" else pl.lit(filled.get(name), dtype=dtype).alias(name)
        for name, dtype in INSTRUMENT_SCHEMA.items()
    )


def _why_empty(dates: pl.Series, first_day: dt.date, last_day: dt.date) -> str:
    earliest, latest = dates[0], dates[-1]
    if last_day < earliest:
        return f"no candle before {earliest}"
    if first_day > latest:
        return f"no candle after {latest}"
    return f"no candle from {first_day} to {last_day}: trading was halted or the day is missing"
