"""The form of a table contract and the check of a frame against it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl

from turbomode_assets.contracts.errors import ContractError, first_few
from turbomode_assets.contracts.ordering import has_ties, sort_rows


@dataclass(frozen=True)
class Column:
    """One column: its type, unit and bounds."""

    name: str
    dtype: pl.DataType
    description: str
    unit: str = ""
    nullable: bool = False
    nan_allowed: bool = False
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] | None = None


@dataclass(frozen=True)
class FileLayout:
    """How rows lie in a table's files: what a reader can skip, and what it pays for the rest."""

    rows_per_group: int = 65_536
    """Rows of a Parquet row group, the unit that statistics let a reader skip."""
    rows_per_block: int | None = None
    """Rows of consecutive values of the span column that lie together, in `sort_by` order among
    themselves; None where a whole file is in `sort_by` order."""
    rows_per_page: int = 20_000
    """Rows of a Parquet page, the unit that a reader decodes."""
    compression: Literal["ZSTD", "UNCOMPRESSED"] = "ZSTD"
    value_statistics: bool = True
    """Whether footers hold the extremes of every column, or of key and span column only."""


@dataclass(frozen=True)
class TableContract:
    """Schema, key, sort order and storage of one table, declared once."""

    name: str
    store: Literal["master", "lake"]
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    sort_by: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    span_column: str | None = None
    """The date column that a partition replaces by; None for a table merged by key."""
    scope_columns: tuple[str, ...] = field(default=())
    """Columns that narrow a replacement besides the span (raw data: timeframe and symbol)."""
    layout: FileLayout = FileLayout()
    further: Column | None = None
    """Form of the columns that a table may hold beside `columns`; None where there are none."""

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column names and types, in order."""
        return {column.name: column.dtype for column in self.columns}

    @property
    def column_names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]

    def with_further(self, names: Iterable[str]) -> "TableContract":
        """Take the columns of these names in, those that it does not know in its `further` form."""
        unknown = [name for name in names if name not in self.schema]
        if self.further is None or not unknown:
            return self
        more = tuple(replace(self.further, name=name) for name in unknown)
        return replace(self, columns=(*self.columns, *more))

    def empty(self) -> pl.DataFrame:
        """A frame of this table without rows."""
        return pl.DataFrame(schema=self.schema)


def check_table(frame: pl.DataFrame, contract: TableContract) -> pl.DataFrame:
    """Return `frame` in the contract's column and row order, or raise naming the offenders.

    Raises:
        ContractError: columns, types, nulls, bounds or keys break the contract.
    """
    _check_columns(frame, contract)
    frame = frame.select(contract.column_names)
    _check_values(frame, contract)
    frame = sort_rows(frame, contract.sort_by)
    _check_key(frame, contract)
    return frame


def _check_columns(frame: pl.DataFrame, contract: TableContract) -> None:
    expected, found = contract.schema, dict(frame.schema)
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    if missing or unknown:
        parts = []
        if missing:
            parts.append(f"missing columns: {first_few(missing)}")
        if unknown:
            parts.append(f"unknown columns: {first_few(unknown)}")
        raise ContractError(
            "; ".join(parts),
            where=f"table {contract.name}",
            fix=f"deliver exactly these columns: {', '.join(expected)}",
        )
    wrong = [f"{n} is {found[n]}, not {t}" for n, t in expected.items() if found[n] != t]
    if wrong:
        raise ContractError(
            f"wrong column types: {first_few(wrong)}",
            where=f"table {contract.name}",
            fix="cast the columns to the contract's types before writing",
        )


@dataclass(frozen=True)
class _Rule:
    """What a column must not hold: a cheap test for the column, and the rows that fail."""

    column: str
    complaint: str
    is_broken: pl.Expr
    broken: pl.Expr


def _rules(column: Column) -> list[_Rule]:
    values = pl.col(column.name)
    complaints: list[tuple[str, pl.Expr]] = []
    if column.dtype.is_float():
        broken = values.is_infinite() if column.nan_allowed else ~values.is_finite()
        complaints.append(("is not finite", broken))
    if column.minimum is not None:
        complaints.append((f"is below {column.minimum:g}", values < column.minimum))
    if column.exclusive_minimum is not None:
        floor = column.exclusive_minimum
        complaints.append((f"is not above {floor:g}", values <= floor))
    if column.maximum is not None:
        complaints.append((f"is above {column.maximum:g}", values > column.maximum))
    if column.allowed is not None:
        listed = ", ".join(column.allowed)
        complaints.append((f"is none of {listed}", ~values.is_in(column.allowed)))
    rules = [_Rule(column.name, said, broken.any(), broken) for said, broken in complaints]
    if not column.nullable:
        is_broken = values.null_count() > 0
        rules.insert(0, _Rule(column.name, "is null", is_broken, values.is_null()))
    return rules


def _check_values(frame: pl.DataFrame, contract: TableContract) -> None:
    rules = [rule for column in contract.columns for rule in _rules(column)]
    found = frame.select(rule.is_broken.alias(str(i)) for i, rule in enumerate(rules)).row(0)
    for rule in (rule for rule, is_broken in zip(rules, found, strict=True) if is_broken):
        shown = list(dict.fromkeys([*contract.key, rule.column]))
        offenders = frame.filter(rule.broken.fill_null(False)).select(shown)
        raise ContractError(
            f"{rule.column} {rule.complaint}: {describe_rows(offenders)}",
            where=f"table {contract.name}",
            fix="correct these rows at their source and run again; nothing was written",
        )


def _check_key(sorted_rows: pl.DataFrame, contract: TableContract) -> None:
    keys = sorted_rows.select(contract.key)
    if set(contract.sort_by) <= set(contract.key) and not has_ties(keys, contract.sort_by):
        return  # repeated keys would be neighbours
    repeated = keys.filter(pl.struct(contract.key).is_duplicated())
    if repeated.height:
        raise ContractError(
            f"duplicated keys: {describe_rows(repeated.unique(maintain_order=True))}",
            where=f"table {contract.name}, key ({', '.join(contract.key)})",
            fix="keep one row for each key at the source and run again; nothing was written",
        )


def describe_rows(rows: pl.DataFrame, columns: Sequence[str] | None = None) -> str:
    """Write the first rows as `column=value` groups, for an error message."""
    shown = rows.select(columns) if columns else rows
    listed = [
        " ".join(f"{name}={value}" for name, value in row.items())
        for row in shown.head(5).iter_rows(named=True)
    ]
    total = "" if rows.height <= 5 else f" ... ({rows.height} in all)"
    return "; ".join(listed) + total
