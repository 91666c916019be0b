"""A program whose features are others: two more, one that was mended, and one less."""

import pytest

from turbomode_assets.features import registry
from turbomode_assets.features.registry import feature
from turbomode_assets.features.vocabulary.cross_section import percentile_rank
from turbomode_assets.features.vocabulary.elementwise import absolute, lagged, step
from turbomode_assets.features.vocabulary.merging import trailing_max, trailing_mean, trailing_sum

NEW = ("efficiency_20", "rank_high_20")
GONE = "klow2"
MENDED = "ma20"


def change_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with two more features, one that was mended, and one less."""
    declared = dict(registry._DECLARED)
    del declared["klow2"], declared["ma20"]
    monkeypatch.setattr(registry, "_DECLARED", declared)

    @feature(family="price_level", windows=(20,), inputs=("close",))
    def efficiency_20(close, *, window):
        """Kaufman's efficiency ratio.

        Formula: abs(c - c[20]) / sum(abs(c - c[1])) over 20 bars
        Source: Kaufman (1995), Smarter Trading.
        Missing: NaN where the window or a bar before it is missing.
        """
        moved = absolute(close - lagged(close, window - 1))
        return moved / trailing_sum(absolute(step(close)), window - 1)

    @feature(family="market", windows=(20,), inputs=("close", "tradeable"), scope="cross_section")
    def rank_high_20(close, tradeable, *, window):
        """Percentile rank of the distance from the month's high.

        Formula: rank of c / max(c) over 20 bars
        Source: ours.
        Missing: NaN where the window holds a missing bar.
        """
        return percentile_rank(close / trailing_max(close, window), tradeable)

    @feature(family="rolling_price", windows=(20,), inputs=("close",))
    def ma20(close, *, window):
        """Mean against the close, the other way round than before.

        Formula: c / mean(c) over 20 bars
        Source: ours.
        Missing: NaN where the window holds a missing bar.
        """
        return close / trailing_mean(close, window)
