"""Asking vendors in their order of precedence: who answered, and who failed before.

Data or a fact (`NoData`) ends the asking; only a failure passes on to the next vendor. A failure
that may pass is tried again first. A spent budget is no failure of the vendor: the question is
handed back, to be asked when the budget allows it.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_random_exponential

from turbomode_assets.config.vendors import FetchConfig
from turbomode_assets.contracts.errors import VendorError, first_few
from turbomode_assets.vendors.protocol import NoData, Request, Vendor, VendorFailure

Data = TypeVar("Data")

BUDGET = "budget"
UNSUPPORTED = "unsupported"
"""Kinds of failure that say nothing against the vendor: it was not asked, or never offers this."""


@dataclass(frozen=True)
class VendorAnswer(Generic[Data]):
    """The answer to a question, the vendor that gave it, and the failures that came before."""

    vendor: str
    answer: Data | NoData | VendorFailure
    failures: tuple[tuple[str, VendorFailure], ...] = ()


def ask(
    vendors: Sequence[Vendor],
    request: Request,
    question: Callable[[Vendor, Request], Data | NoData | VendorFailure],
    fetch: FetchConfig,
    sleep: Callable[[float], None],
) -> VendorAnswer[Data]:
    """Ask one vendor after the other; if all fail the answer is one failure that names them all."""
    failures: list[tuple[str, VendorFailure]] = []
    for vendor in vendors:
        answer = Retrying(
            retry=retry_if_result(_may_pass),
            stop=stop_after_attempt(fetch.attempts),
            wait=wait_random_exponential(multiplier=fetch.retry_wait_seconds, max=60),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
            sleep=sleep,
        )(question, vendor, request)
        if not isinstance(answer, VendorFailure) or answer.kind == BUDGET:
            return VendorAnswer(vendor.name, answer, tuple(failures))
        if answer.kind != UNSUPPORTED:
            failures.append((vendor.name, answer))
    return VendorAnswer("", _joined(failures, vendors), tuple(failures))


def _may_pass(answer: object) -> bool:
    return isinstance(answer, VendorFailure) and answer.retryable and answer.kind != BUDGET


def _joined(
    failures: Sequence[tuple[str, VendorFailure]], asked: Sequence[Vendor]
) -> VendorFailure:
    if not failures:
        names = ", ".join(vendor.name for vendor in asked)
        return VendorFailure(UNSUPPORTED, f"none of {names} offers this", False)
    said = "; ".join(f"{name}: {failure.kind}: {failure.message}" for name, failure in failures)
    return VendorFailure("all_failed", said, any(failure.retryable for _, failure in failures))


def unanswered(failures: Sequence[tuple[str, VendorFailure]], where: str) -> VendorError:
    """Build the error of questions, named by what they were about, that nobody answered."""
    waits: list[dt.datetime] = [f.retry_at for _, f in failures if f.retry_at is not None]
    later = f" after {min(waits):%Y-%m-%d %H:%M} UTC" if waits else ""
    listed = first_few([f"{about} ({failure.message})" for about, failure in failures])
    return VendorError(
        f"no vendor could answer: {listed or 'no vendor is configured'}",
        where=where,
        fix=f"mend the cause and run again{later}, or take the symbol out",
    )
