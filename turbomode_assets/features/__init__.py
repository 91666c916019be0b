"""The features: what they are, and how to compute them from bars.

    features = compute_features(bars, benchmark="SPY")

Formulas are declared in `families`; `describe_features()` lists them.
"""

from typing import TYPE_CHECKING

from turbomode_assets.contracts.lazy import lazy_names

if TYPE_CHECKING:
    from turbomode_assets.features.declared import LONGEST_WINDOW as LONGEST_WINDOW
    from turbomode_assets.features.declared import feature_families as feature_families
    from turbomode_assets.features.declared import feature_names as feature_names
    from turbomode_assets.features.devices import device_name as device_name
    from turbomode_assets.features.engine import compute_features as compute_features
    from turbomode_assets.features.health import feature_health as feature_health
    from turbomode_assets.features.health import unhealthy_features as unhealthy_features
    from turbomode_assets.features.registry import describe_features as describe_features
    from turbomode_assets.features.registry import registered_features as registered_features
    from turbomode_assets.features.sets import FeatureSet as FeatureSet
    from turbomode_assets.features.sets import present_set as present_set
    from turbomode_assets.features.warming import warm_up as warm_up

__getattr__ = lazy_names(
    __name__,
    {
        "declared": ("LONGEST_WINDOW", "feature_families", "feature_names"),
        "devices": ("device_name",),
        "engine": ("compute_features",),
        "health": ("feature_health", "unhealthy_features"),
        "registry": ("describe_features", "registered_features"),
        "sets": ("FeatureSet", "present_set"),
        "warming": ("warm_up",),
    },
)
