"""What each operation of the vocabulary gives on a fixed panel, held against a golden table.

An operation whose values change beyond rounding is another one: raise its version, then run
`python -m turbomode_assets_tests.features.test_operations`, which writes values of new operations
and versions and refuses to write others for those that it has.
"""

import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from turbomode_assets.features import registered_features
from turbomode_assets.features.engine import compute_formulas, panel_inputs
from turbomode_assets.features.evaluation import evaluate_all, versions_used
from turbomode_assets.features.formulas import ColumnFormula, Step
from turbomode_assets.features.panel import build_panel
from turbomode_assets.features.vocabulary.operations import OPERATIONS
from turbomode_assets_tests.features.panels import panel

GOLDEN = Path(__file__).parents[1] / "golden" / "operations.json"
SYMBOLS, SESSIONS, EVERY = 4, 300, 23
INPUTS = ("open", "high", "low", "close", "volume", "sector", "tradeable")
SERIES = {
    "percentile_rank": ("close", "tradeable"),
    "sector_mean": ("close", "sector", "tradeable"),
    "undefined_where": ("close", "#is_below"),
    "trailing_correlation": ("close", "volume", "close"),
    "trailing_paired_slope": ("#return", "#range"),
    "wilder_directional_index": ("#up", "#down"),
    "trailing_return": ("close",),
    "multiply": ("close", "open"),
}
"""Which series an operation is given, where close, high, low, open in this order do not fit."""
HELPERS = {
    "#is_below": [Step("is_below", ("close", "open"))],
    "#return": [Step("growth", ("close",)), Step("log", ("#0",))],
    "#range": [Step("divide", ("high", "low")), Step("log", ("#0",))],
    "#up": [Step("change", ("high", "close")), Step("positive_part", ("#0",))],
    "#down": [Step("change", ("low", "close")), Step("negative_part", ("#0",))],
}
ACROSS = {"percentile_rank", "sector_mean"}


def cases():
    """Each operation with the numbers that features give it, series filled in: key to steps."""
    found = {}
    for each in registered_features():
        for step in each.steps:
            given = SERIES.get(step.operation, ("close", "high", "low", "open"))
            series = iter(given)
            arguments = [next(series) if isinstance(a, str) else a for a in step.arguments]
            key = json.dumps([step.operation, *arguments])
            found.setdefault(key, steps_of(step.operation, arguments))
    return dict(sorted(found.items()))


def steps_of(operation, arguments):
    steps, places = [], {}
    for name in arguments:
        if name in HELPERS and name not in places:
            shift = len(steps)
            for step in HELPERS[name]:
                moved = tuple(
                    f"#{int(a[1:]) + shift}" if a.startswith("#") else a for a in step.arguments
                )
                steps.append(Step(step.operation, moved))
            places[name] = f"#{len(steps) - 1}"
    return (*steps, Step(operation, tuple(places.get(a, a) for a in arguments)))


def formula_of(key, steps):
    scope = "cross_section" if json.loads(key)[0] in ACROSS else "symbol"
    return ColumnFormula(key, 1, INPUTS, scope, steps, versions_used(steps))


def bars():
    """A panel with missing bars, ties and sectors."""
    rows = panel(SYMBOLS, SESSIONS, seed=11, missing=0.003, halts=0.02, tick=0.05)
    names = rows.get_column("symbol").unique().sort().to_list()
    sectors = {name: "one" if at < 3 else "two" for at, name in enumerate(names)}
    return rows.with_columns(sector=pl.col("symbol").replace_strict(sectors))


def in_torch():
    """Values of every case by torch: [symbols, sessions]."""
    built = build_panel(bars(), None, None)
    whole = slice(0, built.shape[0]), slice(0, built.shape[1])
    inputs = panel_inputs(built, *whole, torch.device("cpu"))
    formulas = [formula_of(key, steps) for key, steps in cases().items()]
    return {each.name: values.double().numpy() for each, values in evaluate_all(formulas, inputs)}


def shown(values):
    """Some of the values, spread over all, to twelve digits; null where there is none."""
    some = values[:, EVERY - 1 :: EVERY].ravel()
    return [None if math.isnan(each) else float(f"{each:.12g}") for each in some]


def stored():
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def as_array(values):
    return np.array([math.nan if each is None else each for each in values])


@pytest.fixture(scope="module")
def computed():
    return in_torch()


@pytest.mark.parametrize("key", cases())
def test_an_operation_gives_what_its_version_gave(key, computed):
    golden, operation = stored()[key], OPERATIONS[json.loads(key)[0]]
    assert golden["version"] == operation.version, "regenerate the golden values"
    np.testing.assert_allclose(
        as_array(shown(computed[key])),
        as_array(golden["values"]),
        rtol=1e-9,
        atol=1e-12,
        err_msg=f"raise the version of {operation.name}: its values changed",
    )


def test_the_golden_values_are_of_numbers_and_not_of_nothing():
    for key, golden in stored().items():
        present = [each for each in golden["values"] if each is not None]
        assert len(present) >= 2, key


def test_every_operation_that_features_use_has_golden_values():
    used = {step.operation for each in registered_features() for step in each.steps}
    assert used == {json.loads(key)[0] for key in stored()}


def test_the_compiled_program_gives_the_same_on_the_cpu(computed):
    rows = bars()
    formulas = [formula_of(key, steps) for key, steps in cases().items()]
    by_program = compute_formulas(rows, formulas)
    built = build_panel(rows, None, None)
    present = np.flatnonzero(np.asarray(built.present).ravel())
    for each in formulas:
        in_rows = computed[each.name].ravel()[present]
        finite = np.isfinite(in_rows)
        column = by_program.get_column(each.name).to_numpy()
        np.testing.assert_allclose(
            column[finite], in_rows[finite], rtol=1e-5, atol=1e-6, err_msg=each.name
        )


def main():
    known = stored() if GOLDEN.exists() else {}
    new = {}
    for key, values in in_torch().items():
        version, before = OPERATIONS[json.loads(key)[0]].version, known.get(key)
        entry = {"version": version, "values": shown(values)}
        if before is not None and before["version"] == version and before != entry:
            close = np.allclose(
                as_array(before["values"]), as_array(entry["values"]), rtol=1e-9, equal_nan=True
            )
            if not close:
                raise SystemExit(f"{key} gives other values: raise its version first")
            entry = before
        new[key] = entry
    lines = [f" {json.dumps(key)}: {json.dumps(entry)}" for key, entry in new.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
