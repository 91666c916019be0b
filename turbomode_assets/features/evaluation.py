"""Noting a formula's steps from its declaration, and computing formulas from their steps."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from turbomode_assets.features.formulas import Argument, ColumnFormula, Step
from turbomode_assets.features.vocabulary.operations import (
    COLUMN_VERSION,
    OPERATIONS,
    NotedSeries,
    Notes,
)


def noted(
    body: Callable[..., Any], inputs: Sequence[str], parameters: Mapping[str, int]
) -> tuple[Step, ...]:
    """Call a formula with series that note what is done to them.

    Only steps that the result needs are kept, in the order in which the result reads them.
    """
    notes = Notes()
    result: NotedSeries = body(*(NotedSeries(notes, name) for name in inputs), **parameters)
    steps, kept = notes.steps, list[Step]()
    places: dict[str, str] = {}

    def keep(reference: Argument) -> Argument:
        if not isinstance(reference, str) or not reference.startswith("#"):
            return reference
        if reference not in places:
            step = steps[int(reference[1:])]
            arguments = tuple(keep(each) for each in step.arguments)
            places[reference] = f"#{len(kept)}"
            kept.append(Step(step.operation, arguments))
        return places[reference]

    keep(result.reference)
    return tuple(kept)


def versions_used(steps: Sequence[Step]) -> dict[str, int]:
    """Version of each operation that the steps use, and of how columns are written."""
    used = {step.operation: OPERATIONS[step.operation].version for step in steps}
    return dict(sorted(used.items())) | {"column": COLUMN_VERSION}


def why_not_computable(formula: ColumnFormula) -> str | None:
    """Say what this program lacks to compute a stored formula; None if it lacks nothing."""
    if formula.versions.get("column") != COLUMN_VERSION:
        return "columns were written in another way"
    for name, version in formula.versions.items():
        if name == "column":
            continue
        if name not in OPERATIONS:
            return f"operation {name} is gone"
        if OPERATIONS[name].version != version:
            return f"operation {name} has version {OPERATIONS[name].version}, not {version}"
    return None


def evaluate_all(
    formulas: Sequence[ColumnFormula], inputs: Mapping[str, Any]
) -> Iterator[tuple[ColumnFormula, Tensor]]:
    """Compute formulas one after the other from the tensors named by `registry.INPUTS`.

    What several formulas have in common is computed once and kept until the last one is done.
    """
    identities = [_identities(each) for each in formulas]
    uses = Counter(identity for each in identities for identity in set(each))
    common: dict[int, Any] = {}
    for formula, own in zip(formulas, identities, strict=True):
        values: list[Any] = []
        for step, identity in zip(formula.steps, own, strict=True):
            if identity in common:
                value = common[identity]
            else:
                arguments = [_value_of(each, inputs, values) for each in step.arguments]
                value = OPERATIONS[step.operation].compute(*arguments)
                if uses[identity] > 1:
                    common[identity] = value
            values.append(value)
        yield formula, values[-1]


def _value_of(argument: Argument, inputs: Mapping[str, Any], values: Sequence[Any]) -> Any:
    if not isinstance(argument, str):
        return argument
    return values[int(argument[1:])] if argument.startswith("#") else inputs[argument]


_IDENTITIES: dict[tuple[object, ...], int] = {}


def _identities(formula: ColumnFormula) -> list[int]:
    """Number each step by all that its value depends on: equal numbers, equal values."""
    own: list[int] = []
    for step in formula.steps:
        key = (
            step.operation,
            *(
                ("step", own[int(each[1:])])
                if isinstance(each, str) and each.startswith("#")
                else (type(each).__name__, each)
                for each in step.arguments
            ),
        )
        own.append(_IDENTITIES.setdefault(key, len(_IDENTITIES)))
    return own
