"""The symbols that real vendors are asked for: `universe.csv`, and how each vendor spells them."""

import re
from pathlib import Path

import polars as pl

from turbomode_assets.contracts.errors import ConfigurationError, first_few
from turbomode_assets.contracts.tables import SYMBOL_METADATA

UNIVERSE_SCHEMA = pl.Schema(
    dict.fromkeys(
        (
            "symbol",
            "name",
            "asset_class",
            "calendar",
            "role",
            "sector",
            "ibkr_symbol",
            "yahoo_symbol",
            "primary_exchange",
        ),
        pl.String(),
    )
)
"""One row for each symbol; `sector` in the GICS vocabulary, empty for what has none."""

LATER_COLUMNS: dict[str, str | None] = {}
"""Columns that older files lack, and the value that keeps what such a file means."""

_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.-]{0,15}")
_VENDORS_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9 .=^-]{0,15}")
_REQUIRED = ("symbol", "asset_class", "calendar", "role", "ibkr_symbol", "yahoo_symbol")


def read_universe(path: Path) -> pl.DataFrame:
    """Read a universe file, in UNIVERSE_SCHEMA.

    Symbols become file names and parts of addresses: only letters, digits and a few marks pass.

    Raises:
        ConfigurationError: the file is absent or malformed, names a symbol twice, or a value that
            its column does not allow.
    """
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(
            f"the universe cannot be read: {error}",
            where=str(path),
            fix=f"write a CSV file with the columns {', '.join(UNIVERSE_SCHEMA)}",
        ) from error
    frame = frame.with_columns(
        pl.lit(value, dtype=pl.String()).alias(name)
        for name, value in LATER_COLUMNS.items()
        if name not in frame.columns
    )
    if set(frame.columns) != set(UNIVERSE_SCHEMA):
        raise ConfigurationError(
            f"the columns are {', '.join(frame.columns)}",
            where=str(path),
            fix=f"write exactly {', '.join(UNIVERSE_SCHEMA)}",
        )
    _refuse(path, frame, "symbol", pl.col("symbol").is_duplicated(), "names each symbol once")
    for name in _REQUIRED:
        _refuse(path, frame, name, pl.col(name).is_null(), f"gives {name} for every symbol")
    for name, form in (
        ("symbol", _SYMBOL),
        ("ibkr_symbol", _VENDORS_SYMBOL),
        ("yahoo_symbol", _VENDORS_SYMBOL),
    ):
        strange = ~pl.col(name).str.contains(f"^(?:{form.pattern})$")
        _refuse(path, frame, name, strange, f"spells {name} as {form.pattern}")
    for column in SYMBOL_METADATA.columns:
        if column.allowed is not None:
            strange = ~pl.col(column.name).is_in(column.allowed)
            _refuse(path, frame, column.name, strange, f"uses {', '.join(column.allowed)}")
    return frame.select(UNIVERSE_SCHEMA.names())


def _refuse(path: Path, frame: pl.DataFrame, column: str, broken: pl.Expr, rule: str) -> None:
    offenders = frame.filter(broken)
    if offenders.height:
        listed = first_few(offenders.select(pl.col(column).fill_null("nothing")).to_series())
        raise ConfigurationError(
            f"column {column} holds {listed}", where=str(path), fix=f"a universe {rule}"
        )
