"""Torch: multinomial logistic regression on a single session."""

import torch
from torch import Tensor, nn

from turbomode_assets.config.models import LogisticConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models.network import HeadedNetwork, TorchModel


class Logistic(TorchModel[LogisticConfig]):
    """Penalised multinomial logistic regression; one optimum, so the seed changes nothing."""

    name = "logistic"

    def build(self, inputs: int) -> HeadedNetwork:
        """One linear layer."""
        return _Linear(inputs)

    def train(
        self, network: HeadedNetwork, inputs: Tensor, steps: Tensor, labels: Tensor, *, seed: int
    ) -> None:
        """Minimise mean cross-entropy + l2 / 2 x squared coefficients with L-BFGS on all rows."""
        network.double()
        rows = inputs[steps].double()
        optimiser = torch.optim.LBFGS(
            network.parameters(), max_iter=self.config.iterations, line_search_fn="strong_wolfe"
        )

        def objective() -> Tensor:
            optimiser.zero_grad()
            penalty = self.config.l2 / 2 * network.head.weight.square().sum()
            loss: Tensor = nn.functional.cross_entropy(network(rows), labels) + penalty
            torch.autograd.backward(loss)
            return loss

        optimiser.step(objective)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        network.float()


class _Linear(HeadedNetwork):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x[:, -1])
        return logits
