"""How the rows of a table become Parquet files. Committing them is `delta`'s matter."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa
from deltalake import ColumnProperties, WriterProperties

from turbomode_assets.contracts.columns import YEAR
from turbomode_assets.contracts.table import FileLayout, TableContract

FILE_BYTES = 1 << 30
"""Where the writer begins another file: far beyond one year of any table."""


def columns_with_statistics(contract: TableContract) -> list[str]:
    """Columns by which whole files are skipped: key and span column."""
    span = [contract.span_column] if contract.span_column else []
    return list(dict.fromkeys([*contract.key, *span]))


def writer_properties(contract: TableContract) -> WriterProperties:
    """How Parquet files of a table are written."""
    layout, skippable = contract.layout, columns_with_statistics(contract)
    strings = [column.name for column in contract.columns if column.dtype == pl.String()]
    return WriterProperties(
        compression=layout.compression,
        compression_level=1 if layout.compression == "ZSTD" else None,
        max_row_group_size=layout.rows_per_group,
        data_page_row_count_limit=layout.rows_per_page,
        default_column_properties=ColumnProperties(
            dictionary_enabled=False,
            statistics_enabled="PAGE" if layout.value_statistics else "NONE",
        ),
        column_properties={
            name: ColumnProperties(
                dictionary_enabled=name in strings or name == contract.span_column,
                statistics_enabled="PAGE",
            )
            for name in dict.fromkeys([*strings, *skippable])
        },
    )


def arrow_schema(contract: TableContract) -> pa.Schema:
    """Columns of a table as they are stored, those of its partitions included."""
    return with_partition_columns(contract.empty(), contract).to_arrow().schema


def with_partition_columns(frame: pl.DataFrame, contract: TableContract) -> pl.DataFrame:
    """Add the columns that partitions are named by and contracts leave out."""
    if YEAR not in contract.partition_by:
        return frame
    year = pl.col(str(contract.span_column)).dt.year()
    return frame.with_columns(year.cast(pl.Int32).alias(YEAR))


def record_batches(frame: pl.DataFrame, contract: TableContract) -> Iterator[pa.RecordBatch]:
    """Give the rows in batches of one row group, so that beside the frame only a few are held.

    The writer deals batches out to its threads: neighbours may change places, rows inside a batch
    do not.
    """
    if YEAR not in contract.partition_by:
        yield from frame.rechunk().to_arrow().to_batches(contract.layout.rows_per_group)
        return
    sessions = frame.get_column(str(contract.span_column))
    years = sessions.dt.year()
    for year in years.unique().sort():
        rows = (years == year).arg_true()
        for group in _row_groups(sessions.gather(rows), contract.layout):
            part = with_partition_columns(frame[rows.gather(group)], contract)
            yield from part.rechunk().to_arrow().to_batches()


def _row_groups(sessions: pl.Series, layout: FileLayout) -> Iterator[pl.Series]:
    """Cut sorted rows into blocks of consecutive sessions, and each into groups in its order."""
    by_session = pl.Series(np.argsort(sessions.to_physical().to_numpy(), kind="stable"))
    block_size = layout.rows_per_block or len(sessions)
    for first in range(0, len(sessions), block_size):
        block = by_session.slice(first, block_size).sort()
        for start in range(0, len(block), layout.rows_per_group):
            yield block.slice(start, layout.rows_per_group)
