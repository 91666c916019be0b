"""The completeness view: what is there and what is not, over everything that is stored."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl

from turbomode_assets.completeness import (
    age_of_data,
    month_counts,
    reason_counts,
    vendors_of,
    verdict_counts,
)
from turbomode_assets.orchestration.assets.metadata import OWNERS, inline_picture, store_picture
from turbomode_assets.orchestration.boundary import explained
from turbomode_assets.orchestration.resources.stores import (
    ArtifactsResource,
    LakeResource,
    MasterReaderResource,
)
from turbomode_assets.reports import (
    age_picture,
    coverage_heatmap,
    month_table_heatmap,
    preview_markdown,
    reason_breakdown,
)
from turbomode_assets.stores import Lake

DERIVED = ("bars", "features", "labels", "predictions")
OLDEST_SHOWN = 10


@dg.asset(
    group_name="quality",
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    kinds={"polars"},
    owners=OWNERS,
    deps=["audit", "bars", "features", "labels"],
)
@explained
def completeness(
    master: MasterReaderResource, lake_store: LakeResource, artifacts: ArtifactsResource
) -> dg.MaterializeResult[None]:
    """Coverage by session and symbol and by month and table, reasons, and the age of the data."""
    store, lake = master.open(), lake_store.open()
    ledger = store.read("partition_status", caller="completeness").rows
    span = store.stored_span("partition_status")
    assert span is not None  # reading the ledger refuses one that was never written
    last = span.last
    ages = age_of_data(ledger, last).sort("sessions_behind", descending=True)
    pictures: dict[str, Callable[[], bytes]] = {
        "coverage": lambda: coverage_heatmap(ledger, timeframe=_shown(ledger)),
        "coverage_by_month": lambda: month_table_heatmap(
            _month_shares(ledger, lake), vendors=vendors_of(ledger)
        ),
        "reasons": lambda: reason_breakdown(ledger),
        "age": lambda: age_picture(ledger, last),
    }
    folder = artifacts.open().reports / "completeness"
    facts: dict[str, Any] = {
        "sessions": str(span),
        "cells": ledger.height,
        "reason_counts": dg.MetadataValue.md(preview_markdown(reason_counts(ledger), rows=50)),
        "oldest": dg.MetadataValue.md(preview_markdown(ages, rows=OLDEST_SHOWN)),
        "files": dg.MetadataValue.path(str(folder)),
    }
    for name, draw in pictures.items():
        facts[name] = inline_picture(name, store_picture(draw, folder / f"{name}.png"))
    return dg.MaterializeResult(metadata=facts)


def _shown(ledger: pl.DataFrame) -> str:
    """The longest timeframe of the ledger: the one that carries the graph."""
    names = set(ledger["timeframe"].unique())
    return next(name for name in ("1d", "1h", "1m") if name in names)


def _month_shares(ledger: pl.DataFrame, lake: Lake) -> pl.DataFrame:
    """GREEN share of each month's candles, and share of its sessions that derived tables have."""
    counts, month = verdict_counts(ledger), pl.col("session").dt.truncate("1mo")
    sessions = counts.select("session").unique().sort("session")
    frames = [
        month_counts(counts).select(
            "month",
            table="candles " + pl.col("timeframe"),
            share=pl.col("GREEN") / pl.col("cells"),
        )
    ]
    for table in DERIVED:
        stored = lake.stored_sessions(table)
        if len(stored):
            begun = sessions.filter(pl.col("session") >= stored[0])
            is_stored = pl.col("session").is_in(stored.implode())
            shares = begun.group_by(month=month, maintain_order=True).agg(share=is_stored.mean())
            frames.append(shares.select("month", table=pl.lit(table), share="share"))
    return pl.concat(frames)
