"""The signals that went out last, as model memory holds them."""

import polars as pl

from turbomode_assets.stores.memory import ModelMemory


def active_signals(memory: ModelMemory) -> pl.DataFrame:
    """The newest signals, strongest first."""
    return memory.query(
        "SELECT * FROM active_signals ORDER BY signal <> 'HOLD' DESC,"
        " greatest(p_buy, p_sell) DESC, symbol"
    )
