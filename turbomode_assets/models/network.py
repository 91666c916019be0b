"""What the four torch models share: inputs, reproducible training, prediction, files."""

import contextlib
import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from turbomode_assets.config.models import NetworkConfig, TorchConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.models.adapter import (
    Labels,
    NotFittedError,
    Probabilities,
    require_columns,
    require_labels,
)
from turbomode_assets.models.matrix import Matrix, Rows, Values
from turbomode_assets.models.standardiser import Standardiser

AnyNetwork = TypeVar("AnyNetwork", bound=TorchConfig)

WEIGHTS_FILE = "weights.safetensors"
STANDARDISER_FILE = "standardiser.json"
_PREDICTED_AT_ONCE = 4096
_LOGIT_DECIMALS = 6
"""Logits are computed in float64 and rounded, so that a row predicted alone equals the same row
predicted among others: matrix products round differently with their size."""


class TorchModel(ABC, Generic[AnyNetwork]):
    """Three-class network over standardised features of one or several sessions."""

    name: ClassVar[str]

    def __init__(self, config: AnyNetwork) -> None:
        self.config = config
        self._network: nn.Module | None = None
        self._standardiser: Standardiser | None = None

    @property
    def steps(self) -> int:
        """Sessions that the network reads for one row, its own included."""
        return 1

    @abstractmethod
    def build(self, inputs: int) -> "HeadedNetwork":
        """Return an untrained network for [rows, steps, inputs]."""

    @abstractmethod
    def train(
        self, network: "HeadedNetwork", inputs: Tensor, steps: Tensor, labels: Tensor, *, seed: int
    ) -> None:
        """Train the network on `inputs[steps]`, [rows, steps, inputs], and labels [rows]."""

    def fit(self, matrix: Matrix, labels: Labels, *, seed: int) -> Self:
        """Learn from every row of the matrix; statistics are those of its rows alone."""
        require_labels(matrix, labels, model=self.name)
        standardiser = Standardiser.fit(matrix, self.config.clip_deviations)
        values, steps = _sessions_read(matrix, self.steps)
        with _reproducible(seed):
            network = self.build(standardiser.width)
            network.start_at(labels)
            self.train(
                network,
                torch.from_numpy(standardiser.apply(values)),
                torch.from_numpy(steps),
                torch.from_numpy(labels.astype(np.int64)),
                seed=seed,
            )
        self._network, self._standardiser = network.eval(), standardiser
        return self

    def predict_proba(self, matrix: Matrix) -> Probabilities:
        """Probabilities [rows, classes] of the matrix rows."""
        fitted, standardiser = self._fitted()
        require_columns(matrix, standardiser.columns, model=self.name)
        values, steps = _sessions_read(matrix, self.steps)
        inputs = torch.from_numpy(standardiser.apply(values))
        network = copy.deepcopy(fitted).double()
        logits = np.empty((len(matrix), len(CLASSES)))
        with torch.no_grad(), _one_thread():
            for start in range(0, len(matrix), _PREDICTED_AT_ONCE):
                rows = slice(start, start + _PREDICTED_AT_ONCE)
                batch = inputs[torch.from_numpy(steps[rows])].double()
                logits[rows] = network(batch).numpy()
        return softmax(logits.round(_LOGIT_DECIMALS))

    def save(self, directory: Path) -> None:
        """Write the weights as safetensors, columns and statistics as JSON."""
        network, standardiser = self._fitted()
        save_file(network.state_dict(), directory / WEIGHTS_FILE)
        text = json.dumps(standardiser.to_json(), indent=1)
        (directory / STANDARDISER_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, directory: Path, config: AnyNetwork) -> Self:
        """Read a model that `save` wrote."""
        model = cls(config)
        text = (directory / STANDARDISER_FILE).read_text(encoding="utf-8")
        standardiser = Standardiser.from_json(json.loads(text))
        with _reproducible(seed=0):
            network = model.build(standardiser.width)
        network.load_state_dict(load_file(directory / WEIGHTS_FILE))
        model._network, model._standardiser = network.eval(), standardiser
        return model

    def _fitted(self) -> tuple[nn.Module, Standardiser]:
        if self._network is None or self._standardiser is None:
            raise NotFittedError(self.name)
        return self._network, self._standardiser


class HeadedNetwork(nn.Module):
    """A network that ends in a linear layer `head` of three logits."""

    head: nn.Linear

    def start_at(self, labels: Labels) -> None:
        """Begin by forecasting the class shares of the labels, each class counted once more."""
        counts = np.bincount(labels, minlength=len(CLASSES)) + 1.0
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


def softmax(logits: NDArray[np.float64]) -> Probabilities:
    """Probabilities of logits [rows, classes]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def train_in_batches(
    network: nn.Module,
    inputs: Tensor,
    steps: Tensor,
    labels: Tensor,
    config: NetworkConfig,
    *,
    seed: int,
) -> None:
    """Minimise the cross-entropy with AdamW over shuffled batches, the rate falling as a cosine.

    Source: Loshchilov and Hutter (2017, 2019) for both.
    """
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    batches = -(-len(labels) // config.batch_rows) * config.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=batches)
    network.train()
    for _ in range(config.epochs):
        for picked in torch.split(torch.randperm(len(labels), generator=order), config.batch_rows):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs[steps[picked]]), labels[picked])
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()


def _sessions_read(matrix: Matrix, steps: int) -> tuple[Values, Rows]:
    """Values of the panel rows that the matrix rows read, and where each step finds its own.

    A session without a panel row reads a row of NaN: all of it is missing.
    """
    used, at = np.unique(matrix.positions(steps), return_inverse=True)
    values = matrix.panel.values[used]
    values[used < 0] = np.nan
    return values, at.reshape(-1, steps)


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seed torch's generator and demand deterministic kernels, and leave both as they were."""
    demanded = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(demanded)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums split over threads round differently with their number, so there is one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
