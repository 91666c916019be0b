"""Torch: temporal convolutions over the last sessions."""

import torch
from torch import Tensor, nn

from turbomode_assets.config.models import TcnConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models.batches import BatchedModel
from turbomode_assets.models.network import HeadedNetwork


class Tcn(BatchedModel[TcnConfig]):
    """Residual blocks of causal, dilated convolutions (after Bai, Kolter, Koltun 2018)."""

    name = "tcn"

    @property
    def steps(self) -> int:
        """Sessions that the network reads for one row."""
        sessions: int = self.config.sequence_sessions
        return sessions

    def build(self, inputs: int) -> HeadedNetwork:
        """Projection of each session, convolution blocks, head on the last session."""
        return _Convolutional(inputs, self.config)


class _CausalBlock(nn.Module):
    """One dilated convolution, written as a linear layer over the sessions that it looks back to.

    On a CPU that is faster than torch's own, several times so in float64.
    """

    def __init__(self, hidden: int, kernel: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.offsets = [tap * dilation for tap in range(kernel)]
        self.mix = nn.Linear(kernel * hidden, hidden)
        self.activation = nn.ReLU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map [rows, sessions, hidden] to the same shape; a session sees only earlier ones."""
        sessions = x.shape[1]
        padded = nn.functional.pad(x, (0, 0, self.offsets[-1], 0))
        seen = torch.cat([padded[:, at : at + sessions] for at in self.offsets], dim=-1)
        change: Tensor = self.dropout(self.activation(self.mix(seen)))
        return x + change


class _Convolutional(HeadedNetwork):
    def __init__(self, inputs: int, config: TcnConfig) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, config.hidden)
        self.blocks = nn.Sequential(
            *(
                _CausalBlock(config.hidden, config.kernel_sessions, 2**number, config.dropout)
                for number in range(config.blocks)
            )
        )
        self.normalise = nn.LayerNorm(config.hidden)
        self.head = nn.Linear(config.hidden, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        sessions = self.blocks(self.project(x))
        logits: Tensor = self.head(self.normalise(sessions[:, -1]))
        return logits
