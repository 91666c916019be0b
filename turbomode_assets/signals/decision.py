"""The one rule that turns probabilities into a decision."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.training import SignalsConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import ContractError, first_few

SUM_TOLERANCE = 1e-5
"""How far three float32 probabilities may be from adding up to 1."""

SELL, HOLD, BUY = CLASSES


def decide(probabilities: NDArray[np.floating], config: SignalsConfig) -> pl.Series:
    """Decide for each row of `probabilities` [rows, 3], columns in the order of `CLASSES`.

    A side is signalled when its probability reaches its threshold and exceeds the other side's;
    everything else, a tie included, is HOLD. HOLD's own probability plays no part. Compared in
    float64, as stored, so that a stored row always explains its own signal.

    Returns:
        A String series `signal`, one entry for each row.

    Raises:
        ContractError: the shape is another, or a row is no probability distribution.
    """
    p_sell, _, p_buy = check_probabilities(probabilities).astype(np.float64).T
    buy = (p_buy >= config.buy_threshold) & (p_buy > p_sell)
    sell = (p_sell >= config.sell_threshold) & (p_sell > p_buy)
    chosen = np.select([buy, sell], [BUY, SELL], default=HOLD)
    return pl.Series("signal", chosen.tolist(), dtype=pl.String)


def check_probabilities(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return `probabilities` if every row is a distribution over `CLASSES`.

    Raises:
        ContractError: naming the rows (counted from 0) that are not.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != len(CLASSES):
        raise ContractError(
            f"probabilities are shaped {probabilities.shape}",
            where="signals",
            fix=f"pass one row for each prediction and the columns {', '.join(CLASSES)}",
        )
    sums = probabilities.sum(axis=1)
    inside = ((probabilities >= 0) & (probabilities <= 1)).all(axis=1)
    broken = np.flatnonzero(~(inside & (np.abs(sums - 1) <= SUM_TOLERANCE)))
    if broken.size:
        rows = [f"row {row}: {probabilities[row].tolist()}" for row in broken]
        raise ContractError(
            f"not probabilities that add up to 1: {first_few(rows)}",
            where="signals",
            fix="pass the ensemble's calibrated probabilities",
        )
    return probabilities
