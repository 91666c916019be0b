"""What can go wrong at an IB gateway, and which answer of a vendor each of it becomes."""

from turbomode_assets.vendors.protocol import NoData, VendorFailure

_LONGEST_TEXT = 300


class GatewayError(Exception):
    """Something kept a question from being answered; `kind` and `retryable` as in VendorFailure."""

    kind = "connectivity"
    retryable = True

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class UnreachableError(GatewayError):
    """No gateway answers where the configuration says that there is one."""

    kind = "unreachable"
    retryable = False


class ClientIdInUseError(GatewayError):
    """Other clients hold every client id that was tried."""

    kind = "client_id_in_use"
    retryable = False


class LinkLostError(GatewayError):
    """The connection to the gateway, or the gateway's to IB, broke."""


class DataLostError(LinkLostError):
    """IB is connected again but forgot the open question: it has to be asked once more."""


class TimedOutError(GatewayError):
    """No answer came in time, although nothing seems broken."""

    kind = "timeout"


class MalformedError(GatewayError):
    """An answer came that cannot be what was asked for."""

    kind = "malformed"


class NoContractError(GatewayError):
    """IB knows no such instrument."""

    kind = "no_contract"
    retryable = False


class AmbiguousContractError(GatewayError):
    """IB knows several such instruments."""

    kind = "ambiguous_contract"
    retryable = False


class RefusedError(GatewayError):
    """IB answered the question with an error code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


PACING = "pacing"
_NO_DATA = "no_data"
_KINDS = {
    100: (PACING, True),
    101: ("too_many_open", True),
    200: ("no_contract", False),
    321: ("rejected", False),
    354: ("not_subscribed", False),
    504: ("connectivity", True),
    10314: ("rejected", False),
}
_HISTORICAL_DATA_SERVICE = 162
_SERVICE_TEXTS = {
    "pacing violation": (PACING, True),
    "no data": (_NO_DATA, False),
    "no market data permissions": ("not_subscribed", False),
}
"""What code 162 means is told apart by its text alone."""


def outcome(error: GatewayError, symbol: str) -> NoData | VendorFailure:
    """Say an error as an answer about a symbol: its code and text, and nothing of the client's."""
    if not isinstance(error, RefusedError):
        return VendorFailure(error.kind, f"{symbol}: {printable(error.text)}", error.retryable)
    kind, retryable = _kind_of(error)
    message = f"{symbol}: {error.code} {printable(error.text)}"
    return NoData(message) if kind == _NO_DATA else VendorFailure(kind, message, retryable)


def _kind_of(error: RefusedError) -> tuple[str, bool]:
    if error.code == _HISTORICAL_DATA_SERVICE:
        text = error.text.lower()
        for fragment, kind in _SERVICE_TEXTS.items():
            if fragment in text:
                return kind
    return _KINDS.get(error.code, ("rejected", False))


def printable(text: str) -> str:
    """Text from outside as one line of bounded length."""
    line = "".join(character if character.isprintable() else " " for character in text).strip()
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + "..."
