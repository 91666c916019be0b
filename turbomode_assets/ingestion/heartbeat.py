"""Keeping leases alive while their owner works, and letting them lapse soon when it dies."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from turbomode_assets.contracts.errors import StoreError

BEATS_PER_LEASE = 4


@contextmanager
def heartbeat(renew: Callable[[], object], lease_seconds: float) -> Iterator[None]:
    """Renew leases a few times within their length, from a thread, until the work is done.

    A store that cannot be reached ends the beating: the leases lapse, others may take the work
    over, and the owner meets the same error when it gives its leases back.
    """
    done = threading.Event()

    def beat() -> None:
        while not done.wait(lease_seconds / BEATS_PER_LEASE):
            try:
                renew()
            except StoreError:
                return

    thread = threading.Thread(target=beat, name="lease heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
