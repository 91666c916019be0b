"""Sections and rows for the tests of signals."""

from turbomode_assets.config.training import SignalsConfig


def signals_config(**changed: float) -> SignalsConfig:
    """Thresholds that let everything pass, some of them changed."""
    everything = {
        "buy_threshold": 0.5,
        "sell_threshold": 0.5,
        "minimum_close_usd": 0.0,
        "minimum_dollar_volume_usd": 0.0,
        "liquidity_window_sessions": 1,
    }
    return SignalsConfig.model_validate(everything | changed)
