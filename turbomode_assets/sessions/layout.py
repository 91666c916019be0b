"""Every session of XNYS with its open and close, as exchange-calendars lays them out.

Laying them out takes a second; `xnys.parquet` holds what came of it for the version of
exchange-calendars that it names. With any other version installed they are laid out anew.
"""

import datetime as dt
import importlib.metadata
from pathlib import Path

import polars as pl

CALENDAR_START = dt.date(1999, 1, 4)
"""A year before the first partition, so that its look-back has sessions to name."""
CALENDAR_END = dt.date(2032, 12, 31)
"""How far holidays are laid out; move it on before it is less than a year away."""
STORED = Path(__file__).with_name("xnys.parquet")
_LIBRARY = "exchange_calendars"


def xnys_layout(path: Path = STORED) -> pl.DataFrame:
    """Give `session` (date), `open` and `close` (microseconds, UTC), in order."""
    fits = _inputs().items() <= pl.read_parquet_metadata(path).items()
    return pl.read_parquet(path) if fits else laid_out()


def laid_out() -> pl.DataFrame:
    """Lay the sessions out by the installed exchange-calendars."""
    # It comes with pandas, which nobody needs to wait for where they are stored.
    import exchange_calendars

    xnys = exchange_calendars.get_calendar(
        "XNYS", start=CALENDAR_START.isoformat(), end=CALENDAR_END.isoformat()
    )
    times = {
        name: pl.Series(given.dt.tz_convert(None).to_numpy().astype("datetime64[us]"))
        for name, given in (("open", xnys.opens), ("close", xnys.closes))
    }
    sessions = pl.Series([stamp.date() for stamp in xnys.sessions], dtype=pl.Date)
    return pl.DataFrame({"session": sessions} | times).with_columns(
        pl.col(*times).dt.replace_time_zone("UTC")
    )


def store_layout(path: Path = STORED) -> None:
    """Lay the sessions out into a file, which names what they hang on."""
    laid_out().write_parquet(path, metadata=_inputs())


def _inputs() -> dict[str, str]:
    """What the layout hangs on."""
    return {
        _LIBRARY: importlib.metadata.version(_LIBRARY),
        "start": str(CALENDAR_START),
        "end": str(CALENDAR_END),
    }
