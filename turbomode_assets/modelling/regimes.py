"""Market regimes of the sessions that signals were given in."""

import polars as pl

from turbomode_assets.labels import market_regimes
from turbomode_assets.modelling.corporate_actions import read_corporate_actions
from turbomode_assets.sessions import SessionSpan
from turbomode_assets.settings import Settings
from turbomode_assets.stores import Lake, MasterReader


def signalled_regimes(
    known: pl.DataFrame,
    lake: Lake,
    master: MasterReader,
    settings: Settings,
    *,
    caller: str,
) -> pl.DataFrame | None:
    """Regimes of the sessions that outcomes were signalled in: columns session and regime.

    By today's rules. `known` is sorted by session; None where it is empty.
    """
    if known.is_empty():
        return None
    rule = settings.training().regime_labeling
    windows = max(rule.trend_window_sessions, rule.volatility_window_sessions)
    signalled = SessionSpan(known["session"][0], known["session"][-1])
    history = signalled.trailing(rule.volatility_history_sessions + windows)
    bars = lake.read("bars", caller=caller, span=history).rows
    actions = read_corporate_actions(master, settings.data_quality().curation, caller=caller)
    return market_regimes(actions.adjust(bars), rule)
