"""LightGBM: a random forest."""

from typing import Any

from turbomode_assets.config.models import LightGbmForestConfig
from turbomode_assets.models.boosting import LightGbmModel


class LightGbmForest(LightGbmModel[LightGbmForestConfig]):
    """Averaged trees on samples of rows and columns (Breiman 2001).

    It does not stop early: more trees steady the average and cannot overfit.
    """

    name = "lightgbm_forest"

    def variant(self) -> dict[str, Any]:
        """Independent trees, averaged."""
        return {
            "boosting": "rf",
            "bagging_fraction": self.config.bagging_fraction,
            "bagging_freq": 1,
        }
