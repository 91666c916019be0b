"""Torch: gated recurrent unit over the last sessions."""

from torch import Tensor, nn

from turbomode_assets.config.models import GruConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models.network import HeadedNetwork, TorchModel, train_in_batches


class Gru(TorchModel[GruConfig]):
    """Recurrent network whose last state is classified (Cho et al. 2014)."""

    name = "gru"

    @property
    def steps(self) -> int:
        """Sessions that the network reads for one row."""
        sessions: int = self.config.sequence_sessions
        return sessions

    def build(self, inputs: int) -> HeadedNetwork:
        """Recurrent layers, head."""
        return _Recurrent(inputs, self.config)

    def train(
        self, network: HeadedNetwork, inputs: Tensor, steps: Tensor, labels: Tensor, *, seed: int
    ) -> None:
        """Train in shuffled batches."""
        train_in_batches(network, inputs, steps, labels, self.config, seed=seed)


class _Recurrent(HeadedNetwork):
    def __init__(self, inputs: int, config: GruConfig) -> None:
        super().__init__()
        between = config.dropout if config.layers > 1 else 0.0
        self.body = nn.GRU(inputs, config.hidden, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.body(x)
        logits: Tensor = self.head(self.dropout(states[:, -1]))
        return logits
