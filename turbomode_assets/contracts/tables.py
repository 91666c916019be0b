"""Every Delta table of the master store and of a tenant's lake."""

from collections.abc import Mapping, Sequence

import polars as pl

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.fundamentals import METRICS
from turbomode_assets.contracts.table import Column, FileLayout, TableContract
from turbomode_assets.contracts.timeframes import TIMEFRAMES

ADJUSTMENTS = ("raw", "split", "split_dividend")
SECTOR_VOCABULARIES = ("GICS", "Yahoo", "IBKR")
QUALITY_KINDS = ("no_data", "failover", "disagreement", "revision")
UTC_TIME = pl.Datetime("us", "UTC")

_SYMBOL = Column("symbol", pl.String(), "Ticker as the project spells it (BRK.B, BTC-USD)")
_SESSION = Column("session", pl.Date(), "XNYS session the row belongs to")
_VENDOR = Column("vendor", pl.String(), "Who delivered it; `simulated` marks a made-up market")
_KNOWN = Column("knowledge_ts", UTC_TIME, "When it became known to us or to the market", "UTC")
_TIMEFRAME = Column("timeframe", pl.String(), "Bar length", allowed=TIMEFRAMES)
_ADJUSTMENT = Column(
    "adjustment", pl.String(), "What the vendor already did to the price", allowed=ADJUSTMENTS
)
_ADJUSTED_AS_OF = Column(
    "adjusted_as_of", pl.Date(), "Up to which date it did so; null for raw", nullable=True
)


def _price(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, pl.Float64(), description, "USD", nullable, exclusive_minimum=0)


def _probability(name: str, description: str) -> Column:
    return Column(name, pl.Float64(), description, "probability", minimum=0, maximum=1)


CANDLE_LAYOUT = FileLayout(rows_per_group=16_384, rows_per_page=1_024)
"""Small groups and pages, of which a reader of one symbol skips almost all: twenty years of it take
less than half the time that they take with groups of 65,536 and pages of 20,000 rows."""

CANDLES = TableContract(
    name="candles",
    store="master",
    description="Price bars exactly as a vendor delivered them.",
    columns=(
        _SYMBOL,
        _TIMEFRAME,
        Column("ts", UTC_TIME, "Start of the bar", "UTC"),
        _SESSION,
        Column("open", pl.Float64(), "First price; null in a partial bar", "USD", nullable=True),
        Column("high", pl.Float64(), "Highest price; null in a partial bar", "USD", nullable=True),
        Column("low", pl.Float64(), "Lowest price; null in a partial bar", "USD", nullable=True),
        Column("close", pl.Float64(), "Last price; null in a partial bar", "USD", nullable=True),
        Column("volume", pl.Float64(), "Units traded", "shares", nullable=True, minimum=0),
        Column("vwap", pl.Float64(), "Vendor's own average price", "USD", nullable=True),
        Column("trades", pl.Int64(), "Number of trades", "count", nullable=True, minimum=0),
        _VENDOR,
        _ADJUSTMENT,
        _ADJUSTED_AS_OF,
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
        _SYMBOL,
        _SESSION,
        Column("ex_date", pl.Date(), "First day that trades in new shares"),
        Column("ratio", pl.Float64(), "New shares per old share", "ratio", exclusive_minimum=0),
        _KNOWN,
        _VENDOR,
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
        _SYMBOL,
        _SESSION,
        Column("ex_date", pl.Date(), "First day that trades without the dividend"),
        Column("amount", pl.Float64(), "Paid per share", "USD", exclusive_minimum=0),
        _price("previous_close", "Close before the ex-date in the amount's share basis"),
        _KNOWN,
        _VENDOR,
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
        _SYMBOL,
        Column("name", pl.String(), "Company or asset name", nullable=True),
        Column("asset_class", pl.String(), "What it is", allowed=("stock", "etf", "crypto")),
        Column("calendar", pl.String(), "Its own trading calendar", allowed=("XNYS", "24/7")),
        Column("role", pl.String(), "How we use it", allowed=("tradeable", "benchmark")),
        Column("first_session", pl.Date(), "First session with a bar", nullable=True),
        Column("last_session", pl.Date(), "Last session before delisting", nullable=True),
        _KNOWN,
        _VENDOR,
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
        _SYMBOL,
        Column("vocabulary", pl.String(), "Whose sector names", allowed=SECTOR_VOCABULARIES),
        Column("sector", pl.String(), "Sector name in that vocabulary"),
        Column("valid_from", pl.Date(), "First day of this sector"),
        Column(
            "valid_to", pl.Date(), "Last day of this sector; null while it holds", nullable=True
        ),
        _KNOWN,
        _VENDOR,
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
        _SYMBOL,
        _SESSION,
        Column("metric", pl.String(), "Which metric", allowed=tuple(METRICS)),
        Column("value", pl.Float64(), "Its value, in the metric's unit (contracts/fundamentals)"),
        _KNOWN,
        _VENDOR,
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
        _SYMBOL,
        _TIMEFRAME,
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

BARS = TableContract(
    name="bars",
    store="lake",
    description="One clean bar for each symbol and XNYS session, in unadjusted prices.",
    columns=(
        _SYMBOL,
        _SESSION,
        _price("open", "First price"),
        _price("high", "Highest price"),
        _price("low", "Lowest price"),
        _price("close", "Last price"),
        Column("volume", pl.Float64(), "Units traded", "shares", nullable=True, minimum=0),
        Column("dollar_volume", pl.Float64(), "close x volume", "USD", nullable=True, minimum=0),
        _ADJUSTMENT,
        _ADJUSTED_AS_OF,
        Column("repairs", pl.String(), "Reason codes of what curation changed", nullable=True),
        _VENDOR,
    ),
    key=("symbol", "session"),
    sort_by=("symbol", "session"),
    partition_by=("year",),
    span_column="session",
)

REPAIRS = TableContract(
    name="repairs",
    store="lake",
    description="Every value that curation changed and every candle that it left out.",
    columns=(
        _SYMBOL,
        _SESSION,
        Column("ts", UTC_TIME, "Start of the candle concerned", "UTC"),
        Column("reason", pl.String(), "Reason code"),
        Column("column", pl.String(), "Which value changed; `row` where the candle was left out"),
        Column("old_value", pl.Float64(), "Value as delivered", "USD", nullable=True),
        Column("new_value", pl.Float64(), "Value in bars; null if left out", "USD", nullable=True),
    ),
    key=("symbol", "ts", "reason", "column"),
    sort_by=("symbol", "ts", "column", "reason"),
    partition_by=("year",),
    span_column="session",
)

FEATURE_HEALTH = TableContract(
    name="feature_health",
    store="lake",
    description="How each feature looked across symbols, and the feature set it belongs to.",
    columns=(
        _SESSION,
        Column("feature", pl.String(), "Feature name"),
        Column("feature_digest", pl.String(), "Digest of the feature set that was computed"),
        Column("rows", pl.Int64(), "Symbols with a bar", "count", minimum=1),
        Column("missing", pl.Float64(), "Share of symbols without a value", minimum=0, maximum=1),
        Column("mean", pl.Float64(), "Mean of the values", nullable=True),
        Column("std", pl.Float64(), "Standard deviation (ddof 1)", nullable=True, minimum=0),
        Column("q05", pl.Float64(), "5 % quantile", nullable=True),
        Column("q25", pl.Float64(), "25 % quantile", nullable=True),
        Column("q50", pl.Float64(), "Median", nullable=True),
        Column("q75", pl.Float64(), "75 % quantile", nullable=True),
        Column("q95", pl.Float64(), "95 % quantile", nullable=True),
    ),
    key=("session", "feature"),
    sort_by=("session", "feature"),
    partition_by=("year",),
    span_column="session",
)

LABELS = TableContract(
    name="labels",
    store="lake",
    description="Triple-barrier outcomes, stored under the session on which they became known.",
    columns=(
        _SYMBOL,
        _SESSION,
        Column("decision_session", pl.Date(), "Session at whose close the decision is taken"),
        Column("entry_session", pl.Date(), "Session of the entry"),
        Column("exit_session", pl.Date(), "Session of the exit price"),
        Column(
            "label",
            pl.Int8(),
            "0 SELL (stop), 1 HOLD (neither), 2 BUY (profit)",
            minimum=0,
            maximum=2,
        ),
        Column(
            "exit_reason",
            pl.String(),
            "Which barrier ended it",
            allowed=("profit_take", "stop_loss", "expiry", "delisting"),
        ),
        _price("entry_price", "Entry price, forward-adjusted"),
        _price("exit_price", "Exit price, forward-adjusted"),
        Column("return", pl.Float64(), "exit_price / entry_price - 1", "fraction"),
        Column("volatility", pl.Float64(), "Daily volatility known at the decision", "fraction"),
    ),
    key=("symbol", "decision_session"),
    sort_by=("symbol", "decision_session"),
    partition_by=("year",),
    span_column="session",
)

LABEL_RULES = TableContract(
    name="label_rules",
    store="lake",
    description="Which rule the labels of each session were made by; absent: not made.",
    columns=(
        _SESSION,
        Column("rule_digest", pl.String(), "Digest of the triple_barrier section"),
        Column("labels", pl.Int64(), "Labels that became known", "count", minimum=0),
    ),
    key=("session",),
    sort_by=("session",),
    partition_by=("year",),
    span_column="session",
)

PREDICTIONS = TableContract(
    name="predictions",
    store="lake",
    description="The champion's probabilities and decision for each symbol and session.",
    columns=(
        _SYMBOL,
        _SESSION,
        Column("signal", pl.String(), "Decision", allowed=CLASSES),
        _probability("p_sell", "Probability of touching the stop first"),
        _probability("p_hold", "Probability of touching neither barrier"),
        _probability("p_buy", "Probability of touching the profit barrier"),
        Column("model_version", pl.String(), "Ensemble that made it"),
        Column("feature_digest", pl.String(), "Feature set it read"),
        Column("config_digest", pl.String(), "Training configuration of the ensemble"),
        Column("store_versions", pl.String(), "JSON of {table: version} that was read"),
        _VENDOR,
    ),
    key=("symbol", "session"),
    sort_by=("symbol", "session"),
    partition_by=("year",),
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
        DB_METADATA,
    )
}


FEATURE_LAYOUT = FileLayout(
    rows_per_group=32_768,
    rows_per_block=131_072,
    rows_per_page=4_096,
    compression="UNCOMPRESSED",
    value_statistics=False,
)
"""Blocks of half a year of a thousand symbols, each cut into four groups of symbols: one session is
read from one block, one symbol from a quarter of every block. Floats hardly shrink, and reading
them compressed took more than twice the time."""


def features_table(feature_names: Sequence[str]) -> TableContract:
    """Contract of the feature matrix: NaN marks a window that is not complete."""
    return TableContract(
        name="features",
        store="lake",
        description="The feature matrix: one row for each symbol and session with a bar.",
        columns=(
            _SYMBOL,
            _SESSION,
            *(
                Column(name, pl.Float32(), f"Feature {name}", nan_allowed=True)
                for name in feature_names
            ),
        ),
        key=("symbol", "session"),
        sort_by=("symbol", "session"),
        partition_by=("year",),
        span_column="session",
        layout=FEATURE_LAYOUT,
    )


def lake_tables(feature_names: Sequence[str]) -> dict[str, TableContract]:
    """Every table of a tenant's lake."""
    tables = (
        BARS,
        REPAIRS,
        features_table(feature_names),
        FEATURE_HEALTH,
        LABELS,
        LABEL_RULES,
        PREDICTIONS,
    )
    return {table.name: table for table in tables}
