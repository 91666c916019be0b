"""The operations of a program: what tracing emits and the interpreter runs. Nothing else."""

from enum import IntEnum, auto


class Op(IntEnum):
    """What a step does with its operands x, y, z, u, its number and its window."""

    ADD = auto()
    SUBTRACT = auto()
    MULTIPLY = auto()
    DIVIDE = auto()
    LARGER = auto()
    SMALLER = auto()
    IS_ABOVE = auto()
    IS_BELOW = auto()
    ADD_NUMBER = auto()
    SUBTRACT_FROM_NUMBER = auto()
    SCALE = auto()
    DIVIDE_NUMBER = auto()
    IS_ABOVE_NUMBER = auto()
    IS_BELOW_NUMBER = auto()
    AT_LEAST_NUMBER = auto()
    AT_MOST_NUMBER = auto()
    ABSOLUTE = auto()
    SQUARE_ROOT = auto()
    LOG = auto()
    LOG_OF_ONE_MORE = auto()
    TANH = auto()
    IS_FINITE = auto()
    ZERO_FOR_MISSING = auto()
    UNDEFINED_WHERE = auto()
    """x, NaN where y is not zero."""
    UNDEFINED_BELOW = auto()
    """x, NaN where y is below z."""
    DIFFERENCE = auto()
    """x - y, 0 where that is below `number` of z."""
    PRODUCT_ON_TOP = auto()
    """x + y z `number`."""
    PRODUCT_ON_SUM = auto()
    """x + y + z u `number`."""
    SCALED_ON_TOP = auto()
    """x + y `number`."""
    SCALED_ON_SUM = auto()
    """x + y + z `number`."""
    CORRELATION = auto()
    """z / sqrt(x y); NaN where x is below u or y below `number`."""
    SMALLER_OF_PAIR = auto()
    """The smaller of x and y, whatever where one is NaN; computes LARGER_OF_PAIR, too."""
    LARGER_OF_PAIR = auto()
    """Comes right after SMALLER_OF_PAIR."""
    COUNT_LOWER = auto()
    """y and twice the x's from `window` to `until` bars ago that are lower, ties once."""
    FIRST_ABOVE = auto()
    MEAN_DEVIATION = auto()
    DIRECTIONAL_INDEX = auto()
    WRITE = auto()
    """x y `number` (without y: x `number`), where a row has `until` bars in a row, to the column
    `window`."""
