"""Formulas as plain data: noted once from a declaration, digested, kept with models, computed.

What computes a column is never its Python function but the steps noted from it, whether they come
from this program or from a model that an earlier one trained: so both are computed alike.
"""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from torch import Tensor

from turbomode_assets.features.vocabulary.operations import (
    COLUMN_VERSION,
    OPERATIONS,
    Argument,
    NotedSeries,
    Notes,
    Step,
)

Scope = Literal["symbol", "cross_section"]
BENCHMARK_INPUTS = frozenset({"benchmark", "tradeable"})
"""What depends on which symbol is the benchmark: cross-sections leave it out."""


@dataclass(frozen=True, eq=False)
class ColumnFormula:
    """How one column of the matrix is computed; the last step is its value."""

    name: str
    bars: int
    """How many bars, the session's own included, the value depends on."""
    inputs: tuple[str, ...]
    scope: Scope
    steps: tuple[Step, ...]
    versions: Mapping[str, int]
    """Version of each operation that the steps use, and of `column`."""

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of what decides the values: steps, window, scope, versions of operations."""
        content = {
            "steps": self.steps,
            "window": self.bars,
            "scope": self.scope,
            "versions": dict(self.versions),
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def digest_with(self, benchmark: str | None) -> str:
        """Digest of the column where this symbol is the benchmark, if that matters to it."""
        if not BENCHMARK_INPUTS & set(self.inputs):
            return self.digest
        return hashlib.sha256(f"{self.digest} benchmark={benchmark}".encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain data of the formula, without its name."""
        return {
            "bars": self.bars,
            "inputs": list(self.inputs),
            "scope": self.scope,
            "steps": [[step.operation, *step.arguments] for step in self.steps],
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls, name: str, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            name=name,
            bars=stored["bars"],
            inputs=tuple(stored["inputs"]),
            scope=stored["scope"],
            steps=tuple(Step(first, tuple(rest)) for first, *rest in stored["steps"]),
            versions=dict(stored["versions"]),
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
