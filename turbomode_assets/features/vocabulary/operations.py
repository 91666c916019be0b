"""The operations that formulas are written in, by name; and series that note what is done to them.

A formula is called once with noted series in place of tensors. An operation that is given one notes
its name and arguments instead of computing, so a formula becomes plain data (`formulas`). Each
operation has a version, raised by hand when its values change beyond rounding: every feature that
uses it is then another one.
"""

import functools
import inspect
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from turbomode_assets.contracts.errors import InputError
from turbomode_assets.features.formulas import Argument, Step
from turbomode_assets.features.vocabulary.sharing import shared

P = ParamSpec("P")
R = TypeVar("R")
COLUMN_VERSION = 1
"""Version of how a result becomes a column: complete windows only, rounded to float32."""


@dataclass(frozen=True)
class Operation:
    """What can be done with series: `compute` takes tensors or traced series, and numbers."""

    name: str
    version: int
    compute: Callable[..., Any]


OPERATIONS: dict[str, Operation] = {}


def operation(
    *, version: int, name: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare an operation of the vocabulary; it computes once for the same series.

    Raises:
        InputError: another operation has its name.
    """

    def declare(function: Callable[P, R]) -> Callable[P, R]:
        called = name or function.__name__
        if called in OPERATIONS:
            raise InputError(
                f"operation {called} is declared twice",
                where=f"{function.__module__}.{function.__name__}",
                fix="give one of them another name",
            )
        compute, signature = shared(function), inspect.signature(function)

        @functools.wraps(function)
        def noting(*args: P.args, **kwargs: P.kwargs) -> R:
            if not any(isinstance(each, NotedSeries) for each in (*args, *kwargs.values())):
                return compute(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return cast(R, _note(called, list(bound.arguments.values())))

        OPERATIONS[called] = Operation(called, version, compute)
        return noting

    return declare


class Notes:
    """The steps that one formula has asked for, each different one once."""

    def __init__(self) -> None:
        self._numbers: dict[Step, int] = {}

    def add(self, step: Step) -> "NotedSeries":
        """Note a step; return the series that stands for its result."""
        return NotedSeries(self, f"#{self._numbers.setdefault(step, len(self._numbers))}")

    @property
    def steps(self) -> list[Step]:
        """The steps in the order in which they were asked for."""
        return list(self._numbers)


class NotedSeries:
    """Stands for a tensor [symbols, sessions] while a formula is noted."""

    def __init__(self, notes: Notes, reference: str) -> None:
        self.notes, self.reference = notes, reference

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Tensor],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> "NotedSeries":
        """Note a function of torch's own namespace."""
        names: dict[Callable[..., Tensor], str] = {
            torch.maximum: "larger",
            torch.minimum: "smaller",
        }
        if function not in names or kwargs:
            raise InputError(
                f"a formula uses torch.{getattr(function, '__name__', function)}",
                where="features, families",
                fix="write it with operations of features/vocabulary",
            )
        return _note(names[function], list(args))

    def __add__(self, other: Any) -> "NotedSeries":
        return _note("add", [self, other])

    __radd__ = __add__

    def __sub__(self, other: Any) -> "NotedSeries":
        return _note("subtract", [self, other])

    def __rsub__(self, other: float) -> "NotedSeries":
        return _note("subtract", [other, self])

    def __mul__(self, other: Any) -> "NotedSeries":
        return _note("multiply", [self, other])

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "NotedSeries":
        return _note("divide", [self, other])

    def __rtruediv__(self, other: float) -> "NotedSeries":
        return _note("divide", [other, self])

    def __neg__(self) -> "NotedSeries":
        return _note("negative", [self])

    def __gt__(self, other: Any) -> "NotedSeries":
        return _note("is_above", [self, other])

    def __lt__(self, other: Any) -> "NotedSeries":
        return _note("is_below", [self, other])

    def abs(self) -> "NotedSeries":
        """Absolute value."""
        return _note("absolute", [self])

    def square(self) -> "NotedSeries":
        """Square."""
        return _note("square", [self])

    def sqrt(self) -> "NotedSeries":
        """Square root."""
        return _note("square_root", [self])

    def log(self) -> "NotedSeries":
        """Natural logarithm."""
        return _note("log", [self])

    def log1p(self) -> "NotedSeries":
        """Natural logarithm of the value plus one."""
        return _note("log_of_one_more", [self])

    def tanh(self) -> "NotedSeries":
        """Hyperbolic tangent."""
        return _note("hyperbolic_tangent", [self])

    def masked_fill(self, where: "NotedSeries", value: float) -> "NotedSeries":
        """NaN where the condition holds."""
        assert math.isnan(value)
        return _note("undefined_where", [self, where])


def _note(name: str, given: list[Any]) -> NotedSeries:
    notes = next(each.notes for each in given if isinstance(each, NotedSeries))
    return notes.add(Step(name, tuple(_argument(each, name) for each in given)))


def _argument(given: object, name: str) -> Argument:
    if isinstance(given, NotedSeries):
        return given.reference
    if isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given):
        return given
    raise InputError(
        f"{name} is given {given!r}, which is neither a series nor a number",
        where="features, families",
        fix="give operations of the vocabulary series and finite numbers alone",
    )


def _declare_arithmetic() -> None:
    """Declare what Python's operators and torch's functions do to tensors and traced series."""
    plain: dict[str, Callable[..., Any]] = {
        "add": operator.add,
        "subtract": operator.sub,
        "multiply": operator.mul,
        "divide": operator.truediv,
        "negative": operator.neg,
        "is_above": operator.gt,
        "is_below": operator.lt,
        "larger": torch.maximum,
        "smaller": torch.minimum,
        "square": lambda series: series.square(),
        "square_root": lambda series: series.sqrt(),
        "hyperbolic_tangent": lambda series: series.tanh(),
    }
    for name, compute in plain.items():
        OPERATIONS[name] = Operation(name, 1, compute)


_declare_arithmetic()
