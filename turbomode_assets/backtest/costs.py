"""What trading costs: a worse price, and a share of the amount traded."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

BASIS_POINTS = 1e4

Amount = TypeVar("Amount", float, NDArray[np.float64])


def executed_price(price: Amount, direction: Amount, slippage_bps: float) -> Amount:
    """Price after slippage: higher for a buyer (`direction` 1), lower for a seller (-1).

    Formula: price * (1 + direction * slippage_bps / 10,000)
    """
    return price * (1 + direction * (slippage_bps / BASIS_POINTS))


def transaction_cost(amount: Amount, cost_bps: float) -> Amount:
    """Cost of trading an amount, whichever its sign.

    Formula: |amount| * cost_bps / 10,000
    """
    return abs(amount) * (cost_bps / BASIS_POINTS)
