"""Torch: multinomial logistic regression on a single session."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from turbomode_assets.config.models import LogisticConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models.adapter import require_columns
from turbomode_assets.models.matrix import Matrix
from turbomode_assets.models.network import (
    HeadedNetwork,
    NetworkRows,
    TorchModel,
    TrainedNetwork,
    weighted_cross_entropy,
)


class Logistic(TorchModel[LogisticConfig]):
    """Penalised multinomial logistic regression; one optimum, so the seed changes nothing."""

    name = "logistic"

    def build(self, inputs: int) -> HeadedNetwork:
        """One linear layer."""
        return _Linear(inputs)

    def train(
        self,
        network: HeadedNetwork,
        rows: NetworkRows,
        held_out: NetworkRows | None,
        *,
        iterations: int | None,
        seed: int,
    ) -> TrainedNetwork:
        """Minimise mean cross-entropy + l2 / 2 x squared coefficients with L-BFGS on all rows.

        Solved to its optimum, it has no step to stop at: it takes no `iterations` and judges no
        rows held out. In float64 on every device.
        """
        network.double()
        inputs = rows.inputs[rows.steps].double()
        optimiser = torch.optim.LBFGS(
            network.parameters(), max_iter=self.config.iterations, line_search_fn="strong_wolfe"
        )

        def objective() -> Tensor:
            optimiser.zero_grad()
            penalty = self.config.l2 / 2 * network.head.weight.square().sum()
            loss = weighted_cross_entropy(network(inputs), rows.labels, rows.weights) + penalty
            torch.autograd.backward(loss)
            return loss

        optimiser.step(objective)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        network.float()
        return TrainedNetwork(None, ())

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return what each feature adds to each class's logit, [rows, classes, features + 1].

        Coefficient x standardised value, and where the value is missing the feature's part of its
        family's missing share; 0 at the median. The last column is the logit of a row at every
        median; a row sums to its logits.
        """
        network, standardiser = self._fitted()
        require_columns(matrix, standardiser.columns, model=self.name)
        state, count = network.state_dict(), len(standardiser.columns)
        slopes = state["head.weight"].double().numpy()
        families = list(dict.fromkeys(standardiser.families))
        family = np.array([families.index(name) for name in standardiser.families])
        if_missing = slopes[:, count + family] / np.bincount(family)[family]
        values = matrix.values
        standardised = standardiser.apply(values)[:, None, :count].astype(np.float64)
        added = np.empty((len(matrix), len(CLASSES), count + 1))
        added[..., :-1] = standardised * slopes[:, :count]
        added[..., :-1] += np.isnan(values)[:, None] * if_missing
        added[..., -1] = state["head.bias"].double().numpy()
        return added


class _Linear(HeadedNetwork):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x[:, -1])
        return logits
