"""Training networks in shuffled batches, gathered by index, until the rows held out say stop."""

from abc import ABC
from typing import TypeVar

import torch
from torch import Tensor, nn

from turbomode_assets.config.models import NetworkConfig
from turbomode_assets.models.examples import chosen_iterations
from turbomode_assets.models.learning_curve import LearningCurve
from turbomode_assets.models.network import HeadedNetwork, NetworkRows, TorchModel, TrainedNetwork

AnyBatched = TypeVar("AnyBatched", bound=NetworkConfig)

_JUDGED_AT_ONCE = 4096


class BatchedModel(TorchModel[AnyBatched], ABC):
    """Network trained in shuffled batches, epoch after epoch."""

    def train(
        self,
        network: HeadedNetwork,
        rows: NetworkRows,
        held_out: NetworkRows | None,
        *,
        iterations: int | None,
        seed: int,
    ) -> TrainedNetwork:
        """Minimise the cross-entropy with AdamW, the rate falling as a cosine over `epochs`.

        The cosine keeps the configured length where fewer epochs are asked for or training stops
        early, so that a refit of as many epochs as a fit kept goes down the same path.
        Source: Loshchilov and Hutter (2017, 2019) for both.
        """
        epochs = chosen_iterations(iterations, self.config.epochs, model=self.name)
        order = torch.Generator().manual_seed(seed)
        optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        batches = -(-len(rows) // self.config.batch_rows)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimiser, T_max=batches * max(epochs, self.config.epochs)
        )
        curve, best = LearningCurve(self.config.patience_epochs), _copied(network)
        for _ in range(epochs):
            shuffled = torch.randperm(len(rows), generator=order).to(rows.labels.device)
            _train_epoch(
                network, rows, torch.split(shuffled, self.config.batch_rows), optimiser, schedule
            )
            if held_out is None:
                continue
            if curve.record(_loss(network, held_out)):
                best = _copied(network)
            if curve.is_exhausted:
                break
        if held_out is None:
            return TrainedNetwork(epochs, ())
        network.load_state_dict(best)
        return TrainedNetwork(curve.best + 1, tuple(curve.losses))


def _train_epoch(
    network: nn.Module,
    rows: NetworkRows,
    batches: tuple[Tensor, ...],
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    """Go once through the batches; on CUDA in bfloat16 where autocast holds that safe."""
    place = rows.labels.device.type
    network.train()
    for picked in batches:
        optimiser.zero_grad()
        with torch.autocast(place, dtype=torch.bfloat16, enabled=place == "cuda"):
            loss = rows.loss(network, picked)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()


def _loss(network: nn.Module, rows: NetworkRows) -> float:
    """Weighted mean cross-entropy of the rows, without dropout and in full precision."""
    network.eval()
    total = 0.0
    with torch.no_grad():
        every = torch.arange(len(rows), device=rows.labels.device)
        for picked in torch.split(every, _JUDGED_AT_ONCE):
            total += rows.loss(network, picked).item() * len(picked)
    return total / len(rows)


def _copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}
