"""Why a stored signal is what it is: its rule, its models' probabilities, its features' places."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from turbomode_assets.config.training import SignalsConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.models import Probabilities
from turbomode_assets.signals.decision import BUY, HOLD, SELL, decide

EQUAL_WITHIN = 1e-6
"""How far recomputed probabilities may be from the stored ones: float32 sums may differ."""

STACK = "stack"
"""What the calibrated meta-learner over the base models is called among them."""

PLACES = pl.Schema({"feature": pl.String(), "percentile": pl.Float64(), "sessions": pl.Int64()})


def deciding_rule(probabilities: Probabilities, config: SignalsConfig) -> tuple[str, str]:
    """Return what `decide` says of one row [classes], and the rule that gave it, in words.

    A probability that misses its threshold by less than four decimals show is written in full.

    Raises:
        ContractError: the row is no probability distribution.
    """
    signal = decide(probabilities[None, :], config).item()
    p_sell, _, p_buy = (float(each) for each in probabilities)
    buy = _side(BUY, p_buy, config.buy_threshold, SELL, p_sell)
    sell = _side(SELL, p_sell, config.sell_threshold, BUY, p_buy)
    if signal == BUY:
        return signal, buy
    if signal == SELL:
        return signal, sell
    return HOLD, f"{buy}; {sell}"


def probability_table(
    names: Sequence[str], base: NDArray[np.float64], stack: Probabilities
) -> pl.DataFrame:
    """Lay out what each model says of one row: model, p_sell, p_hold, p_buy; the stack comes last.

    `base` is [models, classes] in the order of `names`, `stack` [classes].

    Raises:
        InputError: they do not fit each other.
    """
    if base.shape != (len(names), len(CLASSES)) or stack.shape != (len(CLASSES),):
        raise InputError(
            f"probabilities of base models are {list(base.shape)}, of the stack "
            f"{list(stack.shape)}, for {len(names)} names",
            where="probability_table",
            fix="pass [models, classes] and [classes] of one row",
        )
    together = np.vstack([base, stack])
    columns = {f"p_{name.lower()}": together[:, at] for at, name in enumerate(CLASSES)}
    return pl.DataFrame({"model": [*names, STACK], **columns})


def largest_difference(stored: Probabilities, recomputed: Probabilities) -> float:
    """Largest |stored - recomputed| over the classes; infinite where one is not a number."""
    difference = float(np.abs(stored - recomputed).max())
    return difference if np.isfinite(difference) else float("inf")


def places_in_history(history: pl.DataFrame, features: Sequence[str]) -> pl.DataFrame:
    """Where the last row of `history` stands among all its rows, for each of `features`.

    `history` holds one symbol's sessions in order, the explained one last. Gives PLACES;
    `sessions` counts the values present.
    Formula: percentile = 100 * (values below + half of the values equal, itself included) /
    values present. A constant feature stands at 50.
    Missing: percentile is null where the value itself is missing.

    Raises:
        InputError: there is no row.
    """
    if history.is_empty():
        raise InputError(
            "there is no session to find a place among",
            where="places_in_history",
            fix="pass the symbol's stored sessions up to the explained one",
        )
    rows = []
    for feature in features:
        values = history.get_column(feature).to_numpy()
        own, present = values[-1], values[~np.isnan(values)]
        percentile = None
        if not np.isnan(own):
            below, equal = (present < own).sum(), (present == own).sum()
            percentile = 100 * float(below + equal / 2) / len(present)
        rows.append((feature, percentile, len(present)))
    return pl.DataFrame(rows, schema=PLACES, orient="row")


def explained_classes(signal: str) -> tuple[str, ...]:
    """Classes whose contributions explain a signal: the signalled side; for HOLD both sides."""
    return (BUY, SELL) if signal == HOLD else (signal,)


def _side(side: str, own: float, threshold: float, rival: str, other: float) -> str:
    """Say whether a side is signalled: both of its conditions, as numbers."""
    reaches = "reaches" if own >= threshold else "is below"
    leads = "exceeds" if own > other else "equals" if own == other else "is below"
    joint = "and" if (own >= threshold) == (own > other) else "but"
    first, second = _apart(own, threshold)
    third, fourth = _apart(own, other)
    own_text = max(first, third, key=len)
    return (
        f"P({side}) {own_text} {reaches} its threshold {second} {joint} {leads} P({rival}) {fourth}"
    )


def _apart(one: float, other: float) -> tuple[str, str]:
    """Write two numbers with four decimals, or in full where those would look equal."""
    short = f"{one:.4f}", f"{other:.4f}"
    return short if short[0] != short[1] or one == other else (repr(one), repr(other))
