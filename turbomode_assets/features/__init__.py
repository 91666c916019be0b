"""The features: what they are, and how to compute them from bars.

    features = compute_features(bars, benchmark="SPY")

Formulas are declared in `families`; `describe_features()` lists them.
"""

from turbomode_assets.features import families
from turbomode_assets.features.devices import device_name
from turbomode_assets.features.engine import compute_features
from turbomode_assets.features.health import feature_health, unhealthy_features
from turbomode_assets.features.registry import (
    describe_features,
    registered_features,
)
from turbomode_assets.features.sets import FeatureSet, present_set

__all__ = [
    "LONGEST_WINDOW",
    "FeatureSet",
    "compute_features",
    "describe_features",
    "device_name",
    "families",
    "feature_families",
    "feature_health",
    "feature_names",
    "present_set",
    "registered_features",
    "unhealthy_features",
]

LONGEST_WINDOW = max(each.bars for each in registered_features())
"""How many bars, its own included, the longest window of any feature reads."""


def feature_names() -> tuple[str, ...]:
    """Names of all features, in the order of the matrix."""
    return tuple(each.name for each in registered_features())


def feature_families() -> dict[str, str]:
    """Family of each feature, in the order of the matrix."""
    return {each.name: each.family for each in registered_features()}
