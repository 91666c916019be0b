"""Torch: gated recurrent unit over the last sessions."""

from torch import Tensor, nn

from turbomode_assets.config.models import GruConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models.batches import BatchedModel
from turbomode_assets.models.network import HeadedNetwork


class Gru(BatchedModel[GruConfig]):
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


class _Recurrent(HeadedNetwork):
    """Layers of one recurrent unit each, with torch's own dropout between them.

    The dropout inside a unit of several layers is cuDNN's on CUDA, whose state torch keeps from
    one fit to the next and cannot restore.
    """

    def __init__(self, inputs: int, config: GruConfig) -> None:
        super().__init__()
        self.body = nn.GRU(inputs, config.hidden, batch_first=True)
        self.deeper = nn.ModuleList(
            nn.GRU(config.hidden, config.hidden, batch_first=True) for _ in range(config.layers - 1)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.body(x)
        for layer in self.deeper:
            states, _ = layer(self.dropout(states))
        logits: Tensor = self.head(self.dropout(states[:, -1]))
        return logits
