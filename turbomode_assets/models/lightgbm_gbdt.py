"""LightGBM: gradient boosting on samples of the rows."""

from typing import Any

from turbomode_assets.config.models import LightGbmGbdtConfig
from turbomode_assets.models.boosting import LightGbmModel


class LightGbmGbdt(LightGbmModel[LightGbmGbdtConfig]):
    """Gradient-boosted trees (Friedman 2001; Ke et al. 2017)."""

    name = "lightgbm_gbdt"

    @property
    def patience_rounds(self) -> int:
        """Rounds without a better loss after which boosting ends."""
        rounds: int = self.config.patience_rounds
        return rounds

    def variant(self) -> dict[str, Any]:
        """Plain boosting; every round draws new rows."""
        return {
            "boosting": "gbdt",
            "learning_rate": self.config.learning_rate,
            "bagging_fraction": self.config.bagging_fraction,
            "bagging_freq": 1,
        }
