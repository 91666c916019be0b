"""Which rows each fit learns from, with what weight, and which rows judge it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.ensemble.loss_weights import loss_weights
from turbomode_assets.ensemble.sampling import balanced_sample
from turbomode_assets.ensemble.training_set import TrainingSet
from turbomode_assets.sessions import sessions_between
from turbomode_assets.validation import Fold, walk_forward_folds
from turbomode_assets.validation.walk_forward import inner_split

Rows = NDArray[np.int64]
FINAL = "final"
"""Name of the fit on every row, beside the numbers of the folds."""


@dataclass(frozen=True)
class TrainingRows:
    """Rows that a fit learns from, ascending, and their weights, with mean 1."""

    rows: Rows
    weights: NDArray[np.float64]


def plan_folds(training_set: TrainingSet, config: TrainingConfig) -> list[Fold]:
    """Cut the decisions into walk-forward folds.

    Raises:
        MissingDataError: too few sessions for the folds.
    """
    decision, label_end = training_set.decision, training_set.label_end
    return walk_forward_folds(
        decision,
        label_end,
        sessions_between(decision.min().item(), max(label_end.max(), decision.max()).item()),
        config.validation_strategy.walk_forward,
        horizon_sessions=config.triple_barrier.horizon_sessions,
    )


def candidate_rows(training_set: TrainingSet, folds: list[Fold]) -> dict[str, Rows]:
    """Rows that each fit may learn from: those of every fold, and all for the final one."""
    fits = {str(fold.number): fold.train for fold in folds}
    return fits | {FINAL: np.arange(len(training_set.labels), dtype=np.int64)}


def sample_ordinary(training_set: TrainingSet, candidates: Rows, config: TrainingConfig) -> Rows:
    """Draw the ordinary rows of a fit within the bounds of balanced sampling."""
    return balanced_sample(
        training_set.rows,
        candidates,
        config.balanced_sampling,
        seed=config.training_orchestrator.seed,
    )


def weigh(
    training_set: TrainingSet, candidates: Rows, ordinary: Rows, config: TrainingConfig
) -> TrainingRows:
    """Weigh the ordinary rows of a fit, and mix in the rare events among its candidates."""
    rare = candidates[training_set.rows.get_column("rare").to_numpy()[candidates]]
    return TrainingRows(
        *loss_weights(
            training_set.rows,
            ordinary,
            rare,
            config.regime_weighted_loss,
            config.rare_event_archive,
        )
    )


def learned_rows(
    training_set: TrainingSet, candidates: Mapping[str, Rows], config: TrainingConfig
) -> dict[str, TrainingRows]:
    """Sample and weigh the rows of every fit."""
    return {
        name: weigh(training_set, rows, sample_ordinary(training_set, rows, config), config)
        for name, rows in candidates.items()
    }


def hold_out(
    training_set: TrainingSet, learned: TrainingRows, config: TrainingConfig
) -> tuple[TrainingRows, TrainingRows]:
    """Split the rows of a fit into those learned from and those that decide when to stop."""
    decision, label_end = (
        training_set.decision[learned.rows],
        training_set.label_end[learned.rows],
    )
    strategy = config.validation_strategy
    parts = inner_split(
        decision,
        label_end,
        sessions_between(decision.min().item(), max(label_end.max(), decision.max()).item()),
        held_out_sessions=strategy.inner_validation_sessions,
        horizon_sessions=config.triple_barrier.horizon_sessions,
        embargo_sessions=strategy.walk_forward.embargo_sessions,
    )
    learn, stop = (TrainingRows(learned.rows[part], learned.weights[part]) for part in parts)
    return learn, stop
