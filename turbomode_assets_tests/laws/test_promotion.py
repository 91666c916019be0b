"""Promotion on the simulated market: an edge that was planted is promoted, luck is not.

Skill is measured as the AUC of BUY against SELL among labels that touched a barrier: log loss and
BUY against the rest look skilful where volatility alone can be foreseen.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from turbomode_assets_tests.builders import write_configs
from turbomode_assets_tests.laws.simulated_training import SMALL_STUDY, train_and_judge

SEEDS = tuple(range(1, 21))
EDGE = 0.15
"""Correlation of the planted signal with the next session's return."""
SHADOWS = {"kup", "kup2", "klow", "klow2"}
"""Features of a candle's shadows, whose length alone shows the planted signal."""
AT_ONCE = 2
"""Seeds trained at once, each in a process of its own."""


@dataclass(frozen=True)
class Verdict:
    """What became of one seed."""

    seed: int
    passed: bool
    failed: tuple[str, ...]
    auc: float
    sharpe: float
    accuracy_gain: float
    important: tuple[str, ...]
    """Features by falling importance, the first five."""

    def __str__(self) -> str:
        verdict = "promoted" if self.passed else f"refused ({', '.join(self.failed)})"
        return (
            f"seed {self.seed:2d}: AUC {self.auc:.3f}, Sharpe {self.sharpe:5.2f}, accuracy gain "
            f"{self.accuracy_gain:+.3f}, {' '.join(self.important)}: {verdict}"
        )


def hold_against_the_gate(seed: int, edge: float, configs: Path) -> Verdict:
    """Train on one market and judge the result by the shipped gate."""
    study = train_and_judge(edge, seed, configs)
    figures = study.judged.figures
    overall = study.importance().filter(pl.col("scope") == "all").sort("rank")
    return Verdict(
        seed,
        passed=study.decision.passed,
        failed=tuple(rule.name for rule in study.decision.rules if not rule.passed),
        auc=float(figures["auc_buy_vs_sell"]),
        sharpe=float(figures["sharpe"]),
        accuracy_gain=float(figures["accuracy_gain"]),
        important=tuple(overall["feature"].head(5)),
    )


def verdicts(edge: float, folder: Path, seeds: Sequence[int]) -> list[Verdict]:
    """Hold every seed against the gate, and print each as it is known."""
    configs = write_configs(folder, training=SMALL_STUDY)
    print(f"\nedge {edge}")
    found = []
    # Spawned: the threads of torch and polars do not survive a fork.
    with ProcessPoolExecutor(AT_ONCE, mp_context=get_context("spawn")) as pool:
        for verdict in pool.map(partial(hold_against_the_gate, edge=edge, configs=configs), seeds):
            print(verdict, flush=True)
            found.append(verdict)
    return found


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(SEEDS[:5], marks=pytest.mark.slow, id="5"),
        pytest.param(SEEDS, marks=pytest.mark.acceptance, id="20"),
    ],
)
def test_a_planted_edge_is_promoted_and_explained_and_luck_is_not(tmp_path, seeds):
    with_edge, without = (verdicts(edge, tmp_path / str(edge), seeds) for edge in (EDGE, 0.0))
    assert [each.seed for each in without if each.passed] == []
    promoted = [each for each in with_edge if each.passed]
    assert len(promoted) >= 0.9 * len(seeds)
    # The shadows foresee volatility too, so without an edge they are among the first five as well.
    assert all(each.important[0] in SHADOWS for each in promoted)
    found, by_luck = (np.array([each.auc for each in of]) for of in (with_edge, without))
    assert found.min() > 0.54
    assert abs(by_luck.mean() - 0.5) < 0.025
    assert found.min() > by_luck.max()
