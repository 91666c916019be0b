"""The registry: a feature is declared once, by decorating its formula. No formula lives here."""

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

import polars as pl
from torch import Tensor

from turbomode_assets.contracts.errors import InputError, first_few
from turbomode_assets.features.evaluation import noted, versions_used
from turbomode_assets.features.formulas import ColumnFormula, Scope

Body = TypeVar("Body", bound=Callable[..., Tensor])

FAMILIES = (
    "candle_shape",
    "price_level",
    "rolling_price",
    "rolling_flow",
    "indicator",
    "range_volatility",
    "liquidity",
    "market",
)
"""Families in the order of the matrix; within one, features keep the order of declaration."""

INPUTS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "dollar_volume",
    "benchmark",
    "sector",
    "tradeable",
)
"""What a formula can ask for, each a tensor [symbols, sessions]; `benchmark` is the benchmark's
close, `sector` a code (-1 for none), `tradeable` tells who belongs to cross-sections."""

HEADINGS = ("Formula", "Source", "Missing")


@dataclass(frozen=True, eq=False)
class Feature(ColumnFormula):
    """A declared column: its formula at one window, and what a person is told of it."""

    family: str
    body: Callable[..., Tensor]
    parameters: tuple[tuple[str, int], ...]
    formula: str
    source: str
    missing: str


_DECLARED: dict[str, Feature] = {}


def feature(
    *,
    family: str,
    windows: Sequence[int],
    inputs: Sequence[str],
    reads_previous: bool = False,
    scope: Scope = "symbol",
) -> Callable[[Body], Body]:
    """Declare a formula as one feature for each of its windows.

    The column is the function's name followed by the window; with a single window the
    function's name alone. A window counts bars; `reads_previous` adds the bar before it.
    The function takes the inputs in the order named and, if it asks for it, `window`.

    Raises:
        InputError: the declaration is incomplete or repeats a name.
    """

    def declare(body: Body) -> Body:
        where = f"feature {body.__name__} in {body.__module__}"
        headings = _headings(body, where)
        takes_window = _check_signature(body, family, inputs, where)
        for window in windows:
            name = body.__name__ if len(windows) == 1 else f"{body.__name__}{window}"
            if name in _DECLARED:
                raise InputError(
                    f"feature {name} is declared twice",
                    where=f"{where} and {_DECLARED[name].body.__module__}",
                    fix="give one of them another name",
                )
            parameters = {"window": window} if takes_window else {}
            steps = noted(body, inputs, parameters)
            _DECLARED[name] = Feature(
                name=name,
                bars=window + reads_previous,
                inputs=tuple(inputs),
                scope=scope,
                steps=steps,
                versions=versions_used(steps),
                family=family,
                body=body,
                parameters=tuple(parameters.items()),
                formula=headings["Formula"],
                source=headings["Source"],
                missing=headings["Missing"],
            )
        return body

    return declare


def registered_features() -> tuple[Feature, ...]:
    """Every declared feature, in the order of the matrix."""
    importlib.import_module("turbomode_assets.features.families")
    return tuple(sorted(_DECLARED.values(), key=lambda each: FAMILIES.index(each.family)))


def select_features(names: Sequence[str] | None) -> tuple[Feature, ...]:
    """Features by name, in the order of the matrix; all of them for None.

    Raises:
        InputError: a name is unknown, or none is given.
    """
    known = registered_features()
    if names is None:
        return known
    wanted = set(names)
    unknown = [name for name in names if name not in _DECLARED]
    if unknown or not wanted:
        near = {near for name in unknown for near in get_close_matches(name, _DECLARED, n=3)}
        raise InputError(
            f"unknown features: {first_few(unknown)}" if unknown else "no feature is named",
            where="names of compute_features",
            fix=f"near them: {first_few(sorted(near))}"
            if near
            else "use names of feature_names(), or None for all",
        )
    return tuple(each for each in known if each.name in wanted)


def describe_features() -> pl.DataFrame:
    """One row for each feature, in order: name, family, window, inputs, formula, source.

    `window` counts the bars a value depends on, the session's own included.
    """
    return pl.DataFrame(
        [
            (each.name, each.family, each.bars, list(each.inputs), each.formula, each.source)
            for each in registered_features()
        ],
        schema={
            "name": pl.String,
            "family": pl.String,
            "window": pl.Int64,
            "inputs": pl.List(pl.String),
            "formula": pl.String,
            "source": pl.String,
        },
        orient="row",
    )


def _headings(body: Callable[..., Tensor], where: str) -> dict[str, str]:
    """Read `Heading: text` from a docstring; indented lines continue the text."""
    found: dict[str, str] = {}
    current = ""
    for line in inspect.cleandoc(body.__doc__ or "").splitlines():
        heading, colon, text = line.partition(":")
        if colon and heading in HEADINGS:
            current = heading
            found[current] = text.strip()
        elif current and line.startswith(" "):
            found[current] = f"{found[current]} {line.strip()}"
        else:
            current = ""
    absent = [heading for heading in HEADINGS if not found.get(heading)]
    if absent:
        raise InputError(
            f"the docstring lacks {first_few(f'{heading}:' for heading in absent)}",
            where=where,
            fix="state the formula, its source and when a value is missing",
        )
    return found


def _check_signature(
    body: Callable[..., Tensor], family: str, inputs: Sequence[str], where: str
) -> bool:
    """Tell whether the formula takes `window`, having checked its inputs and family."""
    if family not in FAMILIES:
        raise InputError(
            f"unknown family {family}", where=where, fix=f"use one of {', '.join(FAMILIES)}"
        )
    parameters = list(inspect.signature(body).parameters)
    takes_window = "window" in parameters
    taken = [name for name in parameters if name != "window"]
    if taken != list(inputs) or not set(taken) <= set(INPUTS):
        raise InputError(
            f"the formula takes ({', '.join(taken)}), declared are ({', '.join(inputs)})",
            where=where,
            fix=f"name the same inputs in the same order, of {', '.join(INPUTS)}",
        )
    return takes_window
