"""From formulas to nodes: a formula is evaluated once, on series that note what is done to them.

A traced series answers to the arithmetic of tensors that formulas use. What is noted twice is one
node, and a lag is no node at all but the place at which a node is read. No arithmetic lives here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard, cast

import torch
from torch import Tensor

from turbomode_assets.features.compiler.opcodes import Op

Place = tuple[int, int]
"""A node and the lag at which it is read."""

FUSED = {
    Op.PRODUCT_ON_TOP: (0, Op.ADD, Op.PRODUCT_ON_SUM),
    Op.SCALED_ON_TOP: (0, Op.ADD, Op.SCALED_ON_SUM),
    Op.UNDEFINED_WHERE: (1, Op.IS_BELOW, Op.UNDEFINED_BELOW),
}
"""Operations that take in another one, which makes their operand of this position: the result."""


@dataclass(frozen=True)
class Node:
    """One step of a program before it has a place: what it does, on which nodes, how far back."""

    op: Op
    operands: tuple[Place, ...] = ()
    number: float = 0.0
    window: int = 0
    until: int = 0

    @property
    def reach(self) -> int:
        """How many bars before its own session it reads of its first operand."""
        if self.op is Op.COUNT_LOWER:
            return self.until - 1
        return 0 if self.op is Op.WRITE else max(self.window - 1, 0)


class Trace:
    """The nodes that formulas have asked for, in an order in which they can be computed."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = tuple(inputs)
        self.nodes: list[Node | None] = [None] * len(self.inputs)  # an input has nothing to do
        self._numbers: dict[Node, int] = {}
        self._series: dict[tuple[int, int], TracedSeries] = {}

    def input(self, name: str) -> Tensor:
        """Return the series of an input."""
        return self.series(self.inputs.index(name), 0)

    def series(self, node: int, lag: int) -> Tensor:
        """Return the one series that stands for a node, read `lag` bars earlier."""
        found = self._series.setdefault((node, lag), TracedSeries(self, node, lag))
        return cast(Tensor, found)

    def add(
        self,
        op: Op,
        *operands: "TracedSeries | Tensor",
        number: float = 0.0,
        window: int = 0,
        until: int = 0,
    ) -> Tensor:
        """Note an operation on series of this trace."""
        op, places = self._fused(op, [self.place(each) for each in operands])
        lag = min(lag for _, lag in places)
        read = tuple((node, place - lag) for node, place in places)
        node = Node(op, read, float(number), window, until)
        known = self._numbers.get(node)
        if known is None:
            known = self._numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return self.series(known, lag)

    def place(self, series: "TracedSeries | Tensor") -> Place:
        """Node and lag of a series of this trace."""
        traced = cast(TracedSeries, series)
        return traced.node, traced.lag

    def operands_of(self, place: Place, op: Op) -> tuple[Place, ...]:
        """Return what a node reads, if it does this operation and nothing else; else nothing."""
        node = self.nodes[place[0]]
        if node is None or node.op is not op:
            return ()
        return tuple((read, lag + place[1]) for read, lag in node.operands)

    def _fused(self, op: Op, places: list[Place]) -> tuple[Op, list[Place]]:
        """Take in the step before, where one step does both in a single pass over memory."""
        if op in FUSED:
            position, inner, outer = FUSED[op]
            taken = self.operands_of(places[position], inner)
            if taken:
                return outer, [*places[:position], *taken, *places[position + 1 :]]
        return op, places


class TracedSeries:
    """Stands for a tensor [symbols, sessions] while a formula is traced."""

    def __init__(self, trace: Trace, node: int, lag: int) -> None:
        self.trace, self.node, self.lag = trace, node, lag

    dtype = torch.float64

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Tensor],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Tensor:
        """Note a function of torch's own namespace."""
        first, second = args
        if kwargs:
            assert function is torch.add
            return cast(Tensor, first.note(Op.SCALED_ON_TOP, second, number=kwargs["alpha"]))
        return cast(Tensor, first.note(cls.FUNCTIONS[function], second))

    FUNCTIONS: ClassVar[dict[Callable[..., Tensor], Op]] = {
        torch.maximum: Op.LARGER,
        torch.minimum: Op.SMALLER,
        torch.add: Op.ADD,
    }

    def note(self, op: Op, *others: Any, **settings: Any) -> Tensor:
        """Note an operation whose first operand is this series."""
        return self.trace.add(op, self, *others, **settings)

    def lagged(self, bars: int) -> Tensor:
        """Return the same series, read earlier."""
        return self.trace.series(self.node, self.lag + bars)

    def _with(self, other: Any, op: Op, op_of_number: Op, number: float) -> Tensor:
        if isinstance(other, TracedSeries):
            return self.note(op, other)
        return self.note(op_of_number, number=number)

    def __add__(self, other: Any) -> Tensor:
        return self._with(other, Op.ADD, Op.ADD_NUMBER, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        if isinstance(other, TracedSeries):
            return self.note(Op.SUBTRACT, other)
        return self.note(Op.ADD_NUMBER, number=-other)

    def __rsub__(self, other: float) -> Tensor:
        return self.note(Op.SUBTRACT_FROM_NUMBER, number=other)

    def __mul__(self, other: Any) -> Tensor:
        return self._with(other, Op.MULTIPLY, Op.SCALE, other)

    __rmul__ = __mul__
    mul_ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        if isinstance(other, TracedSeries):
            return self.note(Op.DIVIDE, other)
        return self.note(Op.SCALE, number=1 / other)

    def __rtruediv__(self, other: float) -> Tensor:
        return self.note(Op.DIVIDE_NUMBER, number=other)

    def __neg__(self) -> Tensor:
        return self.note(Op.SCALE, number=-1.0)

    def __gt__(self, other: Any) -> Tensor:
        return self._with(other, Op.IS_ABOVE, Op.IS_ABOVE_NUMBER, other)

    def __lt__(self, other: Any) -> Tensor:
        return self._with(other, Op.IS_BELOW, Op.IS_BELOW_NUMBER, other)

    def __or__(self, other: Any) -> Tensor:
        return self.note(Op.ADD, other)

    def abs(self) -> Tensor:
        """Absolute value."""
        return self.note(Op.ABSOLUTE)

    def square(self) -> Tensor:
        """Square."""
        return self.note(Op.MULTIPLY, self)

    def sqrt(self) -> Tensor:
        """Square root."""
        return self.note(Op.SQUARE_ROOT)

    sqrt_ = sqrt

    def log(self) -> Tensor:
        """Natural logarithm."""
        return self.note(Op.LOG)

    def log1p(self) -> Tensor:
        """Natural logarithm of the value plus one."""
        return self.note(Op.LOG_OF_ONE_MORE)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent."""
        return self.note(Op.TANH)

    def isfinite(self) -> Tensor:
        """1 where finite, else 0."""
        return self.note(Op.IS_FINITE)

    def to(self, _: torch.dtype) -> Tensor:
        """As it is: every series is of doubles."""
        return cast(Tensor, self)

    def nan_to_num(self, *, nan: float) -> Tensor:
        """0 in place of NaN."""
        assert nan == 0.0
        return self.note(Op.ZERO_FOR_MISSING)

    def clamp(self, min: float = -math.inf, max: float = math.inf) -> Tensor:
        """At least `min` and at most `max`; NaN stays."""
        clamped = self if min == -math.inf else self.note(Op.AT_LEAST_NUMBER, number=min)
        if max == math.inf:
            return cast(Tensor, clamped)
        return cast(TracedSeries, clamped).note(Op.AT_MOST_NUMBER, number=max)

    clamp_ = clamp

    def masked_fill(self, where: Tensor, value: float) -> Tensor:
        """NaN where the condition holds."""
        assert math.isnan(value)
        return self.note(Op.UNDEFINED_WHERE, where)

    masked_fill_ = masked_fill


def is_traced(series: object) -> TypeGuard[TracedSeries]:
    """Tell whether a formula is being traced, rather than computed."""
    return isinstance(series, TracedSeries)
