"""Small Markdown tables for asset metadata."""

import polars as pl

from turbomode_assets.contracts.columns import SESSION, SYMBOL
from turbomode_assets.reports.wording import vendor_mark

SHOWN_COLUMNS = 9
SIGNAL_COLUMNS = (
    "rank",
    SYMBOL,
    "signal",
    "confidence",
    "entry_session",
    "entry_price_estimate",
    "profit_take_price",
    "stop_loss_price",
    "expiry_session",
)
"""What is shown of a BUY or SELL."""


def preview_markdown(frame: pl.DataFrame, rows: int = 5) -> str:
    """Show the first rows as a Markdown table, and how much more there is.

    Numbers have four significant digits; null and NaN are written as such. At most
    `SHOWN_COLUMNS` columns are shown.
    """
    shown = frame.head(rows).select(frame.columns[:SHOWN_COLUMNS])
    more = []
    if frame.height > shown.height:
        more.append(f"{frame.height - shown.height:,} more rows")
    if frame.width > shown.width:
        more.append(f"{frame.width - shown.width} more columns")
    table = _table(shown)
    return f"{table}\n\n... {', '.join(more)}" if more else table


def signal_table(signals: pl.DataFrame, rows: int = 30) -> str:
    """List BUY and SELL of the last session by their rank, and count the HOLDs.

    Reads the predictions table with what is traded on each row, and its rank. The first line names
    session, counts and vendors.
    """
    if signals.is_empty():
        return "no predictions"
    last = signals.filter(pl.col(SESSION) == pl.col(SESSION).max())
    signalled = last.filter(pl.col("signal") != "HOLD").sort("rank")
    counts = [last.filter(signal=kind).height for kind in ("BUY", "SELL", "HOLD")]
    head = (
        f"**{last[SESSION][0]}**: {counts[0]} BUY, {counts[1]} SELL, {counts[2]} HOLD"
        f" ({vendor_mark(last, None)})"
    )
    if signalled.is_empty():
        return head
    shown = signalled.head(rows).select(SIGNAL_COLUMNS)
    more = f"\n\n... {signalled.height - rows} more" if signalled.height > rows else ""
    return f"{head}\n\n{_table(shown)}{more}"


def _table(frame: pl.DataFrame) -> str:
    names = [_cell(name) for name in frame.columns]
    numeric = [dtype.is_numeric() for dtype in frame.dtypes]
    rule = ["---:" if right else "---" for right in numeric]
    lines = [names, rule, *([_cell(value) for value in row] for row in frame.iter_rows())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return "NaN" if value != value else _number(value)
    return str(value).replace("|", "\\|").replace("\n", " ")


def _number(value: float) -> str:
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
