"""Opening a read-only connection to an IB gateway, with a client id that is free."""

import asyncio
from collections.abc import Callable

from turbomode_assets.config.vendors import IbkrConfig
from turbomode_assets.vendors.ibkr.errors import ClientIdInUseError, UnreachableError
from turbomode_assets.vendors.ibkr.library import IB

_CLIENT_IDS_TRIED = 4
_CLIENT_ID_IN_USE = 326
_STEPS = 4
"""The library connects in up to four steps, one after the other, and waits for each."""


class _ClosedEarly(Exception):  # noqa: N818  # never leaves this module
    """The gateway closed a connection before it was ready, as it does when the id is in use."""

    def __init__(self, *, client_id_in_use: bool) -> None:
        super().__init__()
        self.client_id_in_use = client_id_in_use


async def connect(config: IbkrConfig, prepare: Callable[[IB], None]) -> IB:
    """Connect as the configured client id, or as one of the next few when it is in use.

    Each client is prepared before it connects.

    Raises:
        UnreachableError: nothing answers there, or not as a gateway does, in the time configured.
        ClientIdInUseError: every id tried is in use.
    """
    first, in_use = config.client_id, False
    for client_id in range(first, first + _CLIENT_IDS_TRIED):
        try:
            return await _connect_as(client_id, config, prepare)
        except _ClosedEarly as closed:
            in_use |= closed.client_id_in_use
    if in_use:
        raise ClientIdInUseError(f"client ids {first} to {client_id} are in use")
    raise UnreachableError(f"{_address(config)} closes connections before they are ready")


async def _connect_as(client_id: int, config: IbkrConfig, prepare: Callable[[IB], None]) -> IB:
    ib = IB()
    prepare(ib)
    ib.RaiseRequestErrors = True
    ib.RequestTimeout = config.request_timeout_seconds
    codes: list[int] = []
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    ib.errorEvent.connect(lambda _id, code, *_: codes.append(code))
    ib.client.apiError.connect(lambda _text: _finish(closed))
    seconds = config.connect_timeout_seconds
    connecting = asyncio.ensure_future(
        ib.connectAsync(
            config.host, config.port, client_id, timeout=seconds / _STEPS, readonly=True
        )
    )
    # The library does not notice by itself that a connection closes before it is ready.
    await asyncio.wait({connecting, closed}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        connecting.cancel()
        await asyncio.wait({connecting})
    if connecting.cancelled():
        if closed.done():
            raise _ClosedEarly(client_id_in_use=_CLIENT_ID_IN_USE in codes)
        raise UnreachableError(f"{_address(config)} does not answer")
    error = connecting.exception()
    if isinstance(error, OSError):
        raise UnreachableError(f"no gateway answers at {_address(config)}") from error
    if error is not None:
        raise error
    return ib


def _finish(closed: asyncio.Future[None]) -> None:
    if not closed.done():
        closed.set_result(None)


def _address(config: IbkrConfig) -> str:
    return f"{config.host}:{config.port}"
