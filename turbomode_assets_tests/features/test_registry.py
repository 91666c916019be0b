"""The registry: declared once, complete, frozen."""

from pathlib import Path

import polars as pl
import pytest
from torch import Tensor

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.features import (
    LONGEST_WINDOW,
    describe_features,
    feature_families,
    feature_names,
    present_set,
    registry,
)
from turbomode_assets.features.registry import FAMILIES, feature, select_features

GOLDEN = Path(__file__).parents[1] / "golden" / "feature_names.txt"
DIGESTS = GOLDEN.with_name("feature_digests.txt")


@pytest.fixture
def scratch_registry(monkeypatch):
    """Declarations of a test stay in the test."""
    monkeypatch.setattr(registry, "_DECLARED", dict(registry._DECLARED))


def test_names_and_order_of_the_matrix_are_frozen():
    assert list(feature_names()) == GOLDEN.read_text().split()


def test_every_family_of_the_order_has_features():
    assert list(dict.fromkeys(feature_families().values())) == list(FAMILIES)


def test_the_longest_window_is_a_year():
    assert LONGEST_WINDOW == 252


def test_the_description_has_formula_and_source_for_every_feature():
    described = describe_features()
    assert described.columns == ["name", "family", "window", "inputs", "formula", "source"]
    assert described["name"].to_list() == list(feature_names())
    assert described.filter(pl.any_horizontal(pl.col("formula", "source") == "")).is_empty()
    windows = dict(described.select("name", "window").iter_rows())
    assert (windows["ma5"], windows["roc5"], windows["mfi_14"], windows["rsi_14"]) == (
        5,
        6,
        15,
        250,
    )


def test_selected_features_keep_the_order_of_the_matrix():
    assert [each.name for each in select_features(["ma5", "kmid"])] == ["kmid", "ma5"]


def test_an_unknown_name_is_refused_with_its_neighbours():
    with pytest.raises(InputError, match=r"unknown features: maa5(.|\n)*ma5"):
        select_features(["maa5"])


def test_an_empty_selection_is_refused():
    with pytest.raises(InputError, match="no feature is named"):
        select_features([])


@pytest.mark.usefixtures("scratch_registry")
def test_the_same_column_cannot_be_declared_twice():
    with pytest.raises(InputError, match="kmid is declared twice"):

        @feature(family="candle_shape", windows=(1,), inputs=("close",))
        def kmid(close: Tensor) -> Tensor:
            """Repeat a name.

            Formula: c
            Source: none.
            Missing: never.
            """
            return close


@pytest.mark.usefixtures("scratch_registry")
def test_a_docstring_without_its_headings_is_refused():
    with pytest.raises(InputError, match="lacks Source:, Missing:"):

        @feature(family="candle_shape", windows=(1,), inputs=("close",))
        def nameless(close: Tensor) -> Tensor:
            """Forget things.

            Formula: c
            """
            return close


@pytest.mark.usefixtures("scratch_registry")
@pytest.mark.parametrize(
    ("family", "inputs", "complaint"),
    [
        ("candles", ("close",), "unknown family candles"),
        ("candle_shape", ("open",), r"takes \(close\), declared are \(open\)"),
    ],
)
def test_a_declaration_that_contradicts_its_formula_is_refused(family, inputs, complaint):
    def wrong(close: Tensor) -> Tensor:
        """Say one thing, do another.

        Formula: c
        Source: none.
        Missing: never.
        """
        return close

    with pytest.raises(InputError, match=complaint):
        feature(family=family, windows=(1,), inputs=inputs)(wrong)


@pytest.mark.usefixtures("scratch_registry")
def test_several_windows_make_several_columns():
    @feature(family="market", windows=(3, 4), inputs=("close",), reads_previous=True)
    def example(close: Tensor, *, window: int) -> Tensor:
        """Do nothing.

        Formula: c,
            continued
        Source: none.
        Missing: never.
        """
        return close

    made = {name: registry._DECLARED[name] for name in ("example3", "example4")}
    assert [each.bars for each in made.values()] == [4, 5]
    assert made["example3"].formula == "c, continued"


def test_the_columns_hold_the_formulas_that_were_reviewed():
    """After an intended change: `python -m turbomode_assets_tests.features.test_registry`."""
    assert described_digests() == DIGESTS.read_text(encoding="utf-8").splitlines()


def described_digests():
    return [f"{name} {digest[:16]}" for name, digest in present_set().columns.items()]


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(feature_names()) + "\n", encoding="utf-8")
    DIGESTS.write_text("\n".join(described_digests()) + "\n", encoding="utf-8")
