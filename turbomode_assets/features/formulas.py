"""Formulas as plain data: digested, and kept with models.

What computes a column is never its Python function but the steps noted from it, whether they come
from this program or from a model that an earlier one trained: so both are computed alike.
"""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

Argument = str | int | float
"""Name of an input, `#3` for the result of the fourth step, or a number."""
Scope = Literal["symbol", "cross_section"]
BENCHMARK_INPUTS = frozenset({"benchmark", "tradeable"})
"""What depends on which symbol is the benchmark: cross-sections leave it out."""


class Step(NamedTuple):
    """One operation of a formula and what it is given."""

    operation: str
    arguments: tuple[Argument, ...]


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
