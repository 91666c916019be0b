"""The IB client on a thread and an event loop of its own, asked from any thread and waited for."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from turbomode_assets.config.vendors import IbkrConfig

if TYPE_CHECKING:
    from turbomode_assets.vendors.ibkr.client import IbkrClient

Answer = TypeVar("Answer")


class ClientThread:
    """Runs one question at a time, whichever thread asks; starts with the first question.

    The client bounds its waits by itself, so every question ends.
    """

    def __init__(self, config: IbkrConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._client: IbkrClient | None = None
        self._running: tuple[threading.Thread, asyncio.AbstractEventLoop] | None = None

    def ask(self, question: Callable[["IbkrClient"], Coroutine[Any, Any, Answer]]) -> Answer:
        """Put a question to the client and wait for its answer."""
        with self._lock:
            return self._wait_for(self._put(question), self._loop())

    def close(self) -> None:
        """Close the connection and end the thread; a later question starts both again."""
        with self._lock:
            if self._running is None:
                return
            thread, loop = self._running
            if self._client is not None:
                self._wait_for(self._client.close(), loop)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            self._running = None

    async def _put(self, question: Callable[["IbkrClient"], Coroutine[Any, Any, Answer]]) -> Answer:
        if self._client is None:
            # Here, not above: at its import the library asks for the event loop of the thread it
            # is imported on, and fails on a thread without one.
            from turbomode_assets.vendors.ibkr.client import IbkrClient

            self._client = IbkrClient(self._config)
        return await question(self._client)

    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._running is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_serve, args=(loop,), name="ibkr", daemon=True)
            thread.start()
            self._running = thread, loop
        return self._running[1]

    @staticmethod
    def _wait_for(work: Coroutine[Any, Any, Answer], loop: asyncio.AbstractEventLoop) -> Answer:
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        finally:
            # An interrupted wait must not leave its question open; a finished one ignores this.
            future.cancel()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
