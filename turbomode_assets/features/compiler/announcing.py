"""The message while the loop over features is compiled: nobody waits for that unaware."""

import logging

from numba.core import event

logger = logging.getLogger(__name__)
MESSAGE = "compiling feature kernels, once per installation: about 25 s"


class CompileReport(event.Listener):
    """Logs one message when a function is compiled; one that is loaded from the cache makes none.

    A warning, since Python shows these on standard error where nobody set up logging.
    """

    def __init__(self, function: object) -> None:
        self.function = function

    def on_start(self, event: event.Event) -> None:
        """Log the message, if it is the function of this report."""
        if event.data["dispatcher"] is self.function:
            logger.warning(MESSAGE)

    def on_end(self, event: event.Event) -> None:
        """Take note of nothing."""


def report_compiling(function: object) -> None:
    """Report from now on when a function that numba compiles is compiled."""
    event.register("numba:compile", CompileReport(function))  # type: ignore[no-untyped-call]
