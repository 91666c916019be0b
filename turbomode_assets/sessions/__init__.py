"""Every question about trading time: sessions, their order, opens and closes.

A session is one trading day of XNYS, named by its date. What happens outside sessions (weekend
candles of a 24/7 instrument) belongs to the next session: partition T covers (previous, T].
"""

from turbomode_assets.sessions.calendar import (
    FIRST_SESSION,
    NEW_YORK,
    closures,
    is_session,
    last_closed_session,
    offset_session,
    require_session,
    session_close,
    session_closes,
    session_index,
    session_indices,
    session_of,
    session_open,
    session_opens,
    sessions_between,
    sessions_of,
)
from turbomode_assets.sessions.intraday import MINUTES_PER_DAY, bars_in_sessions, session_minutes
from turbomode_assets.sessions.layout import CALENDAR_END
from turbomode_assets.sessions.span import SessionSpan

__all__ = [
    "CALENDAR_END",
    "FIRST_SESSION",
    "MINUTES_PER_DAY",
    "NEW_YORK",
    "SessionSpan",
    "bars_in_sessions",
    "closures",
    "is_session",
    "last_closed_session",
    "offset_session",
    "require_session",
    "session_close",
    "session_closes",
    "session_index",
    "session_indices",
    "session_minutes",
    "session_of",
    "session_open",
    "session_opens",
    "sessions_between",
    "sessions_of",
]
