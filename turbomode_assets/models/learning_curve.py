"""Losses of one fit on the rows held out, and the step that they say to keep."""

import math


class LearningCurve:
    """Loss after each round or epoch; which was best, and whether to go on.

    A loss that is not a number is never better than another. Without `patience` a fit goes on to
    its end whatever the losses are.
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.losses: list[float] = []
        self.best = 0

    def record(self, loss: float) -> bool:
        """Add the loss of the next step; True where it is the best so far, or the first."""
        self.losses.append(loss)
        last = len(self.losses) - 1
        best = self.losses[self.best]
        is_best = last == 0 or loss < best or (math.isnan(best) and not math.isnan(loss))
        if is_best:
            self.best = last
        return is_best

    @property
    def is_exhausted(self) -> bool:
        """Whether `patience` steps have passed since the best one."""
        return self.patience is not None and len(self.losses) - 1 - self.best >= self.patience
