"""Every Delta table of a tenant's lake."""

import dataclasses
from collections.abc import Sequence

import polars as pl

from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.table import Column, FileLayout, TableContract
from turbomode_assets.contracts.tables.common import (
    ADJUSTED_AS_OF,
    ADJUSTMENT,
    SESSION,
    SYMBOL,
    UTC_TIME,
    VENDOR,
    price,
    probability,
)

BARS = TableContract(
    name="bars",
    store="lake",
    description="One clean bar for each symbol and XNYS session, in unadjusted prices.",
    columns=(
        SYMBOL,
        SESSION,
        price("open", "First price"),
        price("high", "Highest price"),
        price("low", "Lowest price"),
        price("close", "Last price"),
        Column("volume", pl.Float64(), "Units traded", "shares", nullable=True, minimum=0),
        Column("dollar_volume", pl.Float64(), "close x volume", "USD", nullable=True, minimum=0),
        ADJUSTMENT,
        ADJUSTED_AS_OF,
        Column("repairs", pl.String(), "Reason codes of what curation changed", nullable=True),
        VENDOR,
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
        SYMBOL,
        SESSION,
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
        SESSION,
        Column("feature", pl.String(), "Feature name"),
        Column("feature_digest", pl.String(), "Digest of the feature set that was computed"),
        Column(
            "column_digest",
            pl.String(),
            "Digest of the formula that the column holds; null in rows of before there were any",
            nullable=True,
        ),
        Column(
            "bars_digest",
            pl.String(),
            "Digest of the session's adjusted bars; null in rows of before there were any",
            nullable=True,
        ),
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
        SYMBOL,
        SESSION,
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
        price("entry_price", "Entry price, forward-adjusted"),
        price("exit_price", "Exit price, forward-adjusted"),
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
        SESSION,
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
    description="What went out for each symbol and session: probabilities and decision.",
    columns=(
        SYMBOL,
        SESSION,
        Column("signal", pl.String(), "Decision", allowed=CLASSES),
        probability("p_sell", "Probability of touching the stop first"),
        probability("p_hold", "Probability of touching neither barrier"),
        probability("p_buy", "Probability of touching the profit barrier"),
        Column("model_version", pl.String(), "Ensemble that made it"),
        Column("feature_digest", pl.String(), "Feature set it read"),
        Column("config_digest", pl.String(), "Training configuration of the ensemble"),
        Column("store_versions", pl.String(), "JSON of {table: version} that was read"),
        VENDOR,
        Column(
            "gate_override",
            pl.String(),
            "Why data below the GREEN threshold was used, for it or its model; null: it was not",
            nullable=True,
        ),
    ),
    key=("symbol", "session"),
    sort_by=("symbol", "session"),
    partition_by=("year",),
    span_column="session",
)

SHADOW_PREDICTIONS = dataclasses.replace(
    PREDICTIONS,
    name="shadow_predictions",
    description="What the challenger said for each symbol and session of its shadow period.",
)

MODEL_PROBABILITIES = TableContract(
    name="model_probabilities",
    store="lake",
    description="What each base model said behind each signal that went out.",
    columns=(
        SYMBOL,
        SESSION,
        Column("place", pl.Int64(), "Place of the base model in the ensemble, from 1", minimum=1),
        Column("model", pl.String(), "Base model"),
        probability("p_sell", "Probability of touching the stop first"),
        probability("p_hold", "Probability of touching neither barrier"),
        probability("p_buy", "Probability of touching the profit barrier"),
        Column("model_version", pl.String(), "Ensemble that it belongs to"),
    ),
    key=("symbol", "session", "place"),
    sort_by=("symbol", "session", "place"),
    partition_by=("year",),
    span_column="session",
)

CONTRIBUTIONS = TableContract(
    name="contributions",
    store="lake",
    description="The features that moved each signal that went out most, on the side of the signal;"
    " of HOLD on both.",
    columns=(
        SYMBOL,
        SESSION,
        Column("class", pl.String(), "Side that is explained", allowed=CLASSES),
        Column("rank", pl.Int64(), "1 moved it most", minimum=1),
        Column("feature", pl.String(), "Feature"),
        Column("value", pl.Float32(), "Its value; null where it is missing", nullable=True),
        Column(
            "contribution",
            pl.Float64(),
            "Mean SHAP contribution over the models that have exact ones",
            "log-odds",
        ),
        Column(
            "formula",
            pl.String(),
            "Formula it was computed by; null where the model's was no longer declared",
            nullable=True,
        ),
        Column("model_version", pl.String(), "Ensemble that is explained"),
    ),
    key=("symbol", "session", "class", "rank"),
    sort_by=("symbol", "session", "class", "rank"),
    partition_by=("year",),
    span_column="session",
)

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
    """Contract of the feature matrix: NaN marks a window that is not complete.

    Null is what was not computed in a session: a feature declared since, or a column that nobody
    reads any more. Beside the declared features a table holds those that were declared once, and
    formulas of before a change, which models still read, as `<name>__<first 8 of digest>`.
    """
    return TableContract(
        name="features",
        store="lake",
        description="The feature matrix: one row for each symbol and session with a bar.",
        columns=(
            SYMBOL,
            SESSION,
            *(
                Column(name, pl.Float32(), f"Feature {name}", nan_allowed=True)
                for name in feature_names
            ),
        ),
        further=Column(
            "", pl.Float32(), "Feature of another program", nullable=True, nan_allowed=True
        ),
        key=("symbol", "session"),
        sort_by=("symbol", "session"),
        partition_by=("year",),
        span_column="session",
        layout=FEATURE_LAYOUT,
    )


def lake_tables(feature_names: Sequence[str] = ()) -> dict[str, TableContract]:
    """Every table of a tenant's lake; who names no features reads them as they are stored."""
    tables = (
        BARS,
        REPAIRS,
        features_table(feature_names),
        FEATURE_HEALTH,
        LABELS,
        LABEL_RULES,
        PREDICTIONS,
        SHADOW_PREDICTIONS,
        MODEL_PROBABILITIES,
        CONTRIBUTIONS,
    )
    return {table.name: table for table in tables}
