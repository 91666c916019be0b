"""Torch: multi-layer perceptron of residual blocks on a single session."""

from torch import Tensor, nn

from turbomode_assets.config.models import MlpConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models.batches import BatchedModel
from turbomode_assets.models.network import HeadedNetwork


class Mlp(BatchedModel[MlpConfig]):
    """Residual perceptron, normalised before each block (after Gorishniy et al. 2021)."""

    name = "mlp"

    def build(self, inputs: int) -> HeadedNetwork:
        """Projection, residual blocks, head."""
        return _ResidualPerceptron(inputs, self.config)


class _Block(nn.Module):
    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
        )

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.body(x)
        return x + change


class _ResidualPerceptron(HeadedNetwork):
    def __init__(self, inputs: int, config: MlpConfig) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(inputs, config.hidden),
            *(_Block(config.hidden, config.dropout) for _ in range(config.blocks)),
            nn.LayerNorm(config.hidden),
        )
        self.head = nn.Linear(config.hidden, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x[:, -1]))
        return logits
