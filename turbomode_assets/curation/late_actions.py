"""Late corporate actions: what changed in the events of the past, and which sessions that touches.

A late event rewrites no bar: from its ex-date on, forward-adjusted prices change by a constant, so
only windows with bars on both sides of the ex-date see a difference.
"""

import datetime as dt

import polars as pl

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.sessions import SessionSpan, offset_session, session_index

_KEY = ["symbol", "kind", "ex_date"]


def late_actions(
    before_splits: pl.DataFrame,
    before_dividends: pl.DataFrame,
    splits: pl.DataFrame,
    dividends: pl.DataFrame,
    *,
    known_through: dt.date,
) -> pl.DataFrame:
    """List events of sessions up to `known_through` that are new, changed or withdrawn.

    The frames are two snapshots of the tables splits and dividends; `known_through` is the last
    session that was computed with the earlier one. A later event is not late.

    Returns:
        symbol, kind (`split` or `dividend`), ex_date, session, old_value and new_value, sorted by
        the first three. The value is what the factor is made of, the split's ratio or the dividend
        as a share of the previous close; null where the snapshot has no such event. Values are
        compared to the last bit, as forward-adjusted prices are.
    """
    old = _values(before_splits, before_dividends).rename({"value": "old_value"})
    new = _values(splits, dividends).rename({"value": "new_value"})
    changed = pl.col("old_value").ne_missing(pl.col("new_value"))
    return (
        old.join(new, on=_KEY, how="full", coalesce=True, validate="1:1", suffix="_now")
        .with_columns(session=pl.coalesce("session_now", "session"))
        .filter(changed & (pl.col("session") <= known_through))
        .select(*_KEY, "session", "old_value", "new_value")
        .sort(_KEY)
    )


def straddling_sessions(
    ex_session: dt.date, window_sessions: int, *, last: dt.date
) -> SessionSpan | None:
    """Sessions up to `last` whose window of so many bars has bars on both sides of the ex-date.

    `ex_session` is the event's session, the first whose bar it acts on. The window of session t is
    the bars of t and the sessions before it, so these are ex_session ... ex_session + window - 2.
    None where there is no such session: a window of one bar has one side only.

    Raises:
        InputError: the window has no bar, or `ex_session` or `last` is no session.
    """
    if window_sessions < 1:
        raise InputError(
            f"a window of {window_sessions} sessions",
            where="straddling_sessions",
            fix="count the session's own bar too: the shortest window is 1",
        )
    after = min(window_sessions - 2, session_index(last) - session_index(ex_session))
    return SessionSpan(ex_session, offset_session(ex_session, after)) if after >= 0 else None


def _values(splits: pl.DataFrame, dividends: pl.DataFrame) -> pl.DataFrame:
    share = pl.col("amount") / pl.col("previous_close")
    return pl.concat(
        _value(events, kind, value)
        for events, kind, value in (
            (splits, "split", pl.col("ratio")),
            (dividends, "dividend", share),
        )
    )


def _value(events: pl.DataFrame, kind: str, value: pl.Expr) -> pl.DataFrame:
    return events.select("symbol", pl.lit(kind).alias("kind"), "ex_date", "session", value=value)
