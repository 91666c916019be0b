"""Real files of one vendor with known defects, brought into the project's frames."""

import csv
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from turbomode_assets.config.curation import CurationConfig
from turbomode_assets.contracts.columns import PRICES
from turbomode_assets.contracts.tables import DIVIDENDS, SPLITS
from turbomode_assets.curation import screen_adjusted_closes, screen_bars, screen_dividends
from turbomode_assets.curation.screening_context import split_product
from turbomode_assets_tests.builders import fill_columns
from turbomode_assets_tests.curation.builders import ARRIVED


@dataclass(frozen=True)
class DirtyFile:
    """Rows with symbol, day (exchange time), prices, volume, adjusted_close; and the events."""

    rows: pl.DataFrame
    splits: pl.DataFrame
    dividends: pl.DataFrame


def listed(folder: Path) -> list[dict[str, str]]:
    """Rows of the folder's INDEX.csv."""
    with (folder / "INDEX.csv").open(encoding="utf-8") as index:
        return list(csv.DictReader(index))


def read_dirty(path: Path) -> DirtyFile:
    """Rows by day; prices are the vendor's: split-adjusted as of the file's last day."""
    table = pl.read_csv(path, infer_schema=False)
    numbers = {
        name: pl.col(title).cast(pl.Float64)
        for name, title in {
            **{name: name.capitalize() for name in PRICES},
            "adjusted_close": "Adj Close",
            "volume": "Volume",
            "dividend": "Dividends",
            "ratio": "Stock Splits",
        }.items()
    }
    rows = table.select(
        symbol=pl.lit(path.name.split("-1")[0]),
        day=pl.col(table.columns[0]).str.slice(0, 19).str.to_datetime(),
        **numbers,
    ).sort("day")
    dated = rows.with_columns(
        ex_date=pl.col("day").cast(pl.Date),
        session=pl.col("day").cast(pl.Date),
        previous_close=pl.col("close").forward_fill().shift(1),
        amount="dividend",
        knowledge_ts=pl.lit(ARRIVED),
        vendor=pl.lit("yahoo"),
    )
    last = pl.col("day").max().cast(pl.Date)
    return DirtyFile(
        rows.with_columns(adjusted_as_of=last),
        fill_columns(SPLITS, dated.filter(pl.col("ratio") > 0), is_checked=False),
        fill_columns(
            DIVIDENDS,
            dated.filter((pl.col("dividend") > 0) & (pl.col("previous_close") > 0)),
            is_checked=False,
        ),
    )


def unadjusted(file: DirtyFile) -> pl.DataFrame:
    """Bars in the shares of their day: symbol, session, prices."""
    days = file.rows.with_columns(day=pl.col("day").cast(pl.Date), split_through="adjusted_as_of")
    product = split_product(days, file.splits)
    return days.select("symbol", *(pl.col(name) * product for name in PRICES), session="day")


def found_in(file: DirtyFile, config: CurationConfig) -> dict[str, pl.DataFrame]:
    """Findings of every audit: on the bars, the dividends and the adjusted closes."""
    none = SPLITS.empty()
    return {
        "bars": screen_bars(file.rows, file.splits, file.dividends, config),
        "dividends": screen_dividends(file.dividends, unadjusted(file), file.splits, config),
        "adjusted_closes": screen_adjusted_closes(file.rows, file.dividends, none, config),
    }
