"""What ingestion hands to the master writer, which this module does not hold."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

MASTER_WRITER_KEY = "master_writer"
"""Resource key of the one io manager that writes the master store."""


@dataclass(frozen=True)
class Fetched:
    """Rows from the vendors and the symbols that they replace."""

    rows: pl.DataFrame
    symbols: Sequence[str]
