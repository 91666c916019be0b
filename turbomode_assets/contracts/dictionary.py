"""The data dictionary of a family of tables, made from their contracts."""

from collections.abc import Iterable

import polars as pl

from turbomode_assets.contracts.fundamentals import METRICS
from turbomode_assets.contracts.table import TableContract
from turbomode_assets.contracts.tables import DB_METADATA, FUNDAMENTALS


def data_dictionary(tables: Iterable[TableContract]) -> pl.DataFrame:
    """Rows of `db_metadata`: every column of the tables; metrics of fundamentals are listed too."""
    rows = [
        {
            "table": table.name,
            "column": column.name,
            "position": position,
            "dtype": str(column.dtype),
            "unit": column.unit,
            "nullable": column.nullable,
            "in_key": column.name in table.key,
            "description": column.description,
            "table_description": table.description,
        }
        for table in tables
        for position, column in enumerate(table.columns)
    ]
    rows += [
        {
            "table": FUNDAMENTALS.name,
            "column": f"value[metric={metric}]",
            "position": len(FUNDAMENTALS.columns) + number,
            "dtype": str(FUNDAMENTALS.schema["value"]),
            "unit": unit,
            "nullable": False,
            "in_key": False,
            "description": meaning,
            "table_description": FUNDAMENTALS.description,
        }
        for number, (metric, (unit, meaning)) in enumerate(METRICS.items())
    ]
    return pl.DataFrame(rows, schema=DB_METADATA.schema).sort(DB_METADATA.sort_by)
