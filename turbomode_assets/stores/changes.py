"""What differs between two versions of a table, found by its files before any row is read."""

import datetime as dt
from collections.abc import Sequence

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from turbomode_assets.stores.reader import TableReader


def changed_groups(
    reader: TableReader, table: str, since: int, by: Sequence[str], fingerprint: str
) -> pl.DataFrame | None:
    """Values of `by` whose rows differ between version `since` and now; None if it is gone.

    Rows are compared by their number and by the column `fingerprint`, and only in those stretches
    of time and partitions in which a file was added or removed.
    """
    uri, contract = reader.uri(table), reader.contract(table)
    now = DeltaTable(uri)
    schema = {name: contract.schema[name] for name in by}
    if now.version() == since:
        return pl.DataFrame(schema=schema)
    try:
        before = DeltaTable(uri, version=since)
        touched = _touched(before, now, str(contract.span_column))
    except (DeltaError, OSError):  # its log or files were cleaned away
        return None
    if touched is None:
        return pl.DataFrame(schema=schema)
    old, new = (
        pl.scan_delta(each)
        .filter(_inside(touched, contract.partition_by, str(contract.span_column)))
        .group_by(by)
        .agg(rows=pl.len(), print=pl.col(fingerprint).hash().bitwise_xor())
        .collect()
        for each in (before, now)
    )
    return pl.concat(
        [
            old.join(new, on=old.columns, how="anti").select(by),
            new.join(old, on=old.columns, how="anti").select(by),
        ]
    ).unique()


def appended_rows(reader: TableReader, table: str, since: int) -> pl.DataFrame | None:
    """Rows of a log that version `since` did not hold; None if that version is gone."""
    uri, contract = reader.uri(table), reader.contract(table)
    now = pl.scan_delta(DeltaTable(uri))
    try:
        before = pl.scan_delta(DeltaTable(uri, version=since)).select(contract.key)
        return now.select(contract.column_names).join(before, on=contract.key, how="anti").collect()
    except (DeltaError, OSError):  # its log or files were cleaned away
        return None


def _touched(before: DeltaTable, now: DeltaTable, span_column: str) -> pl.DataFrame | None:
    """Partition values and first and last session of the files only one version has."""
    old, new = (_files(each, span_column) for each in (before, now))
    only_one = pl.concat(
        [old.join(new, on="path", how="anti"), new.join(old, on="path", how="anti")]
    )
    return only_one.drop("path").unique() if only_one.height else None


def _files(table: DeltaTable, span_column: str) -> pl.DataFrame:
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    partitions = [name for name in actions.columns if name.startswith("partition.")]
    ends = {"first": f"min.{span_column}", "last": f"max.{span_column}"}
    known = [
        pl.col(name).alias(end) if name in actions.columns else pl.lit(None, pl.Date()).alias(end)
        for end, name in ends.items()
    ]
    return actions.select("path", *partitions, *known)


def _inside(touched: pl.DataFrame, partitions: Sequence[str], span_column: str) -> pl.Expr:
    """Rows in any of the touched stretches; a file that does not say its stretch is all of it."""
    terms = []
    for row in touched.iter_rows(named=True):
        same = [
            pl.col(name) == row[f"partition.{name}"]
            for name in partitions
            if row[f"partition.{name}"] is not None
        ]
        first = row["first"] or dt.date.min
        last = row["last"] or dt.date.max
        terms.append(pl.all_horizontal(pl.col(span_column).is_between(first, last), *same))
    return pl.any_horizontal(terms)
