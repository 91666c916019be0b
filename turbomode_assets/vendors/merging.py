"""What is known already, and what a vendor says now, in one history that forgets nothing."""

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl

from turbomode_assets.contracts.tables import SECTOR_MAPPINGS, SYMBOL_METADATA
from turbomode_assets.sessions import NEW_YORK

_KNOWN_TYPE = SYMBOL_METADATA.schema["knowledge_ts"]


def merge_metadata(
    stored: pl.DataFrame, fetched: pl.DataFrame, known_at: dt.datetime
) -> pl.DataFrame:
    """Rows of `symbol_metadata` as fetched, each change known from `known_at` on.

    A symbol that is new to us keeps the knowledge time that the fetch gave it. One that we knew
    otherwise (a delisting above all) became known only now: past sessions did not know it.
    """
    said = [name for name in SYMBOL_METADATA.column_names if name != "knowledge_ts"]
    unchanged = fetched.join(stored, on=said, how="semi", nulls_equal=True)
    news = pl.col("symbol").is_in(stored.get_column("symbol").implode()) & ~pl.col("symbol").is_in(
        unchanged.get_column("symbol").implode()
    )
    now = pl.lit(known_at).cast(_KNOWN_TYPE)
    return fetched.with_columns(
        knowledge_ts=pl.when(news).then(now).otherwise("knowledge_ts")
    ).sort(SYMBOL_METADATA.sort_by)


def merge_sector_mappings(
    stored: pl.DataFrame, fetched: pl.DataFrame, known_at: dt.datetime
) -> pl.DataFrame:
    """Rows of `sector_mappings` with every earlier sector of a symbol kept.

    Where the fetched sector is the one in force, nothing changes. Where it differs, the one in
    force ends on the day before `known_at` (New York), and the new one begins on that day.
    """
    today = known_at.astimezone(ZoneInfo(NEW_YORK)).date()
    in_force = stored.filter(pl.col("valid_to").is_null())
    same = fetched.join(in_force, on=["symbol", "sector"], how="semi")
    changed = fetched.join(same, on="symbol", how="anti").join(in_force, on="symbol", how="semi")
    begun = changed.with_columns(
        valid_from=pl.lit(today),
        knowledge_ts=pl.lit(known_at).cast(SECTOR_MAPPINGS.schema["knowledge_ts"]),
    )
    moved = pl.col("symbol").is_in(changed.get_column("symbol").implode())
    ended = pl.col("valid_to").is_null() & moved
    kept = stored.with_columns(
        valid_to=pl.when(ended).then(pl.lit(today - dt.timedelta(days=1))).otherwise("valid_to")
    ).filter(pl.col("valid_to").is_null() | (pl.col("valid_to") >= pl.col("valid_from")))
    new = fetched.join(in_force, on="symbol", how="anti")
    return (
        pl.concat([kept, begun, new])
        .unique(["symbol", "valid_from"], keep="last", maintain_order=True)
        .select(SECTOR_MAPPINGS.column_names)
        .sort(SECTOR_MAPPINGS.sort_by)
    )
