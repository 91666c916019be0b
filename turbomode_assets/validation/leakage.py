"""Whether a single feature knows the outcome: nothing honest tells BUY from SELL that well."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from turbomode_assets.contracts.errors import ContractError, InputError, first_few
from turbomode_assets.validation.inputs import Rows, Values, require_same_length
from turbomode_assets.validation.metrics import BUY, SELL, TOUCHED

_WHERE = "leakage"
_MOST_ROWS = 50_000
_SEED = 0


def sampled_rows(labels: NDArray[np.integer], exit_reasons: NDArray[np.str_]) -> Rows:
    """Positions of the rows that features are judged by, ascending: BUY and SELL at a barrier.

    Beyond 50,000 of them as many are drawn, always the same ones. Of those rows alone the same
    ones are judged: a large matrix need not be copied whole.

    Raises:
        InputError: no rows, or lengths that differ.
    """
    require_same_length(_WHERE, labels=labels, exit_reasons=exit_reasons)
    rows = np.flatnonzero(np.isin(exit_reasons, TOUCHED) & np.isin(labels, (BUY, SELL)))
    if len(rows) > _MOST_ROWS:
        # Drawn, not every n-th: a stride through rows in calendar order would pick out weekdays.
        chosen = np.random.default_rng(_SEED).choice(len(rows), _MOST_ROWS, replace=False)
        rows = rows[np.sort(chosen)]
    return rows


def single_feature_auc(
    values: NDArray[np.float32], labels: NDArray[np.integer], exit_reasons: NDArray[np.str_]
) -> Values:
    """AUC of each column of `values` [rows, features] for BUY against SELL; 0.5 knows nothing.

    Formula: the share of pairs of a BUY and a SELL row in which BUY has the larger value, ties
    half, among `sampled_rows`; where those are drawn, the error of the AUC is below 0.003.
    Missing: a NaN value is left out of its feature; the AUC is NaN without a row of both sides.

    Raises:
        InputError: no rows, or shapes that do not match.
    """
    return _judge(values, labels, exit_reasons)[0]


def require_no_leak(
    values: NDArray[np.float32],
    columns: Sequence[str],
    labels: NDArray[np.integer],
    exit_reasons: NDArray[np.str_],
    *,
    maximum_auc: float,
    minimum_side_rows: int = 50,
) -> None:
    """Refuse features that alone tell BUY from SELL too well to be known at the decision.

    A feature with fewer than `minimum_side_rows` values on either side is not judged: of so few,
    chance alone ranks some that well.

    Raises:
        ContractError: the AUC of a feature, or 1 - AUC, exceeds `maximum_auc`; it names them, the
            worst first.
        InputError: no rows, shapes that do not match, or a maximum outside (0.5, 1].
    """
    if not 0.5 < maximum_auc <= 1:
        raise InputError(
            f"maximum_auc is {maximum_auc}", where=_WHERE, fix="give one above 0.5, at most 1"
        )
    areas, fewest = _judge(values, labels, exit_reasons)
    if len(columns) != len(areas):
        raise InputError(
            f"{len(columns)} names for {len(areas)} features",
            where=_WHERE,
            fix="name every column of the values, in order",
        )
    strength = np.where(fewest >= minimum_side_rows, np.maximum(areas, 1 - areas), 0.5)
    worst = [at for at in np.argsort(-strength, kind="stable") if strength[at] > maximum_auc]
    if worst:
        listed = first_few(f"{columns[at]} (AUC {areas[at]:.3f})" for at in worst)
        raise ContractError(
            f"features that alone tell BUY from SELL: {listed}; at most {maximum_auc} or at least "
            f"{1 - maximum_auc:.3g} is believed",
            where="features of the rows to learn from",
            fix="look for prices after the decision session in their formulas or in their source "
            "and materialize them again, or raise validation_strategy.maximum_feature_auc if they "
            "are honest",
        )


def _judge(
    values: NDArray[np.float32], labels: NDArray[np.integer], exit_reasons: NDArray[np.str_]
) -> tuple[Values, Rows]:
    """AUC of each feature, and how many values its rarer side has."""
    require_same_length(_WHERE, values=values, labels=labels, exit_reasons=exit_reasons)
    if values.ndim != 2:
        raise InputError(
            f"values have the shape {values.shape}", where=_WHERE, fix="give [rows, features]"
        )
    rows = sampled_rows(labels, exit_reasons)
    # Column after column lies together, so that each sort reads adjacent values.
    judged = np.asfortranarray(values[rows])
    is_buy = labels[rows] == BUY
    pairs = [_area(judged[:, at], is_buy) for at in range(judged.shape[1])]
    areas, fewest = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(areas, dtype=np.float64), np.array(fewest, dtype=np.int64)


def _area(feature: NDArray[np.float32], is_buy: NDArray[np.bool_]) -> tuple[float, int]:
    """AUC of one feature and how many values its rarer side has."""
    present = ~np.isnan(feature)
    feature, is_buy = feature[present], is_buy[present]
    buys = int(is_buy.sum())
    sells = len(is_buy) - buys
    if not buys or not sells:
        return np.nan, 0
    order = np.argsort(feature)
    ordered = feature[order]
    # Compared, not subtracted: the difference of two infinities is no number.
    last_of_tie = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    buys_up_to = np.cumsum(is_buy[order])[last_of_tie]
    sells_up_to = last_of_tie + 1 - buys_up_to
    tied_buys, tied_sells = (np.diff(counts, prepend=0) for counts in (buys_up_to, sells_up_to))
    ranked_rightly = ((sells_up_to - tied_sells / 2) * tied_buys).sum()
    return float(ranked_rightly / (buys * sells)), min(buys, sells)
