"""LightGBM: boosting with dropout of earlier trees."""

from typing import Any

from turbomode_assets.config.models import LightGbmDartConfig
from turbomode_assets.models.boosting import LightGbmModel


class LightGbmDart(LightGbmModel[LightGbmDartConfig]):
    """Trees that meet multiple additive regression with dropout (Rashmi, Gilad-Bachrach 2015).

    It does not stop early: every round rescales the trees it drops, so that the first trees of a
    longer run are not the model that those rounds alone had made.
    """

    name = "lightgbm_dart"

    def variant(self) -> dict[str, Any]:
        """Boosting that leaves out earlier trees at random."""
        return {
            "boosting": "dart",
            "learning_rate": self.config.learning_rate,
            "bagging_fraction": self.config.bagging_fraction,
            "bagging_freq": 1,
            "drop_rate": self.config.drop_rate,
            "skip_drop": self.config.skip_drop,
        }
