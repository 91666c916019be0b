"""Programs: what the CPU runs for a list of features. Which sessions and registers, no arithmetic.

A node is computed for the sessions that are asked for and as many before them as later nodes read:
so a session costs no more than its windows. A register is free again after its last reader.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from turbomode_assets.features.compiler import interpreter
from turbomode_assets.features.compiler.announcing import report_compiling
from turbomode_assets.features.compiler.kernels import Doubles
from turbomode_assets.features.compiler.opcodes import Op
from turbomode_assets.features.compiler.tracing import Node, Place, Trace, TracedSeries, is_traced
from turbomode_assets.features.evaluation import evaluate_all
from turbomode_assets.features.formulas import ColumnFormula
from turbomode_assets.features.vocabulary.sharing import shared_results

INPUTS = ("open", "high", "low", "close", "volume", "dollar_volume", "benchmark")
"""What the features of single symbols read; the benchmark's close comes last."""
BLOCK = 1024
"""Sessions worked on at once: all registers then fit the second-level cache."""
BESIDE = 16
"""Most symbols worked on at once, where few sessions are asked for."""
FIELDS = 9
"""Of a step: see `interpreter.run`."""


@dataclass(frozen=True, eq=False)
class Program:
    """Steps as the interpreter takes them, for registers that hold a whole block or fewer."""

    nodes: tuple[Node | None, ...]
    order: tuple[int, ...]
    """The nodes that something reads, in the order in which they are computed."""
    before: tuple[int, ...]
    """For each node, how many sessions before those asked for it is computed for."""

    @property
    def reach(self) -> int:
        """How many sessions before those asked for the inputs are read."""
        return max(self.before)

    @functools.cached_property
    def registers(self) -> tuple[dict[int, int], list[int]]:
        """Register of each node, and how many sessions before a block each register holds."""
        last_reader = {node: at for at in self.order for node, _ in _of(self.nodes[at]).operands}
        place = {node: node for node in range(len(INPUTS))}
        held = [self.reach] * len(INPUTS)
        free: list[int] = []
        for at in self.order:
            node = _of(self.nodes[at])
            made = [at, at + 1] if node.op is Op.SMALLER_OF_PAIR else [at]
            if node.op in (Op.LARGER_OF_PAIR, Op.WRITE):
                made = []
            for each in made:
                place[each] = _take_register(free, held, self.before[each])
            done = {read for read, _ in node.operands if last_reader[read] == at}
            done.update(each for each in made if each not in last_reader)
            free += [place[each] for each in done if each >= len(INPUTS)]
        return place, held

    @functools.lru_cache(maxsize=8)  # noqa: B019  # programs are cached themselves
    def steps(self, block: int, beside: int) -> tuple[interpreter.Integers, Doubles, int]:
        """Steps, their numbers and where the registers end, for so many sessions and symbols."""
        place, held = self.registers
        ends = np.cumsum([(each + block) * beside for each in held])
        origins = {node: int(ends[register]) - block * beside for node, register in place.items()}
        rows, numbers = [], []
        for at in self.order:
            node = _of(self.nodes[at])
            if node.op is Op.LARGER_OF_PAIR:
                continue
            before = self.before[at]
            read = [origins[each] - (before + lag) * beside for each, lag in node.operands]
            if node.op is Op.WRITE and len(read) == 1:
                read.append(int(ends[-1]))
            read += read[:1] * (4 - len(read))
            target = 0 if node.op is Op.WRITE else origins[at] - before * beside
            is_pair = node.op is Op.SMALLER_OF_PAIR
            until = origins[at + 1] - before * beside if is_pair else node.until
            rows.append([node.op, before, target, *read, node.window, until])
            numbers.append(node.number)
        table = np.array(rows, dtype=np.int64).reshape(-1, FIELDS)
        return table, np.array(numbers), int(ends[-1])


def _take_register(free: list[int], held: list[int], before: int) -> int:
    """Take the free register that is large enough or becomes it with the least growth."""
    if not free:
        held.append(before)
        return len(held) - 1
    # Of equal ones the last that became free, which is likeliest to be in the cache still.
    taken = min(reversed(free), key=lambda each: (max(before - held[each], 0), held[each]))
    free.remove(taken)
    held[taken] = max(held[taken], before)
    return taken


@functools.lru_cache(maxsize=64)
def program_of(features: tuple[tuple[int, ColumnFormula], ...]) -> Program:
    """Trace features of single symbols, each with the column that it becomes."""
    trace = Trace(INPUTS)
    inputs = {name: trace.input(name) for name in INPUTS}
    columns, formulas = zip(*features, strict=True)
    with shared_results():
        for column, (each, values) in zip(columns, evaluate_all(formulas, inputs), strict=True):
            assert is_traced(values)
            write(trace, values, column, each.bars)
    return assembled(trace)


def write(trace: Trace, values: TracedSeries, column: int, bars: int) -> None:
    """Note that a series is written to a column where a row has so many bars in a row.

    Writing multiplies, too: it takes in a last product, and a last quotient as the product with the
    inverse, which features that are divided by the same series share.
    """
    place, number = _without_scale(trace, trace.place(values), 1.0)
    read = trace.operands_of(place, Op.MULTIPLY)
    quotient = trace.operands_of(place, Op.DIVIDE)
    if quotient:
        dividend, (node, lag) = quotient
        inverse = trace.add(Op.DIVIDE_NUMBER, trace.series(node, lag), number=1.0)
        read = dividend, trace.place(inverse)
    if read:
        place, number = _without_scale(trace, read[0], number)
    trace.nodes.append(Node(Op.WRITE, (place, *read[1:]), number, column, bars))


def _without_scale(trace: Trace, place: Place, number: float) -> tuple[Place, float]:
    """Take a series for another one times a number, if it is that."""
    scaled = trace.operands_of(place, Op.SCALE)
    if not scaled:
        return place, number
    node = trace.nodes[place[0]]
    return scaled[0], number * _of(node).number


def assembled(trace: Trace) -> Program:
    """Find out which nodes are read, and from which session on."""
    before = [-1] * len(trace.nodes)
    for at in range(len(trace.nodes) - 1, len(trace.inputs) - 1, -1):
        node = _of(trace.nodes[at])
        if node.op is Op.WRITE:
            before[at] = 0
        if node.op is Op.SMALLER_OF_PAIR:
            before[at] = max(before[at], before[at + 1])
            before[at + 1] = before[at]
        if before[at] < 0:
            continue
        for number, (read, lag) in enumerate(node.operands):
            reads_window = number == 0 or node.op is Op.DIRECTIONAL_INDEX
            earliest = before[at] + lag + (node.reach if reads_window else 0)
            before[read] = max(before[read], earliest)
    computed = range(len(trace.inputs), len(trace.nodes))
    order = tuple(at for at in computed if before[at] >= 0)
    return Program(tuple(trace.nodes), order, tuple(before))


def blocks_of(sessions: int) -> tuple[int, int]:
    """How many sessions and symbols to work on at once, when so many sessions are asked for."""
    block = min(BLOCK, sessions)
    return block, max(1, min(BESIDE, BLOCK // block))


def run_program(
    program: Program,
    inputs: Doubles,
    benchmark: Doubles,
    present: npt.NDArray[np.bool_],
    first: int,
    row: int,
    out: npt.NDArray[np.float32],
) -> None:
    """Run a program over some symbols, whose rows begin at `row`: see `interpreter.run`."""
    block, beside = blocks_of(present.shape[1] - first)
    steps, numbers, end = program.steps(block, beside)
    _loop()(
        steps,
        numbers,
        end,
        program.reach,
        block,
        beside,
        inputs,
        benchmark,
        present,
        first,
        row,
        out,
    )


@functools.cache
def _loop() -> Callable[..., None]:
    """Return the compiled loop, which reports when it has to be compiled first."""
    loop = interpreter.run()
    report_compiling(loop)
    return loop


def _of(node: Node | None) -> Node:
    assert node is not None, "an input is never computed"
    return node
