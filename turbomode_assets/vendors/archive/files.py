"""Reading and checking the files of the `archive` vendor. What they mean is `archive.py`.

Candles:   symbol, date, open, high, low, close, volume [, vwap, trades]
Splits:    symbol, ex_date, ratio
Dividends: symbol, ex_date, amount [, previous_close]
Symbols:   symbol, name, asset_class, calendar, role, sector [, first_session, last_session]

Parquet or CSV. Columns in brackets may be absent. A column `source` is ignored in every file, and
`adj_close` in candles (a second close, adjusted otherwise than the configuration says); any other
column is refused. Integers are taken for numbers and midnight times for dates; prices and volume
may be null (a partial bar).
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.contracts.table import describe_rows

FORMATS = (".parquet", ".csv")


@dataclass(frozen=True)
class FileForm:
    """Columns of one kind of archive file."""

    kind: str
    columns: dict[str, pl.DataType]
    optional: frozenset[str]
    key: tuple[str, ...]
    ignored: frozenset[str] = frozenset({"source"})
    nullable: frozenset[str] = field(default=frozenset())
    positive: frozenset[str] = field(default=frozenset())


_F, _D, _S = pl.Float64(), pl.Date(), pl.String()
_PRICES = {"open": _F, "high": _F, "low": _F, "close": _F}
CANDLES = FileForm(
    "candles",
    {"symbol": _S, "date": _D, **_PRICES, "volume": _F, "vwap": _F, "trades": pl.Int64()},
    optional=frozenset({"vwap", "trades"}),
    key=("symbol", "date"),
    ignored=frozenset({"source", "adj_close"}),
    nullable=frozenset({*_PRICES, "volume", "vwap", "trades"}),
)
SPLITS = FileForm(
    "splits",
    {"symbol": _S, "ex_date": _D, "ratio": _F},
    optional=frozenset(),
    key=("symbol", "ex_date"),
    positive=frozenset({"ratio"}),
)
DIVIDENDS = FileForm(
    "dividends",
    {"symbol": _S, "ex_date": _D, "amount": _F, "previous_close": _F},
    optional=frozenset({"previous_close"}),
    key=("symbol", "ex_date"),
    nullable=frozenset({"previous_close"}),
    positive=frozenset({"amount", "previous_close"}),
)
SYMBOLS = FileForm(
    "symbols",
    {name: _S for name in ("symbol", "name", "asset_class", "calendar", "role", "sector")}
    | {"first_session": _D, "last_session": _D},
    optional=frozenset({"first_session", "last_session"}),
    key=("symbol",),
    nullable=frozenset({"name", "sector", "first_session", "last_session"}),
)


def find_files(folder: Path, pattern: str, kind: str) -> tuple[Path, ...]:
    """Files of `folder` that a name or pattern means, in order.

    Raises:
        InputError: the folder is absent, or no Parquet or CSV file matches.
    """
    if not folder.is_dir():
        raise InputError(
            "the archive folder does not exist",
            where=str(folder),
            fix="create it with your files, or correct archive.folder in vendors.json",
        )
    found = tuple(
        sorted(p for p in folder.glob(pattern) if p.is_file() and p.suffix.lower() in FORMATS)
    )
    if not found:
        raise InputError(
            f"no Parquet or CSV file matches {pattern!r}",
            where=str(folder),
            fix=f"put the file there, or correct archive.{kind} in vendors.json",
        )
    return found


def read_files(paths: Sequence[Path], form: FileForm) -> pl.DataFrame:
    """Rows of files of one kind, checked, sorted by key; once per process and modification.

    Raises:
        InputError: a file cannot be read or breaks the form; names file, column and rows.
    """
    try:
        marks = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
    except OSError as error:
        raise _unreadable(Path(str(error.filename)), error) from error
    return _read_marked(marks, form.kind)


@functools.lru_cache(maxsize=8)
def _read_marked(marks: tuple[tuple[str, int, int], ...], kind: str) -> pl.DataFrame:
    # The marks are the cache's key: a file changed on disk is read again.
    form = {f.kind: f for f in (CANDLES, SPLITS, DIVIDENDS, SYMBOLS)}[kind]
    names = [name for name, _, _ in marks]
    where = names[0] if len(names) == 1 else f"{len(names)} files in {Path(names[0]).parent}"
    rows = pl.concat([_read_one(Path(name), form) for name in names])
    repeated = rows.select(form.key).filter(pl.struct(form.key).is_duplicated())
    if repeated.height:
        raise InputError(
            f"duplicated keys: {describe_rows(repeated.unique(maintain_order=True))}",
            where=f"{where}, key ({', '.join(form.key)})",
            fix="keep one row for each key",
        )
    return rows.sort(form.key)


def _read_one(path: Path, form: FileForm) -> pl.DataFrame:
    try:
        # CSV is read as text, so that a malformed value is shown and not guessed away.
        lazy = pl.scan_csv(path, infer_schema=False) if _is_csv(path) else pl.scan_parquet(path)
        found = lazy.collect_schema()
        _check_names(path, form, found.names())
        as_stored = lazy.select(name for name in form.columns if name in found).collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error
    rows = as_stored.select(
        _as_type(path, name, dtype, form.columns[name]) for name, dtype in as_stored.schema.items()
    )
    _check_values(path, form, as_stored, rows)
    return rows.select(
        pl.col(name) if name in rows.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in form.columns.items()
    )


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _check_names(path: Path, form: FileForm, found: list[str]) -> None:
    missing = [n for n in form.columns if n not in found and n not in form.optional]
    unknown = [n for n in found if n not in form.columns and n not in form.ignored]
    if not missing and not unknown:
        return
    complaints = [f"missing columns: {first_few(missing)}"] if missing else []
    complaints += [f"unknown columns: {first_few(unknown)}"] if unknown else []
    optional = [name for name in form.columns if name in form.optional]
    raise InputError(
        f"{'; '.join(complaints)} (found {', '.join(found)})",
        where=str(path),
        fix=f"a {form.kind} file has the columns "
        + ", ".join(n for n in form.columns if n not in form.optional)
        + (f" and may have {', '.join(optional)}" if optional else ""),
    )


def _as_type(path: Path, name: str, found: pl.DataType, wanted: pl.DataType) -> pl.Expr:
    """Bring a column to its type; a value that has none becomes null and is refused below."""
    column = pl.col(name)
    is_text = found == pl.String or isinstance(found, pl.Categorical | pl.Enum)
    if found == wanted or found == pl.Null or (wanted == pl.String and is_text):
        return column.cast(wanted)
    if wanted.is_numeric() and (found.is_integer() or (found.is_float() and wanted.is_float())):
        return column.cast(wanted)
    if wanted == pl.Date and isinstance(found, pl.Datetime) and found.time_zone is None:
        return pl.when(column.dt.truncate("1d") == column).then(column.cast(pl.Date)).alias(name)
    if _is_csv(path) and wanted == pl.Date:
        return column.str.to_date("%Y-%m-%d", strict=False)
    if _is_csv(path):
        return column.cast(wanted, strict=False)
    raise InputError(
        f"column {name} is {found}, not {wanted}",
        where=f"{path}, column {name}",
        fix=f"write it as {wanted}",
    )


def _check_values(path: Path, form: FileForm, as_stored: pl.DataFrame, rows: pl.DataFrame) -> None:
    for name in rows.columns:
        values, given = rows[name], as_stored[name]
        wanted = form.columns[name]
        rules = [(f"is no {wanted}", given.is_not_null() & values.is_null())]
        if name not in form.nullable:
            rules.append(("is missing", values.is_null()))
        if wanted.is_float():
            rules.append(("is not finite", ~values.is_finite()))
        if name in form.positive:
            rules.append(("is not above 0", values <= 0))
        if name == "volume":
            rules.append(("is below 0", values < 0))
        for complaint, broken in rules:
            offenders = as_stored.with_row_index("row", offset=1).filter(broken.fill_null(False))
            if offenders.height:
                shown = list(dict.fromkeys(["row", *form.key, name]))
                raise InputError(
                    f"{name} {complaint}: {describe_rows(offenders, shown)}",
                    where=f"{path}, column {name}",
                    fix="correct these rows; dates are YYYY-MM-DD, a missing price is empty (null)",
                )


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"the file cannot be read: {error}",
        where=str(path),
        fix="check that it is a whole, readable Parquet or CSV file",
    )
