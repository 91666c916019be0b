"""Columns and types that several tables share."""

import polars as pl

from turbomode_assets.contracts.table import Column
from turbomode_assets.contracts.timeframes import TIMEFRAMES

ADJUSTMENTS = ("raw", "split", "split_dividend")
UTC_TIME = pl.Datetime("us", "UTC")

SYMBOL = Column("symbol", pl.String(), "Ticker as the project spells it (BRK.B, BTC-USD)")
SESSION = Column("session", pl.Date(), "XNYS session the row belongs to")
VENDOR = Column("vendor", pl.String(), "Who delivered it; `simulated` marks a made-up market")
KNOWN = Column("knowledge_ts", UTC_TIME, "When it became known to us or to the market", "UTC")
TIMEFRAME = Column("timeframe", pl.String(), "Bar length", allowed=TIMEFRAMES)
ADJUSTMENT = Column(
    "adjustment", pl.String(), "What the vendor already did to the price", allowed=ADJUSTMENTS
)
ADJUSTED_AS_OF = Column(
    "adjusted_as_of", pl.Date(), "Up to which date it did so; null for raw", nullable=True
)

CELL = (SYMBOL.name, TIMEFRAME.name, SESSION.name)
"""Key of a cell, the unit that is expected, fetched, judged and repaired: one symbol's bars of one
length in one session."""
CELL_SCHEMA = pl.Schema({column.name: column.dtype for column in (SYMBOL, TIMEFRAME, SESSION)})


def price(name: str, description: str, *, nullable: bool = False) -> Column:
    """Declare a price column: USD, above 0."""
    return Column(name, pl.Float64(), description, "USD", nullable, exclusive_minimum=0)


def probability(name: str, description: str) -> Column:
    """Declare a probability column: between 0 and 1."""
    return Column(name, pl.Float64(), description, "probability", minimum=0, maximum=1)
