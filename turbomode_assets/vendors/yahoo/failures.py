"""How a failure of Yahoo travels to the vendor's methods, without what must not be told."""

import datetime as dt
import json

from turbomode_assets.vendors.protocol import VendorFailure

_LONGEST_TEXT = 300
_LONGEST_READ = 3000
_BEFORE_FIRST_TRADE = "Data doesn't exist for startDate"


class YahooError(Exception):
    """Carries the failure that a vendor's method answers with."""

    def __init__(self, failure: VendorFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def refused(
    kind: str, message: str, *, retryable: bool, retry_at: dt.datetime | None = None
) -> YahooError:
    """Build a failure whose message is short and holds no credentials."""
    return YahooError(VendorFailure(kind, scrub(message), retryable, retry_at))


def malformed(message: str) -> YahooError:
    """Build the failure of a reply that is not what Yahoo sends when it is well."""
    return refused("malformed", message, retryable=True)


def scrub(text: str) -> str:
    """Cut a text to a line's length, and out of it what may be `user:password@` of a proxy."""
    words = text[:_LONGEST_READ].split()
    hidden = " ".join("***@" + word.rpartition("@")[2] if "@" in word else word for word in words)
    return hidden if len(hidden) <= _LONGEST_TEXT else f"{hidden[:_LONGEST_TEXT]}..."


def denied(status: int) -> YahooError:
    """Build the failure of a request that Yahoo does not take from us."""
    return refused(
        "denied", f"Yahoo takes neither cookie nor crumb (HTTP {status})", retryable=True
    )


def refusal_of(status: int, path: str, content: bytes) -> YahooError:
    """Build the failure that an HTTP status from 400 on, and its reply, stand for."""
    said = f"HTTP {status} of {path}: {_description(content)}"
    if status >= 500:
        return refused("connectivity", said, retryable=True)
    if status == 404:
        return refused("no_contract", said, retryable=False)
    if status == 422:
        return refused("out_of_range", said, retryable=False)
    if _BEFORE_FIRST_TRADE in said:
        return refused("empty", said, retryable=True)
    return refused("denied", said, retryable=False)


def _description(content: bytes) -> str:
    """What an error reply says, as far as it is JSON of the usual form."""
    try:
        reply = json.loads(content)
    except (ValueError, RecursionError):
        return "no explanation"
    for part in reply.values() if isinstance(reply, dict) else ():
        error = part.get("error") if isinstance(part, dict) else None
        if isinstance(error, dict):
            return str(error.get("description"))
    return "no explanation"
