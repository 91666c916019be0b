"""Sending messages to those whose addresses the environment holds, and the outgoing heartbeat.

Addresses hold tokens and passwords: whatever is returned, raised or logged here names a receiver
by its position and service alone.

apprise is imported where it is used: most looks have nothing to tell, and it takes half a second.
"""

import logging
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turbomode_assets.alerts.conditions import DELIVERY, Condition, Severity

if TYPE_CHECKING:
    from apprise import Apprise

NOBODY = "nobody is told: TURBOMODE_ALERT_URLS is not set"
HEARTBEAT_TIMEOUT_SECONDS = 10
_TALKATIVE = ("apprise", "urllib3", "urllib3.connectionpool")
"""Loggers of libraries that write addresses into their records."""


@dataclass(frozen=True)
class Receiver:
    """One address, under a name that can be shown; `service` is None where it is no address."""

    number: int
    name: str
    service: "Apprise | None"

    def accepts(self, title: str, body: str, severity: Severity | None) -> bool:
        """Send a message and tell whether it was taken."""
        import apprise

        kinds = {
            "critical": apprise.NotifyType.FAILURE,
            "warning": apprise.NotifyType.WARNING,
            "info": apprise.NotifyType.INFO,
            None: apprise.NotifyType.SUCCESS,
        }
        if self.service is None:
            return False
        with _silenced():
            taken = self.service.notify(
                body=body,
                title=title,
                notify_type=kinds[severity],
                body_format=apprise.NotifyFormat.TEXT,
            )
        return bool(taken)


def receivers_of(addresses: Sequence[str]) -> list[Receiver]:
    """Understand each address; one that cannot be understood is a receiver that takes nothing."""
    return [_receiver(number, address) for number, address in enumerate(addresses, start=1)]


def does_not_accept(receiver: Receiver) -> Condition:
    """Say that a receiver takes no messages."""
    is_known = receiver.service is not None
    return Condition(
        f"{DELIVERY}:{receiver.number}",
        DELIVERY,
        "warning",
        f"Alerts do not reach {receiver.name}",
        "it took no message at the last attempt" if is_known else "its address is not understood",
        "mend its address in TURBOMODE_ALERT_URLS (https://appriseit.com/services), "
        "then run turbomode alerts test",
    )


def ping(address: str) -> str | None:
    """Call the heartbeat's address; return what went wrong, None where nothing did."""
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        return "its address does not begin with http:// or https://"
    try:
        with urllib.request.urlopen(address, timeout=HEARTBEAT_TIMEOUT_SECONDS):
            return None
    except urllib.error.HTTPError as error:
        return f"it answered {error.code}"
    except (OSError, ValueError) as error:
        return f"it was not reached ({type(error).__name__})"


def redacted(text: str, secrets: Sequence[str]) -> str:
    """Put *** in the place of each secret."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _receiver(number: int, address: str) -> Receiver:
    import apprise

    asset = apprise.AppriseAsset(
        app_id="turbomode", app_desc="turbomode alerts", async_mode=False, secure_logging=True
    )
    service = apprise.Apprise(asset=asset)
    with _silenced():
        if not service.add(address):
            return Receiver(number, f"receiver {number}", None)
    plugin: Any = service[0]
    plugin.overflow_mode = apprise.OverflowMode.SPLIT
    return Receiver(number, f"receiver {number} ({plugin.service_name})", service)


@contextmanager
def _silenced() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was_disabled in zip(loggers, before, strict=True):
            logger.disabled = was_disabled
