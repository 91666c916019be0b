"""What ingestion hands to the master writer, which this module does not hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import polars as pl

from turbomode_assets.contracts.errors import VendorError
from turbomode_assets.sessions import SessionSpan

MASTER_WRITER_KEY = "master_writer"
"""Resource key of the one io manager that writes the master store."""


@dataclass(frozen=True)
class FetchResult:
    """Rows from the vendors and the symbols that they replace; no symbols: nothing to replace.

    `span` names the sessions they belong to where the asset has no partitions but its table has
    sessions. `when_stored` is called after the commit; then `error` is raised, if there is one: it
    tells of symbols whose rows could not be fetched.
    """

    rows: pl.DataFrame
    symbols: Sequence[str]
    span: SessionSpan | None = None
    when_stored: Callable[[], None] | None = None
    error: VendorError | None = None


@dataclass(frozen=True)
class Batch:
    """Rows to be stored in one commit, and what was noticed about them, logged before.

    They replace the rows of their symbols and timeframes in the span. `audit` is the row of
    `audits` that says what an audit added up to; without symbols there is nothing else to store.
    """

    rows: pl.DataFrame
    span: SessionSpan
    symbols: Sequence[str]
    timeframes: Sequence[str]
    noticed: pl.DataFrame
    table: Literal["candles", "partition_status"] = "candles"
    audit: pl.DataFrame | None = None


class Batches(Protocol):
    """Work under way: each batch is to be stored before the next is asked for."""

    def __iter__(self) -> Iterator[Batch]:
        """Work, piece by piece."""
        ...

    def metadata(self) -> Mapping[str, Any]:
        """What there is to tell once all batches are stored."""
        ...
