"""How reports write numbers, shares and vendors. No pictures: what prints text loads none."""

from collections.abc import Collection

import polars as pl

from turbomode_assets.contracts.columns import VENDOR
from turbomode_assets.contracts.errors import InputError

SIMULATED = "simulated"


def vendor_mark(frame: pl.DataFrame, vendors: Collection[str] | None) -> str:
    """Name the vendors behind a frame: `vendors`, or else its own vendor column.

    Raises:
        InputError: neither is there; a picture never leaves open whether a market was made up.
    """
    if vendors is None:
        if VENDOR not in frame.columns:
            raise InputError(
                "the frame does not say which vendors its values come from",
                where="reports",
                fix="pass vendors=, for example the vendors of the bars behind it",
            )
        vendors = frame[VENDOR].drop_nulls().unique().to_list()
    return f"vendor={', '.join(sorted(set(vendors))) or 'none'}"


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 symbol`, `2,500 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def share_text(count: int, total: int) -> str:
    """Write a share in percent; what is not all is never rounded to 100 %, nor some to 0 %."""
    percent = 100 * count / total
    if 0 < percent < 0.005:
        return "<0.01 %"
    if 99.995 <= percent < 100:
        return ">99.99 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.2f} %"


def percent_tick(value: float) -> str:
    """Write a tick of shares with no more digits than it needs."""
    return f"{100 * value:.10g} %"


def amount_tick(value: float) -> str:
    """Write a tick of amounts shortly: 1.25M, 104.5k, 950."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{suffix}"
    return f"{value:.6g}"
