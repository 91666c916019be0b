"""The second floor: what the base models' probabilities say together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from turbomode_assets.config.models import MetaLearnerConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.errors import InputError
from turbomode_assets.models import Labels, Probabilities

BaseProbabilities = NDArray[np.float64]
"""Probabilities [rows, base models, classes]."""

_LEAST_PROBABILITY = 1e-6
_LEAST_SPREAD = 0.05
_FARTHEST_DEVIATIONS = 4.0


@dataclass(frozen=True)
class MetaLearner:
    """Multinomial logistic regression on standardised base log-probabilities.

    Probabilities below 1e-6 count as 1e-6. The coefficients are shrunk towards 0, which is the
    forecast of the class shares: base models without skill leave it unchanged. A base model that
    hardly varied where the stack learned is measured in units of 0.05, and values count as at most
    4 deviations from the centre: refitted on more rows, such a model moves by many of its own
    deviations without knowing more.
    Source: stacking (Wolpert 1992), fitted on out-of-fold predictions only.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]

    @classmethod
    def fit(cls, base: BaseProbabilities, labels: Labels, config: MetaLearnerConfig) -> Self:
        """Learn from out-of-fold base probabilities [rows, models, classes] and labels [rows].

        Raises:
            InputError: a class has no label.
        """
        absent = [name for at, name in enumerate(CLASSES) if not (labels == at).any()]
        if absent:
            raise InputError(
                f"no label of class {', '.join(absent)} among {len(labels)}",
                where="meta-learner",
                fix="give out-of-fold rows of every class",
            )
        logs = _log(base)
        centre, spread = logs.mean(axis=0), logs.std(axis=0)
        scale = np.maximum(spread, _LEAST_SPREAD)
        # scikit-learn weighs the sum of the losses by C; ours is the mean loss.
        solver = LogisticRegression(C=1 / (config.l2 * len(labels)), tol=1e-8, max_iter=1000)
        with threadpool_limits(1):
            solver.fit(_standardised(logs, centre, scale), labels)
        return cls(centre, scale, solver.coef_, solver.intercept_)

    def predict_proba(self, base: BaseProbabilities) -> Probabilities:
        """Probabilities [rows, classes] for base probabilities [rows, models, classes]."""
        standardised = _standardised(_log(base), self.centre, self.scale)
        # Summed row by row over adjacent values: a matrix product, or another memory layout,
        # would round differently with the number of rows.
        terms = np.multiply(standardised[:, None, :], self.coefficients, order="C")
        logits = terms.sum(axis=2) + self.intercepts
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Probabilities = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values that `from_json` reads back exactly."""
        return {
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "coefficients": self.coefficients.tolist(),
            "intercepts": self.intercepts.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        names = ("centre", "scale", "coefficients", "intercepts")
        return cls(*(np.asarray(content[name], dtype=np.float64) for name in names))


def _standardised(
    logs: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    deviations: NDArray[np.float64] = (logs - centre) / scale
    return np.clip(deviations, -_FARTHEST_DEVIATIONS, _FARTHEST_DEVIATIONS)


def _log(base: BaseProbabilities) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(base, _LEAST_PROBABILITY))
    return logs.reshape(len(base), -1)
