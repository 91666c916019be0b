"""The simulated market of the fixture `market`: its assets, history and first night."""

import datetime as dt

from turbomode_assets.sessions import SessionSpan, offset_session

INGESTION = [
    "symbol_metadata",
    "sector_mappings",
    "splits",
    "dividends",
    "fundamentals",
    "db_metadata",
    "raw_candles",
    "audit",
]
DERIVED = ["bars", "features", "labels"]
AS_OF = dt.date(2015, 12, 1)
HISTORY = SessionSpan(dt.date(2014, 11, 10), AS_OF)
NIGHT = offset_session(AS_OF, 1)
