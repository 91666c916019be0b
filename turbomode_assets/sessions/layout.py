"""Every session of XNYS with its open and close, as exchange-calendars lays them out.

Laying them out takes a second; `xnys.npz` holds what came of it for the version of
exchange-calendars that it names. With any other version installed they are laid out anew.

Arrays, not frames: modules need sessions when they are imported, and a process in which polars has
worked must not be forked.
"""

import datetime as dt
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CALENDAR_START = dt.date(1999, 1, 4)
"""A year before the first partition, so that its look-back has sessions to name."""
CALENDAR_END = dt.date(2032, 12, 31)
"""How far holidays are laid out; move it on before it is less than a year away."""
STORED = Path(__file__).with_name("xnys.npz")
_LIBRARY = "exchange_calendars"


@dataclass(frozen=True)
class SessionLayout:
    """Days, opens and closes (microseconds, UTC) of all sessions, in order."""

    sessions: NDArray[np.datetime64]
    opens: NDArray[np.datetime64]
    closes: NDArray[np.datetime64]


def xnys_layout(path: Path = STORED) -> SessionLayout:
    """Read how the sessions lie; lay them out where the file is of another library."""
    with np.load(path) as stored:
        if str(stored["inputs"]) != _inputs():
            return laid_out()
        return SessionLayout(stored["sessions"], stored["opens"], stored["closes"])


def laid_out() -> SessionLayout:
    """Lay the sessions out by the installed exchange-calendars."""
    # It comes with pandas, which nobody needs to wait for where they are stored.
    import exchange_calendars

    xnys = exchange_calendars.get_calendar(
        "XNYS", start=CALENDAR_START.isoformat(), end=CALENDAR_END.isoformat()
    )
    opens, closes = (
        given.dt.tz_convert(None).to_numpy().astype("datetime64[us]")
        for given in (xnys.opens, xnys.closes)
    )
    return SessionLayout(xnys.sessions.to_numpy().astype("datetime64[D]"), opens, closes)


def store_layout(path: Path = STORED) -> None:
    """Lay the sessions out into a file, which names what they hang on."""
    layout = laid_out()
    np.savez_compressed(
        path,
        inputs=np.array(_inputs()),
        sessions=layout.sessions,
        opens=layout.opens,
        closes=layout.closes,
    )


def _inputs() -> str:
    """What the layout hangs on."""
    version = importlib.metadata.version(_LIBRARY)
    return f"{_LIBRARY} {version}, {CALENDAR_START} to {CALENDAR_END}"
