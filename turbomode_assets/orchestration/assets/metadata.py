"""What every asset tells the UI: schema, rows, symbols, vendors, a preview and a picture.

A range run repeats its metadata for each partition, so pictures are files; only a short run
carries its picture inline.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.contracts.table import Column, TableContract
from turbomode_assets.orchestration.resources.io_managers import TABLE_KEY
from turbomode_assets.reports import preview_markdown
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.stores import PinnedRows
from turbomode_assets.stores.reader import versions_of

OWNERS = ["team:data-platform"]
INLINE_PICTURE_SESSIONS = 3
SHOWN_ROWS = 50


def definition_metadata(
    contract: TableContract, descriptions: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Schema of an asset's table, shown before anything is materialized.

    `descriptions` says more of some columns than the contract does.
    """
    more = descriptions or {}
    columns = [
        dg.TableColumn(
            column.name,
            type=str(column.dtype),
            description=more.get(column.name, column.description)
            + (f" [{column.unit}]" if column.unit else ""),
            constraints=dg.TableColumnConstraints(
                nullable=column.nullable, other=_constraints(column)
            ),
        )
        for column in contract.columns
    ]
    return {
        TABLE_KEY: contract.name,
        "dagster/column_schema": dg.TableSchema(columns=columns),
        "key": ", ".join(contract.key),
    }


def _constraints(column: Column) -> list[str]:
    rules = []
    if column.minimum is not None:
        rules.append(f">= {column.minimum:g}")
    if column.exclusive_minimum is not None:
        rules.append(f"> {column.exclusive_minimum:g}")
    if column.allowed is not None:
        rules.append("one of " + ", ".join(column.allowed))
    return rules


def table_metadata(
    frame: pl.DataFrame,
    span: SessionSpan | None = None,
    *,
    reads: Sequence[PinnedRows] = (),
    **more: object,
) -> dict[str, Any]:
    """Rows, symbols and vendors of what a run produced, and the tables' versions it read."""
    facts: dict[str, Any] = {
        "dagster/partition_row_count" if span else "dagster/row_count": frame.height,
        "symbols": frame.get_column("symbol").n_unique() if "symbol" in frame.columns else 0,
        "reads": versions_of(reads),
        "preview": dg.MetadataValue.md(preview_markdown(frame)),
    }
    if span:
        facts["sessions"] = f"{span} ({len(span.sessions)} sessions)"
    if "vendor" in frame.columns and frame.height:
        facts["vendor"] = ", ".join(sorted(frame.get_column("vendor").unique()))
    return {**facts, **more}


def shown(facts: Mapping[str, object]) -> dict[str, Any]:
    """Turn what a room tells of its work into metadata; a table is shown whole if it is short."""
    return {
        name: dg.MetadataValue.md(preview_markdown(fact, rows=min(fact.height, SHOWN_ROWS)))
        if isinstance(fact, pl.DataFrame)
        else fact
        for name, fact in facts.items()
    }


def picture_metadata(
    draw: Callable[[], bytes], folder: Path, name: str, span: SessionSpan
) -> dict[str, Any]:
    """Draw a picture into `folder`; a run of few sessions shows it inline too."""
    path = folder / f"{name}-{span.first}-{span.last}.png"
    content = store_picture(draw, path)
    facts: dict[str, Any] = {"picture_file": dg.MetadataValue.path(str(path))}
    if len(span.sessions) <= INLINE_PICTURE_SESSIONS:
        facts["picture"] = inline_picture(name, content)
    return facts


def store_picture(draw: Callable[[], bytes], path: Path) -> bytes:
    """Draw a picture into a file, and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = draw()
    path.write_bytes(content)
    return content


def inline_picture(name: str, content: bytes) -> dg.MetadataValue[Any]:
    """Show a picture in the UI itself."""
    encoded = base64.b64encode(content).decode()
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{encoded})")
