"""Formulas as plain data: what is noted computes what the function computes, and names it."""

import dataclasses
import hashlib
import json

import numpy as np
import polars as pl
import pytest
import torch

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.features import compute_features, present_set, registered_features
from turbomode_assets.features import registry as declarations
from turbomode_assets.features.compiler import opcodes
from turbomode_assets.features.engine import compute_formulas, panel_inputs
from turbomode_assets.features.evaluation import (
    evaluate_all,
    noted,
    versions_used,
    why_not_computable,
)
from turbomode_assets.features.formulas import ColumnFormula
from turbomode_assets.features.panel import build_panel
from turbomode_assets.features.registry import feature
from turbomode_assets.features.sets import FeatureSet, _earlier_formulas, earlier_set
from turbomode_assets.features.vocabulary import operations
from turbomode_assets.features.vocabulary.merging import trailing_mean
from turbomode_assets.features.vocabulary.operations import OPERATIONS, operation
from turbomode_assets_tests.features.panels import panel, with_dollar_volume

DECLARED = {each.name: each for each in registered_features()}


def formula(body, inputs=("close",), bars=5, **parameters):
    steps = noted(body, inputs, parameters)
    return ColumnFormula("own", bars, tuple(inputs), "symbol", steps, versions_used(steps))


@pytest.fixture(scope="module")
def inputs():
    bars = with_dollar_volume(panel(symbols=4, count=320))
    names = bars.get_column("symbol").unique().sort()
    built = build_panel(bars, names[0], None)
    symbols, sessions = built.shape
    return panel_inputs(built, slice(0, symbols), slice(0, sessions), torch.device("cpu"))


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_noted_computes_what_the_function_computes(name, inputs):
    each = DECLARED[name]
    by_function = each.body(*(inputs[i] for i in each.inputs), **dict(each.parameters))
    ((_, by_steps),) = evaluate_all([each], inputs)
    assert torch.equal(by_function.isnan(), by_steps.isnan())
    assert torch.equal(by_function.nan_to_num(), by_steps.nan_to_num())


def test_formulas_computed_together_give_what_each_gives_alone(inputs):
    together = {each.name: values for each, values in evaluate_all([*DECLARED.values()], inputs)}
    for name, each in DECLARED.items():
        ((_, alone),) = evaluate_all([each], inputs)
        np.testing.assert_array_equal(together[name].numpy(), alone.numpy())


def test_a_formula_is_a_list_of_named_steps():
    own = formula(lambda close, window: close / trailing_mean(close, window) - 1, window=5)
    assert own.to_json()["steps"] == [
        ["trailing_mean", "close", 5],
        ["divide", "close", "#0"],
        ["subtract", "#1", 1],
    ]
    assert own.versions == {"divide": 1, "subtract": 1, "trailing_mean": 1, "column": 1}


def test_steps_that_the_result_does_not_need_are_no_part_of_it():
    def with_a_dead_step(close):
        _ = trailing_mean(close, 7)
        return close - 1

    assert formula(with_a_dead_step).digest == formula(lambda close: close - 1).digest


def test_the_order_in_which_steps_are_asked_for_is_no_part_of_it():
    def first(high, low):
        above, below = trailing_mean(high, 5), trailing_mean(low, 5)
        return above / below

    def second(high, low):
        below, above = trailing_mean(low, 5), trailing_mean(high, 5)
        return above / below

    assert formula(first, ("high", "low")).digest == formula(second, ("high", "low")).digest


def test_every_part_of_the_meaning_is_in_the_digest():
    own = formula(lambda close, window: close / trailing_mean(close, window), window=5)
    others = [
        formula(lambda close, window: close / trailing_mean(close, window), window=6),
        formula(lambda open, window: open / trailing_mean(open, window), ("open",), window=5),
        formula(lambda close, window: 2 * close / trailing_mean(close, window), window=5),
        dataclasses.replace(own, bars=6),
        dataclasses.replace(own, scope="cross_section"),
        dataclasses.replace(own, versions=own.versions | {"trailing_mean": 2}),
    ]
    assert len({each.digest for each in [own, *others]}) == len(others) + 1
    assert dataclasses.replace(own, name="another").digest == own.digest


def test_digests_know_nothing_of_the_compiler(monkeypatch):
    before = {
        name: formula(each.body, each.inputs, each.bars, **dict(each.parameters)).digest
        for name, each in DECLARED.items()
    }
    numbers = {op.name: 1000 - op.value for op in opcodes.Op}
    monkeypatch.setattr(opcodes, "Op", opcodes.IntEnum("Op", numbers))
    after = {
        name: formula(each.body, each.inputs, each.bars, **dict(each.parameters)).digest
        for name, each in DECLARED.items()
    }
    assert after == before


def test_a_benchmark_is_part_of_what_reads_it_and_of_cross_sections_alone():
    spy, none = present_set("SPY").columns, present_set(None).columns
    changed = {name for name in none if spy[name] != none[name]}
    assert changed == {"beta_60", "rank_return_20", "sector_return_20"}


def test_plain_data_computes_to_the_bit_what_the_declaration_does():
    bars = panel(symbols=4, count=300)
    stored = FeatureSet.from_json(json.loads(json.dumps(present_set().to_json())))
    assert stored.digest == present_set().digest
    assert compute_formulas(bars, stored.formulas).equals(compute_features(bars), null_equal=True)


def test_formulas_of_earlier_programs_are_found_by_the_digest_of_set_and_benchmark():
    ((digest, formulas),) = _earlier_formulas().items()
    stored = hashlib.sha256(f"{digest} benchmark=SPY".encode()).hexdigest()
    known = earlier_set(stored, "SPY")
    assert known.formulas == formulas
    assert len(known.columns) == 179
    assert earlier_set(stored, "QQQ") is None


def test_a_removed_operation_is_named(monkeypatch):
    own = formula(lambda close: trailing_mean(close, 5))
    assert why_not_computable(own) is None
    monkeypatch.delitem(OPERATIONS, "trailing_mean")
    assert why_not_computable(own) == "operation trailing_mean is gone"


def test_an_operation_whose_values_changed_computes_no_formula_of_before(monkeypatch):
    own = formula(lambda close: trailing_mean(close, 5))
    newer = dataclasses.replace(OPERATIONS["trailing_mean"], version=2)
    monkeypatch.setitem(OPERATIONS, "trailing_mean", newer)
    assert why_not_computable(own) == "operation trailing_mean has version 2, not 1"


def test_two_operations_of_one_name_are_refused():
    with pytest.raises(InputError, match="declared twice"):

        @operation(version=1)
        def trailing_mean(series, window):
            return series


def test_a_formula_that_leaves_the_vocabulary_is_refused_when_it_is_declared(monkeypatch):
    monkeypatch.setattr(declarations, "_DECLARED", dict(declarations._DECLARED))
    with pytest.raises(InputError, match=r"a formula uses torch\.sin"):

        @feature(family="indicator", windows=(1,), inputs=("close",))
        def wave(close):
            """Sine.

            Formula: sin(c)
            Source: none.
            Missing: NaN where the bar is missing.
            """
            return torch.sin(close)


def test_every_operation_of_the_declared_features_has_a_version():
    used = {step.operation for each in DECLARED.values() for step in each.steps}
    assert used <= set(operations.OPERATIONS)
    assert all(each.version >= 1 for each in operations.OPERATIONS.values())


def test_a_range_of_formulas_is_a_frame_of_their_names():
    own = formula(lambda close: trailing_mean(close, 5))
    computed = compute_formulas(panel(symbols=1, count=20), [own])
    assert computed.schema == {"symbol": pl.String, "session": pl.Date, "own": pl.Float32}
