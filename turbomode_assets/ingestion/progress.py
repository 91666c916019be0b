"""What a long fetch tells while it runs, and what it adds up to."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from turbomode_assets.vendors import Candles, NoData, VendorFailure
from turbomode_assets.vendors.asking import VendorAnswer
from turbomode_assets.vendors.questions import Question

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts questions and rows; says every few seconds what is done, what remains, how fast."""

    def __init__(
        self,
        say: Callable[[str], None],
        budget_left: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._budget_left = budget_left
        self._clock = clock
        self._started = self._last_line = clock()
        self._asked_seconds = 0.0
        self._total = self._done = self._already = self._rows = self._failovers = 0
        self._outcomes: Counter[str] = Counter()

    def begin(self, total: int) -> None:
        """Start with so many questions to ask."""
        self._total = total
        self._say(f"{total} questions to ask; {self._budget_left()}")

    def settled(self, count: int) -> None:
        """Strike off questions that another worker has settled meanwhile."""
        self._already += count

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Time one question, with all that the vendors and their budgets make it wait."""
        begun = self._clock()
        yield
        self._asked_seconds += self._clock() - begun

    def answered(self, question: Question, asked: VendorAnswer[Candles]) -> None:
        """Count an answer, and speak if it is time to."""
        self._done += 1
        self._failovers += len(asked.failures)
        self._outcomes[_outcome(asked)] += 1
        finished = self._done + self._already >= self._total
        if finished or self._clock() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = self._clock()
            self._say(self._line(question))

    def stored(self, rows: int) -> None:
        """Count rows that were handed over to be stored."""
        self._rows += rows

    def summary(self) -> Mapping[str, Any]:
        """Figures for the run's metadata."""
        elapsed = self._clock() - self._started
        return {
            "questions": self._total,
            "answers": dict(self._outcomes),
            "settled_by_others": self._already,
            "failovers": self._failovers,
            "rows_fetched": self._rows,
            "seconds": round(elapsed, 3),
            "seconds_at_vendors": round(self._asked_seconds, 3),
            "budget_left": self._budget_left(),
        }

    def _line(self, question: Question) -> str:
        done, left = self._done + self._already, self._total - self._done - self._already
        per_minute = 60 * self._done / max(self._clock() - self._started, 1e-9)
        remaining = f", about {left / per_minute:.0f} min left" if left > 0 else ""
        return (
            f"{done} of {self._total} questions ({question.about}), {self._rows:,} rows stored, "
            f"{per_minute:.0f} questions/min{remaining}; {self._budget_left()}"
        )


def _outcome(asked: VendorAnswer[Candles]) -> str:
    if isinstance(asked.answer, VendorFailure):
        return f"{asked.vendor or 'all'}: {asked.answer.kind}"
    return f"{asked.vendor}: {'no data' if isinstance(asked.answer, NoData) else 'data'}"
