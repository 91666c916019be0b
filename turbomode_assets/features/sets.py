"""Feature sets: which formula stands behind each column's name, now and in earlier programs."""

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from turbomode_assets.features.formulas import ColumnFormula

EARLIER_SETS = Path(__file__).with_name("earlier_sets.json")
"""Formulas of the sets that were named by a digest of their source, by that digest. A model of such
a set does not carry its formulas."""


@dataclass(frozen=True)
class FeatureSet:
    """The formulas of a list of columns, in order, for one benchmark."""

    formulas: tuple[ColumnFormula, ...]
    benchmark: str | None

    @functools.cached_property
    def columns(self) -> Mapping[str, str]:
        """Digest of each column, by its name."""
        return {each.name: each.digest_with(self.benchmark) for each in self.formulas}

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over the names and digests of the columns, in order."""
        canonical = json.dumps(list(self.columns.items()), separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_json(self) -> dict[str, object]:
        """Plain data that a model keeps of its columns."""
        formulas = {each.name: each.to_json() for each in self.formulas}
        return {"benchmark": self.benchmark, "formulas": formulas}

    @classmethod
    def from_json(cls, stored: Mapping[str, object]) -> Self:
        """Read what `to_json` wrote."""
        formulas, benchmark = stored["formulas"], stored["benchmark"]
        assert isinstance(formulas, dict)
        assert benchmark is None or isinstance(benchmark, str)
        return cls(
            tuple(ColumnFormula.from_json(name, each) for name, each in formulas.items()),
            benchmark,
        )


def present_set(benchmark: str | None = None) -> FeatureSet:
    """Every feature that this program declares."""
    # Declarations come with torch, which who reads a model's columns need not wait for.
    from turbomode_assets.features.registry import registered_features

    return FeatureSet(registered_features(), benchmark)


def earlier_set(digest: str, benchmark: str | None) -> FeatureSet | None:
    """The set that an earlier program named by this digest; None if no such set is known.

    That digest covered the source of the formulas and the benchmark.
    """
    for source_digest, formulas in _earlier_formulas().items():
        named = hashlib.sha256(f"{source_digest} benchmark={benchmark}".encode()).hexdigest()
        if named == digest:
            return FeatureSet(formulas, benchmark)
    return None


@functools.cache
def _earlier_formulas() -> dict[str, tuple[ColumnFormula, ...]]:
    stored = json.loads(EARLIER_SETS.read_text(encoding="utf-8"))
    return {
        digest: tuple(ColumnFormula.from_json(name, each) for name, each in formulas.items())
        for digest, formulas in stored.items()
    }
