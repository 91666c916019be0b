"""What the four torch models share: inputs, reproducible training, prediction, files."""

import contextlib
import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from turbomode_assets.config.models import TorchConfig
from turbomode_assets.contracts.columns import CLASSES
from turbomode_assets.contracts.devices import Device, choose_device
from turbomode_assets.models.adapter import (
    HeldOut,
    Labels,
    NotFittedError,
    Probabilities,
    Weights,
    require_columns,
)
from turbomode_assets.models.examples import Examples, examples, held_out_examples
from turbomode_assets.models.matrix import Matrix, Rows, Values
from turbomode_assets.models.standardiser import Standardiser

AnyNetwork = TypeVar("AnyNetwork", bound=TorchConfig)

WEIGHTS_FILE = "weights.safetensors"
STANDARDISER_FILE = "standardiser.json"
_ITERATIONS = "iterations"
"""Key in the metadata of the weights file."""
_PREDICTED_AT_ONCE = 4096
_LOGIT_DECIMALS = 6
"""Logits are computed in float64 and rounded, so that a row predicted alone equals the same row
predicted among others: matrix products round differently with their size."""


@dataclass(frozen=True)
class NetworkRows:
    """What a network reads of some rows, on the device it is trained on.

    `inputs` are standardised panel rows [panel rows, inputs]; `steps` [rows, steps] says where
    each step of a row stands in them, so that sequences are gathered batch by batch.
    """

    inputs: Tensor
    steps: Tensor
    labels: Tensor
    weights: Tensor | None

    def __len__(self) -> int:
        return len(self.labels)

    def loss(self, network: nn.Module, picked: Tensor) -> Tensor:
        """Weighted mean cross-entropy of the rows at these positions; the mean weight is 1."""
        logits = network(self.inputs[self.steps[picked]])
        weights = None if self.weights is None else self.weights[picked]
        return weighted_cross_entropy(logits, self.labels[picked], weights)


@dataclass(frozen=True)
class TrainedNetwork:
    """How training went: epochs kept, None where there are none, and the loss after each."""

    iterations: int | None
    learning_curve: tuple[float, ...]


class TorchModel(ABC, Generic[AnyNetwork]):
    """Three-class network over standardised features of one or several sessions."""

    name: ClassVar[str]

    def __init__(self, config: AnyNetwork, device: Device = "cpu") -> None:
        self.config = config
        self._device = choose_device(device)
        self._network: nn.Module | None = None
        self._standardiser: Standardiser | None = None
        self._trained = TrainedNetwork(None, ())

    @property
    def steps(self) -> int:
        """Sessions that the network reads for one row, its own included."""
        return 1

    @abstractmethod
    def build(self, inputs: int) -> "HeadedNetwork":
        """Return an untrained network for [rows, steps, inputs]."""

    @abstractmethod
    def train(
        self,
        network: "HeadedNetwork",
        rows: NetworkRows,
        held_out: NetworkRows | None,
        *,
        iterations: int | None,
        seed: int,
    ) -> TrainedNetwork:
        """Train the network on the rows; those held out only say when to stop."""

    @property
    def iterations(self) -> int | None:
        """Epochs that the model was trained for; None for one that is not trained in epochs."""
        self._fitted()
        return self._trained.iterations

    @property
    def learning_curve(self) -> tuple[float, ...]:
        """Weighted log loss of the rows held out after each epoch."""
        return self._trained.learning_curve

    def fit(
        self,
        matrix: Matrix,
        labels: Labels,
        *,
        seed: int,
        weights: Weights | None = None,
        held_out: HeldOut | None = None,
        iterations: int | None = None,
    ) -> Self:
        """Learn from the rows of the matrix, whose statistics alone standardise; see `BaseModel`.

        The network starts on the CPU, alike for every device.
        """
        learned = examples(matrix, labels, weights, model=self.name)
        stopping = None
        if held_out is not None:
            stopping = held_out_examples(held_out, learned, model=self.name)
        standardiser = Standardiser.fit(learned.matrix, self.config.clip_deviations)
        with _reproducible(seed, self._device):
            network = self.build(standardiser.width)
            network.start_at(learned)
            network.to(self._device)
            self._trained = self.train(
                network,
                self._read(learned, standardiser),
                None if stopping is None else self._read(stopping, standardiser),
                iterations=iterations,
                seed=seed,
            )
        self._network, self._standardiser = network.cpu().eval(), standardiser
        return self

    def _read(self, rows: Examples, standardiser: Standardiser) -> NetworkRows:
        values, steps = _sessions_read(rows.matrix, self.steps)
        weights = None if rows.weights is None else torch.from_numpy(rows.weights)
        return NetworkRows(
            inputs=torch.from_numpy(standardiser.apply(values)).to(self._device),
            steps=torch.from_numpy(steps).to(self._device),
            labels=torch.from_numpy(rows.labels.astype(np.int64)).to(self._device),
            weights=None if weights is None else weights.to(self._device),
        )

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
        """Write weights and epochs as safetensors, columns and statistics as JSON."""
        network, standardiser = self._fitted()
        epochs = self._trained.iterations
        metadata = None if epochs is None else {_ITERATIONS: str(epochs)}
        save_file(network.state_dict(), directory / WEIGHTS_FILE, metadata=metadata)
        text = json.dumps(standardiser.to_json(), indent=1)
        (directory / STANDARDISER_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, directory: Path, config: AnyNetwork) -> Self:
        """Read a model that `save` wrote."""
        model = cls(config)
        text = (directory / STANDARDISER_FILE).read_text(encoding="utf-8")
        standardiser = Standardiser.from_json(json.loads(text))
        with _reproducible(0, model._device):
            network = model.build(standardiser.width)
        network.load_state_dict(load_file(directory / WEIGHTS_FILE))
        model._trained = TrainedNetwork(_stored_iterations(directory / WEIGHTS_FILE), ())
        model._network, model._standardiser = network.eval(), standardiser
        return model

    def _fitted(self) -> tuple[nn.Module, Standardiser]:
        if self._network is None or self._standardiser is None:
            raise NotFittedError(self.name)
        return self._network, self._standardiser


class HeadedNetwork(nn.Module):
    """A network that ends in a linear layer `head` of three logits."""

    head: nn.Linear

    def start_at(self, rows: Examples) -> None:
        """Begin by forecasting the weighted class shares, each class counted once more."""
        counts = np.bincount(rows.labels, rows.weights, minlength=len(CLASSES)) + 1.0
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over the rows of weight x cross-entropy; the weights have mean 1 over all rows."""
    if weights is None:
        return nn.functional.cross_entropy(logits, labels)
    losses = nn.functional.cross_entropy(logits, labels, reduction="none")
    return (losses * weights.to(losses.dtype)).mean()


def softmax(logits: NDArray[np.float64]) -> Probabilities:
    """Probabilities of logits [rows, classes]."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _stored_iterations(weights_file: Path) -> int | None:
    with safe_open(weights_file, framework="pt") as stored:
        text = (stored.metadata() or {}).get(_ITERATIONS)
    return None if text is None else int(text)


def _sessions_read(matrix: Matrix, steps: int) -> tuple[Values, Rows]:
    """Values of the panel rows that the matrix rows read, and where each step finds its own.

    A session without a panel row reads a row of NaN: all of it is missing.
    """
    used, at = np.unique(matrix.positions(steps), return_inverse=True)
    values = matrix.panel.values[used]
    values[used < 0] = np.nan
    return values, at.reshape(-1, steps)


@contextlib.contextmanager
def _reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators and demand deterministic kernels, and leave both as they were."""
    mode = torch.get_deterministic_debug_mode()
    cards = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards), _one_thread():
        torch.manual_seed(seed)
        # As `use_deterministic_algorithms`, which also loads torch's compiler: 2 seconds of CPU.
        torch.set_deterministic_debug_mode("error")
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(mode)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Sums split over threads round differently with their number, so there is one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
