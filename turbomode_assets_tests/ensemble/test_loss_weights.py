from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turbomode_assets.config.learning import RareEventArchiveConfig, RegimeWeightedLossConfig
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.ensemble.loss_weights import loss_weights
from turbomode_assets.models.logistic import Logistic
from turbomode_assets_tests.config.builders import shipped
from turbomode_assets_tests.models.planted import families, feature_names, planted_tables
from turbomode_assets_tests.models.small import SMALL, small_data
from turbomode_assets_tests.validation.builders import make_days

LOSS: dict[str, Any] = {
    "class_balance": 0.0,
    "regime_multipliers": {"bull": 1.0, "bear": 1.0, "sideways": 1.0, "high_volatility": 1.0},
    "uniqueness": False,
    "maximum_weight": 100.0,
}
ARCHIVE = shipped("turbomode_training_config.json")["rare_event_archive"] | {
    "mix_ratio": 0.1,
    "maximum_weight": 2.0,
}
REGIMES = (*LOSS["regime_multipliers"], None)


def rows_of(
    labels: list[int],
    *,
    regimes: list[str | None] | None = None,
    replay: list[float] | None = None,
    symbols: list[str] | None = None,
    entries: list[int] | None = None,
) -> pl.DataFrame:
    """Rows whose labels last five sessions; without `entries`, none overlaps another."""
    count = len(labels)
    entered = np.array(entries if entries is not None else range(0, 10 * count, 10))
    return pl.DataFrame(
        {
            "symbol": symbols or ["A"] * count,
            "label": pl.Series(labels, dtype=pl.Int8),
            "regime": pl.Series(regimes or [None] * count, dtype=pl.String),
            "replay": replay or [1.0] * count,
            "entry_session": make_days(*entered),
            "exit_session": make_days(*(entered + 4)),
        }
    )


def weigh(
    rows: pl.DataFrame,
    rare: tuple[int, ...] = (),
    loss: Mapping[str, Any] | None = None,
    archive: Mapping[str, Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    chosen = np.array(rare, dtype=np.int64)
    return loss_weights(
        rows,
        np.setdiff1d(np.arange(rows.height), chosen),
        chosen,
        RegimeWeightedLossConfig.model_validate(LOSS | dict(loss or {})),
        RareEventArchiveConfig.model_validate(ARCHIVE | dict(archive or {})),
    )


def weights_of(rows: pl.DataFrame, **changes: Any) -> list[float]:
    positions, weights = weigh(rows, loss=changes)
    assert positions.tolist() == list(range(rows.height))
    return weights.tolist()


def test_rows_alike_weigh_alike():
    assert weights_of(rows_of([0, 1, 1, 2]), class_balance=0.0) == [1.0] * 4


def test_a_class_counts_as_its_share_to_the_power_of_the_balance():
    rows = rows_of([0, 1, 1, 1])
    assert weights_of(rows, class_balance=1.0) == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])
    # 0.25 ** -0.5 is 2, 0.75 ** -0.5 is 1.1547: the mean is 1.3660.
    assert weights_of(rows, class_balance=0.5) == pytest.approx([1.4641, *[0.8453] * 3], abs=1e-4)


def test_a_regime_counts_by_its_multiplier_and_an_unknown_one_by_1():
    rows = rows_of([0, 0, 0], regimes=["bear", None, "bull"])
    multipliers = LOSS["regime_multipliers"] | {"bear": 4.0}
    assert weights_of(rows, regime_multipliers=multipliers) == [2.0, 0.5, 0.5]


def test_labels_that_overlap_share_their_weight():
    # The same five sessions twice, once alone, and the same again of another symbol.
    rows = rows_of([0] * 4, symbols=["A", "A", "A", "B"], entries=[0, 0, 10, 0])
    assert weights_of(rows, uniqueness=True) == pytest.approx([2 / 3, 2 / 3, 4 / 3, 4 / 3])
    assert weights_of(rows, uniqueness=False) == [1.0] * 4


def test_a_replayed_error_weighs_more():
    assert weights_of(rows_of([0, 1], replay=[1.5, 1.0])) == pytest.approx([1.2, 0.8])


def test_no_weight_exceeds_the_maximum_times_the_mean_that_results():
    # Cut at c = 2 x (3 + c) / 4 = 3: weights 1 1 1 3, whose mean is 1.5.
    rows = rows_of([0] * 4, replay=[1.0, 7.0, 1.0, 1.0])
    expected = [2 / 3, 2, 2 / 3, 2 / 3]
    assert weights_of(rows, maximum_weight=2.0) == pytest.approx(expected)
    assert weights_of(rows, maximum_weight=1.0) == [1.0] * 4
    assert weights_of(rows_of([0] * 3, replay=[3.0] * 3), maximum_weight=1.0) == [1.0] * 3


def test_rare_rows_make_up_the_mix_ratio():
    positions, weights = weigh(rows_of([0] * 10), (3, 7))
    assert positions.tolist() == list(range(10))
    assert weights[[3, 7]].sum() == pytest.approx(0.1 * weights.sum())
    # 8 rows of 1 and 2 of 4 / 9, whose mean is 8 / 9.
    assert weights[[0, 3]] == pytest.approx([9 / 8, 1 / 2])


def test_few_rare_rows_weigh_their_maximum_and_make_up_less():
    _, weights = weigh(rows_of([0] * 10), (3, 7), archive={"mix_ratio": 0.5})
    assert weights[3] / weights[0] == pytest.approx(2.0)
    _, weights = weigh(rows_of([0] * 10), (3, 7), archive={"mix_ratio": 0.5, "maximum_weight": 3.0})
    assert weights[3] / weights[0] == pytest.approx(3.0)


def test_without_a_mix_ratio_rare_rows_are_left_out_and_count_in_nothing():
    rows = rows_of([0, 1, 1, 0], entries=[0, 10, 0, 20])
    loss = {"class_balance": 1.0, "uniqueness": True}
    positions, weights = weigh(rows, (2,), loss, {"mix_ratio": 0.0})
    assert positions.tolist() == [0, 1, 3]
    assert weights == pytest.approx([0.75, 1.5, 0.75])


def test_rare_rows_keep_their_proportions_and_count_in_shares_and_overlaps():
    rows = rows_of([0, 0, 0, 1], replay=[1.0, 1.0, 1.0, 3.0], entries=[0, 10, 20, 20])
    loss = {"class_balance": 1.0, "uniqueness": True}
    _, weights = weigh(rows, (2, 3), loss)
    # Classes 3 : 1 and a replayed error of factor 3: nine times the weight of the other rare row.
    assert weights[3] / weights[2] == pytest.approx(9.0)
    assert weights[0] == pytest.approx(weights[1])


ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(REGIMES),
        st.floats(1, 20),
        st.sampled_from("AB"),
        st.integers(0, 30),
        st.booleans(),
    ),
    min_size=1,
    max_size=50,
).filter(lambda rows: not all(row[-1] for row in rows))


MIXES = st.just(0.0) | st.floats(1e-9, 0.9)
"""Below, a share has no digits left to be divided among rows."""


@given(ROWS, st.floats(0, 1), st.floats(1, 8), MIXES, st.floats(0.1, 5))
@settings(max_examples=30)
def test_the_bounds_hold_whatever_the_rows(market, balance, maximum, mix, rare_maximum):
    labels, regimes, replay, symbols, entries, special = map(list, zip(*market, strict=True))
    rows = rows_of(labels, regimes=regimes, replay=replay, symbols=symbols, entries=entries)
    rare = tuple(np.flatnonzero(special))
    positions, weights = weigh(
        rows,
        rare,
        {"class_balance": balance, "uniqueness": True, "maximum_weight": maximum},
        {"mix_ratio": mix, "maximum_weight": rare_maximum},
    )
    assert weights.mean() == pytest.approx(1)
    assert (weights > 0).all()
    is_rare = np.isin(positions, rare)
    usual, mixed = weights[~is_rare], weights[is_rare]
    assert usual.max() <= maximum * usual.mean() * (1 + 1e-9)
    if mix:
        assert positions.tolist() == list(range(len(labels)))
        assert mixed.sum() <= mix * weights.sum() * (1 + 1e-9)
        assert mixed.max(initial=0) <= rare_maximum * usual.mean() * (1 + 1e-9)
    else:
        assert not is_rare.any()


def test_the_cut_leaves_the_order_of_the_weights_and_bites_only_where_it_must():
    random = np.random.default_rng(5)
    replay = (1 + random.pareto(1.0, 400)).tolist()
    free = np.array(weights_of(rows_of([0] * 400, replay=replay), maximum_weight=1e9))
    cut = np.array(weights_of(rows_of([0] * 400, replay=replay), maximum_weight=3.0))
    uncut = cut < cut.max() * (1 - 1e-9)
    assert cut.max() == pytest.approx(3.0)
    ratios = cut[uncut] / free[uncut]
    assert ratios == pytest.approx(np.full(uncut.sum(), ratios[0]))
    assert free[~uncut].min() > free[uncut].max()


def test_rows_that_cannot_be_weighed_are_refused():
    rows = rows_of([0, 1], regimes=["bull", "panic"])
    with pytest.raises(InputError, match="regimes without a multiplier: panic"):
        weigh(rows)
    loss = RegimeWeightedLossConfig.model_validate(LOSS)
    archive = RareEventArchiveConfig.model_validate(ARCHIVE)
    both, none = np.array([0, 1]), np.array([], dtype=np.int64)
    with pytest.raises(InputError, match="rows given twice: 1"):
        loss_weights(rows_of([0, 1]), both, np.array([1]), loss, archive)
    with pytest.raises(InputError, match="no ordinary row"):
        loss_weights(rows_of([0, 1]), none, both, loss, archive)
    with pytest.raises(InputError, match="1 rows weigh no number above 0, the first nan"):
        weigh(rows_of([0, 1], replay=[1.0, float("nan")]))


EFFECTS: dict[str, object] = {
    "regime_weighted_loss.class_balance": 0.7,
    "regime_weighted_loss.regime_multipliers.bull": 1.3,
    "regime_weighted_loss.regime_multipliers.bear": 1.3,
    "regime_weighted_loss.regime_multipliers.sideways": 1.3,
    "regime_weighted_loss.regime_multipliers.high_volatility": 1.3,
    "regime_weighted_loss.uniqueness": False,
    "regime_weighted_loss.maximum_weight": 1.2,
    "rare_event_archive.mix_ratio": 0.02,
    "rare_event_archive.maximum_weight": 0.5,
}


@pytest.mark.parametrize("key", EFFECTS)
def test_every_key_changes_the_weights(key):
    rows = rows_of(
        [0, 1, 2, 1, 1, 0, 2, 1],
        regimes=["bull", "bear", "sideways", "high_volatility", None, "bull", "bear", None],
        entries=[0, 2, 4, 20, 40, 60, 80, 82],
    )
    sections: dict[str, Any] = {
        "regime_weighted_loss": LOSS | {"uniqueness": True},
        "rare_event_archive": ARCHIVE,
    }
    section, *path = key.split(".")
    value: Any = EFFECTS[key]
    if len(path) == 2:
        value = sections[section][path[0]] | {path[1]: value}
    changed = sections | {section: sections[section] | {path[0]: value}}
    _, before = weigh(rows, (6,), *sections.values())
    _, after = weigh(rows, (6,), *changed.values())
    assert not np.allclose(before, after)


def test_no_key_is_without_its_effect():
    content = shipped("turbomode_training_config.json")["regime_weighted_loss"]
    regimes = content.pop("regime_multipliers")
    keys = {*content, *(f"regime_multipliers.{name}" for name in regimes)}
    found = {key.removeprefix("regime_weighted_loss.") for key in EFFECTS}
    archive = {"rare_event_archive.mix_ratio", "rare_event_archive.maximum_weight"}
    assert found == keys | archive


def test_what_the_archive_holds_changes_what_a_model_learns():
    matrix, labels = small_data(seed=3)
    _, table = planted_tables(symbols=6, sessions=200, features=6, strength=1.0, seed=3)
    rows = table.with_columns(regime=pl.lit(None, dtype=pl.String), replay=1.0)
    events = np.arange(0, matrix.values.shape[0], 40)
    assert list(families(6)) == feature_names(6) == list(matrix.columns)

    def losses(rare: tuple[int, ...], mix: float) -> np.ndarray:
        positions, weights = weigh(rows, rare, archive={"mix_ratio": mix, "maximum_weight": 50.0})
        model = Logistic(SMALL.logistic).fit(
            matrix.select(positions), labels[positions], seed=1, weights=weights
        )
        forecast = model.predict_proba(matrix.select(events))
        return -np.log(forecast[np.arange(len(events)), labels[events]])

    rare = tuple(events)
    unmarked, mixed, without = losses((), 0.5), losses(rare, 0.5), losses(rare, 0.0)
    assert not np.array_equal(unmarked, mixed)
    # The heavier the events, the better they are learned.
    assert without.mean() > unmarked.mean() > mixed.mean()
