"""Splits and dividends as features and labels read them: without those not believed."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.curation import adjust_forward, usable_dividends
from turbomode_assets.sessions import NEW_YORK, sessions_of
from turbomode_assets.stores import MasterReader, PinnedRows


@dataclass(frozen=True)
class CorporateActions:
    """Events that prices are adjusted for, and FINDINGS about dividends that were not taken."""

    splits: PinnedRows
    dividends: PinnedRows
    usable: pl.DataFrame
    doubted: pl.DataFrame

    @property
    def reads(self) -> tuple[PinnedRows, PinnedRows]:
        """The tables they come from."""
        return self.splits, self.dividends

    @property
    def facts(self) -> dict[str, object]:
        """Table of the dividends that were repaired or left out, where there are any."""
        return {} if self.doubted.is_empty() else {"dividends_not_believed": self.doubted}

    def adjust(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Bars in forward-adjusted prices."""
        return adjust_forward(bars, self.splits.rows, self.usable)


def read_corporate_actions(
    store: MasterReader,
    config: CurationConfig,
    *,
    caller: str,
    versions: Mapping[str, int] | None = None,
) -> CorporateActions:
    """Read every event, at `versions` where given, and sort out dividends not believed."""
    splits, dividends = (
        store.read(name, caller=caller, version=(versions or {}).get(name))
        for name in ("splits", "dividends")
    )
    usable, doubted = usable_dividends(dividends.rows, config)
    return CorporateActions(splits, dividends, usable, doubted)


def delistings_of(universe: pl.DataFrame) -> pl.DataFrame:
    """Last session of every delisted symbol, and the session on which that became known."""
    gone = universe.filter(pl.col("last_session").is_not_null())
    days = gone.get_column("knowledge_ts").dt.convert_time_zone(NEW_YORK).dt.date()
    return gone.select("symbol", "last_session", sessions_of(days).alias("knowledge_session"))
