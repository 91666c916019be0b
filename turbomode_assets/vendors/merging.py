"""What is known already, and what a vendor says now, in one history that forgets nothing."""

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl

from turbomode_assets.contracts.tables import SECTOR_MAPPINGS, SYMBOL_METADATA
from turbomode_assets.sessions import NEW_YORK

_MAPPED = ["symbol", "vocabulary"]
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
    """Rows of `sector_mappings`, by vocabulary, with every earlier sector of a symbol kept.

    Where the fetched sector is the one in force, nothing changes. Where it differs, the one in
    force ends on the day before `known_at` (New York), and the new one begins on that day.
    """
    today = known_at.astimezone(ZoneInfo(NEW_YORK)).date()
    in_force = stored.filter(pl.col("valid_to").is_null())
    same = fetched.join(in_force, on=[*_MAPPED, "sector"], how="semi")
    changed = fetched.join(same, on=_MAPPED, how="anti").join(in_force, on=_MAPPED, how="semi")
    begun = changed.with_columns(
        valid_from=pl.lit(today),
        knowledge_ts=pl.lit(known_at).cast(SECTOR_MAPPINGS.schema["knowledge_ts"]),
    )
    moved = changed.select(*_MAPPED, moved=pl.lit(True))
    stored = stored.join(moved, on=_MAPPED, how="left", validate="m:1")
    ended = pl.col("valid_to").is_null() & pl.col("moved").fill_null(False)
    kept = stored.with_columns(
        valid_to=pl.when(ended).then(pl.lit(today - dt.timedelta(days=1))).otherwise("valid_to")
    ).filter(pl.col("valid_to").is_null() | (pl.col("valid_to") >= pl.col("valid_from")))
    kept = kept.drop("moved")
    new = fetched.join(in_force, on=_MAPPED, how="anti")
    return (
        pl.concat([kept, begun, new])
        .unique([*_MAPPED, "valid_from"], keep="last", maintain_order=True)
        .select(SECTOR_MAPPINGS.column_names)
        .sort(SECTOR_MAPPINGS.sort_by)
    )
