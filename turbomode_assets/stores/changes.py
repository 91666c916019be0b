"""What differs between two versions of a table, found by its files before any row is read."""

import datetime as dt
from collections.abc import Sequence

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from turbomode_assets.contracts.table import TableContract
from turbomode_assets.stores.reader import TableReader

GONE = (DeltaError, OSError, pl.exceptions.ComputeError)
"""What reading a version raises whose log or files were cleaned away."""


def changed_groups(
    reader: TableReader,
    table: str,
    since: int,
    by: Sequence[str],
    *,
    timeframes: Sequence[str] | None = None,
) -> pl.DataFrame | None:
    """Values of `by` whose rows differ between version `since` and now; None if it is gone.

    Whole rows are compared, so that a value changed behind the back of its digest is seen too, but
    only in those stretches of time and partitions in which a file was added or removed. Of a table
    with timeframes, only the given ones.
    """
    uri, contract = reader.uri(table), reader.contract(table)
    schema = {name: contract.schema[name] for name in by}
    now = DeltaTable(uri)
    if now.version() == since:
        return pl.DataFrame(schema=schema)
    try:
        before = DeltaTable(uri, version=since)
        touched = _touched(before, now, contract)
        if not touched:
            return pl.DataFrame(schema=schema)
        inside = pl.any_horizontal(touched)
        if timeframes is not None:
            inside &= pl.col("timeframe").is_in(list(timeframes))
        old = _fingerprints(before, contract, by, inside)
    except GONE:
        return None
    new = _fingerprints(now, contract, by, inside)
    one_sided = [
        old.join(new, on=old.columns, how="anti"),
        new.join(old, on=old.columns, how="anti"),
    ]
    return pl.concat(one_sided).select(by).unique()


def appended_rows(
    reader: TableReader, table: str, since: int, through: int | None = None
) -> pl.DataFrame | None:
    """Rows of a log at version `through` (None: now) that version `since` did not hold.

    None if version `since` is gone.
    """
    uri, contract = reader.uri(table), reader.contract(table)
    now = _columns(DeltaTable(uri, version=through), contract, contract.column_names)
    try:
        before = pl.scan_delta(DeltaTable(uri, version=since)).select(contract.key).collect()
    except GONE:
        return None
    return now.join(before.lazy(), on=contract.key, how="anti").collect()


def rows_where(
    reader: TableReader,
    table: str,
    condition: pl.Expr,
    columns: Sequence[str],
    version: int | None = None,
) -> pl.DataFrame:
    """Some columns of the rows that meet a condition, in no order; the others are never held."""
    delta = DeltaTable(reader.uri(table), version=version)
    return pl.scan_delta(delta).filter(condition).select(columns).collect()


def _fingerprints(
    table: DeltaTable, contract: TableContract, by: Sequence[str], inside: pl.Expr
) -> pl.DataFrame:
    """Number of rows of each group, and what their contents add up to."""
    content = pl.struct(contract.column_names).hash().bitwise_xor()
    rows = _columns(table, contract, contract.column_names, inside)
    return rows.group_by(by).agg(rows=pl.len(), content=content).collect(engine="streaming")


def _columns(
    table: DeltaTable,
    contract: TableContract,
    names: Sequence[str],
    condition: pl.Expr | None = None,
) -> pl.LazyFrame:
    """Columns of some rows; a version from before a column existed has null there."""
    stored = {field.name for field in table.schema().fields}
    absent = [
        pl.lit(None, dtype=contract.schema[name]).alias(name)
        for name in names
        if name not in stored
    ]
    rows = pl.scan_delta(table)
    rows = rows if condition is None else rows.filter(condition)
    return rows.with_columns(absent).select(names)


def _touched(before: DeltaTable, now: DeltaTable, contract: TableContract) -> list[pl.Expr]:
    """Conditions that together hold for every row of the files that only one version has."""
    old, new = (_files(each, str(contract.span_column)) for each in (before, now))
    only_one = pl.concat(
        [old.join(new, on="path", how="anti"), new.join(old, on="path", how="anti")]
    )
    partitions = [f"partition.{name}" for name in contract.partition_by]
    conditions = []
    for values, files in only_one.group_by(partitions) if partitions else [((), only_one)]:
        same = [
            pl.col(name) == value
            for name, value in zip(contract.partition_by, values, strict=True)
            if value is not None
        ]
        for first, last in _joined(files.select("first", "last").sort("first").rows()):
            within = pl.col(str(contract.span_column)).is_between(first, last)
            conditions.append(pl.all_horizontal(within, *same))
    return conditions


def _files(table: DeltaTable, span_column: str) -> pl.DataFrame:
    """Path, partition values and stretch of each file; one that does not say it may hold all."""
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    partitions = [name for name in actions.columns if name.startswith("partition.")]
    ends = {
        "first": (f"min.{span_column}", dt.date.min),
        "last": (f"max.{span_column}", dt.date.max),
    }
    known = [
        (pl.col(name).cast(pl.Date) if name in actions.columns else pl.lit(None, pl.Date()))
        .fill_null(widest)
        .alias(end)
        for end, (name, widest) in ends.items()
    ]
    return actions.select("path", *partitions, *known)


def _joined(stretches: Sequence[tuple[dt.date, dt.date]]) -> list[tuple[dt.date, dt.date]]:
    """Join stretches that overlap, so that a thousand small files are no thousand conditions."""
    joined: list[tuple[dt.date, dt.date]] = []
    for first, last in stretches:
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined
