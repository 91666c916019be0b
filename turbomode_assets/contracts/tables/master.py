"""Every Delta table of the master store."""

from collections.abc import Mapping

import polars as pl

from turbomode_assets.contracts.fundamentals import METRICS
from turbomode_assets.contracts.table import Column, FileLayout, TableContract
from turbomode_assets.contracts.tables.common import (
    ADJUSTED_AS_OF,
    ADJUSTMENT,
    CELL,
    KNOWN,
    SESSION,
    SYMBOL,
    TIMEFRAME,
    UTC_TIME,
    VENDOR,
    price,
)

SECTOR_VOCABULARIES = ("GICS", "Yahoo", "IBKR")
QUALITY_KINDS = ("no_data", "failover", "disagreement", "revision", "late_candles", "late_action")
VERDICTS = ("GREEN", "AMBER", "RED")

CANDLE_LAYOUT = FileLayout(rows_per_group=16_384, rows_per_page=1_024)
"""Small groups and pages, of which a reader of one symbol skips almost all: twenty years of it take
less than half the time that they take with groups of 65,536 and pages of 20,000 rows."""

CANDLES = TableContract(
    name="candles",
    store="master",
    description="Price bars exactly as a vendor delivered them.",
    columns=(
        SYMBOL,
        TIMEFRAME,
        Column("ts", UTC_TIME, "Start of the bar", "UTC"),
        SESSION,
        Column("open", pl.Float64(), "First price; null in a partial bar", "USD", nullable=True),
        Column("high", pl.Float64(), "Highest price; null in a partial bar", "USD", nullable=True),
        Column("low", pl.Float64(), "Lowest price; null in a partial bar", "USD", nullable=True),
        Column("close", pl.Float64(), "Last price; null in a partial bar", "USD", nullable=True),
        Column("volume", pl.Float64(), "Units traded", "shares", nullable=True, minimum=0),
        Column("vwap", pl.Float64(), "Vendor's own average price", "USD", nullable=True),
        Column("trades", pl.Int64(), "Number of trades", "count", nullable=True, minimum=0),
        VENDOR,
        ADJUSTMENT,
        ADJUSTED_AS_OF,
        Column("ingested_at", UTC_TIME, "When this payload first arrived", "UTC"),
        Column("payload_sha256", pl.String(), "Digest of the row as delivered"),
    ),
    key=("symbol", "timeframe", "ts"),
    sort_by=("symbol", "ts", "timeframe"),
    partition_by=("timeframe", "year"),
    span_column="session",
    scope_columns=("timeframe", "symbol"),
    layout=CANDLE_LAYOUT,
)

SPLITS = TableContract(
    name="splits",
    store="master",
    description="Share splits; the ratio is new shares per old share.",
    columns=(
        SYMBOL,
        SESSION,
        Column("ex_date", pl.Date(), "First day that trades in new shares"),
        Column("ratio", pl.Float64(), "New shares per old share", "ratio", exclusive_minimum=0),
        KNOWN,
        VENDOR,
    ),
    key=("symbol", "ex_date"),
    sort_by=("symbol", "ex_date"),
    scope_columns=("symbol",),
)

DIVIDENDS = TableContract(
    name="dividends",
    store="master",
    description="Cash dividends with the previous close in the same share basis.",
    columns=(
        SYMBOL,
        SESSION,
        Column("ex_date", pl.Date(), "First day that trades without the dividend"),
        Column("amount", pl.Float64(), "Paid per share", "USD", exclusive_minimum=0),
        price("previous_close", "Close before the ex-date in the amount's share basis"),
        KNOWN,
        VENDOR,
    ),
    key=("symbol", "ex_date"),
    sort_by=("symbol", "ex_date"),
    scope_columns=("symbol",),
)

SYMBOL_METADATA = TableContract(
    name="symbol_metadata",
    store="master",
    description="What each symbol is, and when it was listed and delisted.",
    columns=(
        SYMBOL,
        Column("name", pl.String(), "Company or asset name", nullable=True),
        Column("asset_class", pl.String(), "What it is", allowed=("stock", "etf", "crypto")),
        Column("calendar", pl.String(), "Its own trading calendar", allowed=("XNYS", "24/7")),
        Column("role", pl.String(), "How we use it", allowed=("tradeable", "benchmark")),
        Column("first_session", pl.Date(), "First session with a bar", nullable=True),
        Column("last_session", pl.Date(), "Last session before delisting", nullable=True),
        KNOWN,
        VENDOR,
    ),
    key=("symbol",),
    sort_by=("symbol",),
    scope_columns=("symbol",),
)

SECTOR_MAPPINGS = TableContract(
    name="sector_mappings",
    store="master",
    description="Sector of each symbol over time.",
    columns=(
        SYMBOL,
        Column("vocabulary", pl.String(), "Whose sector names", allowed=SECTOR_VOCABULARIES),
        Column("sector", pl.String(), "Sector name in that vocabulary"),
        Column("valid_from", pl.Date(), "First day of this sector"),
        Column(
            "valid_to", pl.Date(), "Last day of this sector; null while it holds", nullable=True
        ),
        KNOWN,
        VENDOR,
    ),
    key=("symbol", "vocabulary", "valid_from"),
    sort_by=("symbol", "vocabulary", "valid_from"),
    scope_columns=("symbol",),
)

FUNDAMENTALS = TableContract(
    name="fundamentals",
    store="master",
    description="Company metrics as a vendor told them, under the first session they can serve.",
    columns=(
        SYMBOL,
        SESSION,
        Column("metric", pl.String(), "Which metric", allowed=tuple(METRICS)),
        Column("value", pl.Float64(), "Its value, in the metric's unit (contracts/fundamentals)"),
        KNOWN,
        VENDOR,
    ),
    key=("symbol", "session", "metric"),
    sort_by=("symbol", "session", "metric"),
    span_column="session",
    scope_columns=("symbol",),
)

DATA_QUALITY_LOG = TableContract(
    name="data_quality_log",
    store="master",
    description="What ingestion noticed: absent data, failovers, disagreements, revisions.",
    columns=(
        SYMBOL,
        TIMEFRAME,
        Column("first_session", pl.Date(), "First session concerned"),
        Column("session", pl.Date(), "Last session concerned"),
        Column("kind", pl.String(), "What was noticed", allowed=QUALITY_KINDS),
        Column("ts", UTC_TIME, "Start of the bar concerned, or of the first session", "UTC"),
        Column("column", pl.String(), "Which value; `bar` or `session` where it is the whole"),
        Column("old_value", pl.Float64(), "Value stored, or of the other vendor", nullable=True),
        Column("new_value", pl.Float64(), "Value delivered", nullable=True),
        Column("vendor", pl.String(), "Who delivered, or said that there is nothing"),
        Column("other_vendor", pl.String(), "Who failed, or said the old value", nullable=True),
        Column("detail", pl.String(), "The reason in words"),
        Column("knowledge_ts", UTC_TIME, "When it was noticed", "UTC"),
        Column("event", pl.String(), "Digest of all but the time: noticed again, it is the same"),
    ),
    key=("event",),
    sort_by=("symbol", "timeframe", "session", "ts", "event"),
    span_column="session",
    scope_columns=("timeframe", "symbol"),
)

DB_METADATA = TableContract(
    name="db_metadata",
    store="master",
    description="The data dictionary: every column of every table of this store.",
    columns=(
        Column("table", pl.String(), "Table"),
        Column("column", pl.String(), "Column"),
        Column("position", pl.Int64(), "Place of the column, from 0", minimum=0),
        Column("dtype", pl.String(), "Type"),
        Column("unit", pl.String(), "Unit; empty where there is none"),
        Column("nullable", pl.Boolean(), "Whether values may be absent"),
        Column("in_key", pl.Boolean(), "Whether the column belongs to the key"),
        Column("description", pl.String(), "Meaning"),
        Column("table_description", pl.String(), "Meaning of the table"),
    ),
    key=("table", "column"),
    sort_by=("table", "position"),
)

PARTITION_STATUS = TableContract(
    name="partition_status",
    store="master",
    description="The ledger: for each cell what should exist, what does, a verdict and why.",
    columns=(
        SYMBOL,
        TIMEFRAME,
        SESSION,
        Column("expected_rows", pl.Int32(), "Candles that should exist", "count", minimum=0),
        Column("actual_rows", pl.Int32(), "Candles stored", "count", minimum=0),
        Column("verdict", pl.String(), "What to think of it", allowed=VERDICTS),
        Column("reasons", pl.String(), "Reason codes, comma-separated; empty when none"),
        Column("delivered_by", pl.String(), "Vendor of the candles", nullable=True),
        Column("checked_at", UTC_TIME, "When an audit found this", "UTC"),
        Column("store_version", pl.Int64(), "Version of candles that was audited", minimum=0),
    ),
    key=CELL,
    sort_by=("symbol", "session", "timeframe"),
    partition_by=("timeframe", "year"),
    span_column="session",
    scope_columns=("timeframe", "symbol"),
    layout=FileLayout(value_statistics=False),
)

AUDITS = TableContract(
    name="audits",
    store="master",
    description="What each audit looked at, and what it counted.",
    columns=(
        Column("audited_at", UTC_TIME, "When it began", "UTC"),
        Column("as_of_session", pl.Date(), "Last session that had closed then"),
        Column("first_session", pl.Date(), "First session it looked at"),
        Column("session", pl.Date(), "Last session it looked at"),
        Column("cells", pl.Int64(), "Cells looked at", "count", minimum=0),
        Column("changed", pl.Int64(), "Cells whose row in the ledger changed", minimum=0),
        Column("green", pl.Int64(), "Cells found GREEN", "count", minimum=0),
        Column("amber", pl.Int64(), "Cells found AMBER", "count", minimum=0),
        Column("red", pl.Int64(), "Cells found RED", "count", minimum=0),
        Column("rules_digest", pl.String(), "Digest of the configuration it judged by"),
        Column("store_versions", pl.String(), "JSON of {table: version} that it read"),
    ),
    key=("audited_at",),
    sort_by=("audited_at",),
    span_column="session",
)

MASTER_TABLES: Mapping[str, TableContract] = {
    t.name: t
    for t in (
        CANDLES,
        FUNDAMENTALS,
        SPLITS,
        DIVIDENDS,
        SYMBOL_METADATA,
        SECTOR_MAPPINGS,
        DATA_QUALITY_LOG,
        PARTITION_STATUS,
        AUDITS,
        DB_METADATA,
    )
}
