"""What all declared features come to: their names, families, and the longest window."""

from turbomode_assets.features.registry import registered_features

LONGEST_WINDOW = max(each.bars for each in registered_features())
"""How many bars, its own included, the longest window of any feature reads."""


def feature_names() -> tuple[str, ...]:
    """Names of all features, in the order of the matrix."""
    return tuple(each.name for each in registered_features())


def feature_families() -> dict[str, str]:
    """Family of each feature, in the order of the matrix."""
    return {each.name: each.family for each in registered_features()}
