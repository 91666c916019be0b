"""The one module that imports the IB client library, `ib_insync`.

Its maintained successor `ib_async` has the same classes: replacing one by the other is a change of
this module. Imported only on a thread that has an event loop, which the library asks for.
"""

import logging
from collections.abc import Callable

from ib_insync import IB, BarData, Contract, ContractDetails, Event, RequestError
from ib_insync.client import Client
from ib_insync.decoder import Decoder
from ib_insync.wrapper import Wrapper

__all__ = [
    "IB",
    "BarData",
    "CheckedDecoder",
    "Client",
    "Contract",
    "ContractDetails",
    "RequestError",
    "silence_the_library",
]

_BARS = "17"
_FIELDS_BEFORE_BARS, _FIELDS_PER_BAR = 5, 8


class CheckedDecoder(Decoder):
    """Tells of frames that cannot be read, which the library only logs, and of oversized ones."""

    def __init__(
        self, wrapper: Wrapper, largest_reply_bars: int, tell: Callable[[list[str], str], None]
    ) -> None:
        super().__init__(wrapper, 0)
        # The logger is the only one to whom the library tells that it could not read a frame.
        self.logger = self  # type: ignore[assignment]
        self._largest_reply_bars = largest_reply_bars
        self._tell = tell
        self._failed = False

    def exception(self, *_: object) -> None:
        """Stand in for the logger: note that a frame could not be read."""
        self._failed = True

    def interpret(self, fields: list[str]) -> None:
        """Decode a frame, and tell whose it is when that cannot be done."""
        head = fields[:3]
        problem = self._problem_with_bars(fields) if fields[:1] == [_BARS] else None
        if problem is None:
            self._failed = False
            Decoder.interpret(self, fields)
            problem = "a frame of the answer cannot be read" if self._failed else None
        if problem is not None:
            self._tell(head, problem)

    def _problem_with_bars(self, fields: list[str]) -> str | None:
        """Look before bars are made: the library would leave out those beyond the stated count."""
        stated = fields[4] if len(fields) > 4 else ""
        if not stated.isdecimal():
            return "the answer does not say how many bars it has"
        if int(stated) > self._largest_reply_bars:
            return f"{stated} bars are more than {self._largest_reply_bars}"
        if len(fields) != _FIELDS_BEFORE_BARS + int(stated) * _FIELDS_PER_BAR:
            return f"the answer does not have the {stated} bars that it states"
        return None


def silence_the_library() -> None:
    """Keep its log from going on: it writes account numbers, also into warnings and errors."""
    for package in {part.__module__.partition(".")[0] for part in (IB, Event)}:
        library = logging.getLogger(package)
        library.propagate = False
        library.setLevel(logging.CRITICAL)
        if not library.handlers:
            library.addHandler(logging.NullHandler())
