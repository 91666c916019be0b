"""LightGBM: boosting on the rows with the largest gradients."""

from typing import Any

from turbomode_assets.config.models import LightGbmGossConfig
from turbomode_assets.models.boosting import LightGbmModel


class LightGbmGoss(LightGbmModel[LightGbmGossConfig]):
    """Gradient-based one-side sampling (Ke et al. 2017)."""

    name = "lightgbm_goss"

    @property
    def patience_rounds(self) -> int:
        """Rounds without a better loss after which boosting ends."""
        rounds: int = self.config.patience_rounds
        return rounds

    def variant(self) -> dict[str, Any]:
        """Boosting on the largest gradients and a sample of the rest."""
        return {
            "boosting": "gbdt",
            "data_sample_strategy": "goss",
            "learning_rate": self.config.learning_rate,
            "top_rate": self.config.top_rate,
            "other_rate": self.config.other_rate,
        }
