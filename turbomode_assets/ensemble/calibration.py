"""Turning stacked probabilities into frequencies, learned from rows they did not learn from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression

from turbomode_assets.config.learning import CalibrationConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models import Labels, Probabilities
from turbomode_assets.validation.metrics import log_loss

_LEAST = 1e-6
_TEMPERATURES = (0.2, 5.0)


@dataclass(frozen=True)
class Calibrator:
    """Maps probabilities onto frequencies.

    `temperature`: p_k ^ (1 / T), scaled to add up to 1, with the T in [0.2, 5] of the least log
    loss (Guo, Pleiss, Sun and Weinberger 2017, On Calibration of Modern Neural Networks).
    `isotonic`: each class against the others by a monotone function through the knots (Zadrozny
    and Elkan 2002, Transforming Classifier Scores into Accurate Multiclass Probability
    Estimates), scaled to add up to 1; no probability falls below 1e-6. `none` changes nothing.
    """

    method: Literal["none", "temperature", "isotonic"]
    temperature: float = 1.0
    knots: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()

    @classmethod
    def fit(cls, probabilities: Probabilities, labels: Labels, config: CalibrationConfig) -> Self:
        """Learn from forecasts [rows, classes] of rows that the forecaster did not learn from."""
        if config.method == "none" or len(labels) < config.minimum_rows:
            return cls("none")
        if config.method == "temperature":
            return cls("temperature", temperature=_best_temperature(probabilities, labels))
        return cls(
            "isotonic",
            knots=tuple(
                _knots(probabilities[:, number], labels == number) for number in range(len(CLASSES))
            ),
        )

    def apply(self, probabilities: Probabilities) -> Probabilities:
        """Map forecasts [rows, classes]; each row still adds up to 1."""
        if self.method == "none":
            return probabilities
        if self.method == "temperature":
            return _tempered(probabilities, self.temperature)
        mapped = np.stack(
            [
                np.interp(probabilities[:, number], *knots)
                for number, knots in enumerate(self.knots)
            ],
            axis=1,
        )
        return _scaled(np.maximum(mapped, _LEAST))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values that `from_json` reads back exactly."""
        return {
            "method": self.method,
            "temperature": self.temperature,
            "knots": [[list(given), list(came_true)] for given, came_true in self.knots],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`."""
        knots = tuple((tuple(given), tuple(true)) for given, true in content["knots"])
        return cls(content["method"], content["temperature"], knots)


def _best_temperature(probabilities: Probabilities, labels: Labels) -> float:
    found = minimize_scalar(
        lambda temperature: log_loss(_tempered(probabilities, temperature), labels),
        bounds=_TEMPERATURES,
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(found.x)


def _tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    return _scaled(np.maximum(probabilities, _LEAST) ** (1 / temperature))


def _scaled(values: Probabilities) -> Probabilities:
    scaled: Probabilities = values / values.sum(axis=1, keepdims=True)
    return scaled


def _knots(
    given: NDArray[np.float64], came_true: NDArray[np.bool_]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    steps = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    steps.fit(given, came_true.astype(np.float64))
    return tuple(steps.X_thresholds_.tolist()), tuple(steps.y_thresholds_.tolist())
