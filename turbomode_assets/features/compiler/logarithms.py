"""Compiled loops for logarithms and the hyperbolic tangent, which process several values at once.

A call of the C library's logarithm for each value would take the processor's vector units out of
use; plain arithmetic on the bits of a double keeps them. The polynomial and its way of rounding
are those of fdlibm (Sun Microsystems, 1993): less than one unit in the last place is lost.
"""

import math

import numpy as np
import numpy.typing as npt
from numba import njit

Doubles = npt.NDArray[np.float64]

MANTISSA_BITS = 52
SQUARE_ROOT_OF_HALF = np.int64(np.float64(math.sqrt(0.5)).view(np.int64))
"""As bits. Mantissas are taken between it and its double, so that their logarithm is smallest."""
SMALLEST_NORMAL = 2.0**-1022
LN2_HIGH = 6.93147180369123816490e-01
"""So many digits of ln 2 that its product with an exponent is exact."""
LN2_LOW = 1.90821492927058770002e-10

_compiled = njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def log(x: Doubles, out: Doubles) -> None:
    """Natural logarithm; numbers below the smallest normal one count as zero."""
    bits, mantissa_bits = x.view(np.int64), out.view(np.int64)
    for at in range(len(out)):
        exponent = (bits[at] - SQUARE_ROOT_OF_HALF) >> MANTISSA_BITS
        mantissa_bits[at] = bits[at] - (exponent << MANTISSA_BITS)
    for at in range(len(out)):
        exponent = float((bits[at] - mantissa_bits[at]) >> MANTISSA_BITS)
        f = out[at] - 1.0
        s = f / (2.0 + f)
        z = s * s
        w = z * z
        odd = w * (
            3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01)
        )
        even = 2.857142874366239149e-01 + w * (
            1.818357216161805012e-01 + w * 1.479819860511658591e-01
        )
        rest = odd + z * (6.666666666666735130e-01 + w * even)
        half = 0.5 * f * f
        value = exponent * LN2_HIGH - ((half - (s * (half + rest) + exponent * LN2_LOW)) - f)
        is_normal = (x[at] >= SMALLEST_NORMAL) & (x[at] < math.inf)
        edge = x[at] if x[at] > 1.0 else (-math.inf if x[at] >= 0.0 else math.nan)
        out[at] = value if is_normal else edge


@_compiled
def log_of_one_more(x: Doubles, out: Doubles) -> None:
    """Natural logarithm of the value plus one."""
    more = np.empty(len(x))
    for at in range(len(out)):
        more[at] = x[at] + 1.0
    log(more, out)
    for at in range(len(out)):
        # What rounding has taken from the sum, relative to it.
        lost = (x[at] - (more[at] - 1.0)) / more[at]
        out[at] += lost if (more[at] > 0.0) & (more[at] < math.inf) else 0.0


@_compiled
def tanh(x: Doubles, out: Doubles) -> None:
    """Hyperbolic tangent, within rounding of one."""
    for at in range(len(out)):
        faded = math.exp(-2.0 * abs(x[at]))
        out[at] = math.copysign((1.0 - faded) / (1.0 + faded), x[at])
