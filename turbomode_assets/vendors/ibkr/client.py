"""One connection to an IB gateway: what is asked on it, and how each question ends.

No judgement about data: bars leave as they came.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from turbomode_assets.config.vendors import IbkrConfig
from turbomode_assets.vendors.ibkr.connecting import connect
from turbomode_assets.vendors.ibkr.contracts import ContractQuery, Instrument
from turbomode_assets.vendors.ibkr.errors import (
    AmbiguousContractError,
    DataLostError,
    GatewayError,
    LinkLostError,
    MalformedError,
    NoContractError,
    RefusedError,
    TimedOutError,
    UnreachableError,
    printable,
)
from turbomode_assets.vendors.ibkr.library import (
    IB,
    BarData,
    CheckedDecoder,
    Client,
    Contract,
    ContractDetails,
    RequestError,
    silence_the_library,
)
from turbomode_assets.vendors.ibkr.planning import Piece

logger = logging.getLogger(__name__)

_BYTES_PER_BAR = 256
_BYTES_BESIDE_BARS = 1 << 20
_TIMES_AS_UTC_SECONDS = 2
_ANSWERS = {"4", "10", "17", "52", "88"}
"""Messages that answer our questions: errors, contract details and their end, bars, head time."""

_CONNECTION_TO_IB_LOST, _RESTORED_DATA_LOST, _RESTORED_DATA_KEPT = 1100, 1101, 1102
_PORT_RESET = 1300
_NOT_CONNECTED = 504
_TOO_MANY_MESSAGES = 100
_FARM_BROKEN = {2103, 2105, 2110, 2157}


@dataclass(frozen=True)
class _Question:
    """The question that is open at a gateway, and what waits for its answer."""

    request_id: int
    answer: asyncio.Future[Any]

    def fail(self, error: GatewayError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class IbkrClient:
    """One connection to a gateway, opened when it is needed and again after it broke.

    Lives on one event loop and has one question open at a time. Only questions about market data
    are asked, on a read-only connection. That no gateway could be found is remembered, so that
    later questions do not wait for it again.

    Raises from every question:
        GatewayError: it could not be answered; the subclass says why.
    """

    def __init__(self, config: IbkrConfig) -> None:
        silence_the_library()
        self._config = config
        self._ib: IB | None = None
        self._unreachable: str | None = None
        self._was_connected = False
        self._link_lost = False
        self._question: _Question | None = None
        self._received_bytes = 0
        self._accounts: set[str] = set()
        self._instruments: dict[ContractQuery, Instrument] = {}

    async def resolve(self, wanted: ContractQuery) -> Instrument:
        """Find the one contract that fits; asked once for each connection."""
        await self._connected()
        if wanted in self._instruments:
            return self._instruments[wanted]
        contract = Contract(
            symbol=wanted.symbol,
            secType=wanted.security_type,
            exchange=wanted.exchange,
            primaryExchange=wanted.primary_exchange,
            currency=wanted.currency,
        )
        found: list[ContractDetails] = await self._ask(
            lambda client, request_id: client.reqContractDetails(request_id, contract)
        )
        self._instruments[wanted] = _only_one(found, wanted)
        return self._instruments[wanted]

    async def bars(self, instrument: Instrument, piece: Piece) -> list[BarData]:
        """Historical bars as they arrive, at most the configured number."""
        wanted, contract = instrument.wanted, _contract_of(instrument)
        return await self._ask(  # type: ignore[no-any-return]
            lambda client, request_id: client.reqHistoricalData(
                request_id,
                contract,
                f"{piece.end.astimezone(dt.UTC):%Y%m%d %H:%M:%S} UTC",
                piece.duration,
                piece.bar_size,
                wanted.what_to_show,
                wanted.regular_hours,
                _TIMES_AS_UTC_SECONDS,
                False,
                [],
            ),
            lambda client, request_id: client.cancelHistoricalData(request_id),
        )

    async def first_trade(self, instrument: Instrument) -> dt.datetime:
        """When IB's history of an instrument begins, in UTC."""
        wanted, contract = instrument.wanted, _contract_of(instrument)
        moment = await self._ask(
            lambda client, request_id: client.reqHeadTimeStamp(
                request_id,
                contract,
                wanted.what_to_show,
                wanted.regular_hours,
                _TIMES_AS_UTC_SECONDS,
            ),
            lambda client, request_id: client.cancelHeadTimeStamp(request_id),
        )
        if not isinstance(moment, dt.datetime) or moment.tzinfo is None:
            raise MalformedError("the begin of the history is no time")
        return moment

    async def close(self) -> None:
        """Close the connection; the next question opens another."""
        self._drop()
        # The transport closes in the next turns of the loop.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _ask(
        self,
        send: Callable[[Client, int], None],
        cancel: Callable[[Client, int], None] = lambda *_: None,
    ) -> Any:
        """Send a request and wait for what answers it, and nothing else.

        A connection that fell silent, or on which something unreadable came, is dropped.
        """
        ib = await self._connected()
        request_id = ib.client.getReqId()
        self._question = _Question(request_id, ib.wrapper.startReq(request_id))
        self._received_bytes = 0
        try:
            send(ib.client, request_id)
            return await asyncio.wait_for(
                self._question.answer, self._config.request_timeout_seconds
            )
        except RequestError as error:
            if error.code == _NOT_CONNECTED:
                self._drop()
            raise RefusedError(error.code, self._redacted(error.message)) from error
        except TimeoutError as error:
            lost = self._link_lost
            if ib.isConnected():
                cancel(ib.client, request_id)
            self._drop()
            if lost:
                raise LinkLostError("the gateway lost its connection to IB") from error
            seconds = self._config.request_timeout_seconds
            raise TimedOutError(f"no answer within {seconds:g} seconds") from error
        except ConnectionError as error:
            self._drop()
            raise LinkLostError("the connection to the gateway broke") from error
        except ValueError as error:
            self._drop()
            raise MalformedError("a value of the answer cannot be read") from error
        except DataLostError:
            raise
        except (LinkLostError, MalformedError):
            self._drop()
            raise
        finally:
            self._question = None

    async def _connected(self) -> IB:
        if self._ib is not None and self._ib.isConnected():
            return self._ib
        self._drop()
        if self._unreachable is not None:
            raise UnreachableError(self._unreachable)
        try:
            self._ib = await connect(self._config, self._prepare)
        except UnreachableError as error:
            if self._was_connected:
                # It was there before: it restarts, or went away for a while.
                raise LinkLostError(error.text) from error
            self._unreachable = error.text
            raise
        self._was_connected = True
        self._accounts |= set(self._ib.wrapper.accounts)
        return self._ib

    def _prepare(self, ib: IB) -> None:
        ib.client.decoder = CheckedDecoder(
            ib.wrapper, self._config.largest_reply_bars, self._refuse_frame
        )
        ib.errorEvent += self._on_error
        ib.client.conn.hasData += self._on_data

    def _on_error(self, request_id: int, code: int, text: str, _contract: object) -> None:
        """Hear the messages that concern no single request; the library hands on the others."""
        if code in _FARM_BROKEN or code in (_CONNECTION_TO_IB_LOST, _PORT_RESET):
            logger.warning("IB says %s %s", code, self._redacted(text))
        if code == _CONNECTION_TO_IB_LOST:
            self._link_lost = True
        elif code in (_RESTORED_DATA_LOST, _RESTORED_DATA_KEPT):
            self._link_lost = False
        if self._question is None:
            if code == _PORT_RESET:
                asyncio.get_running_loop().call_soon(self._drop)
        elif code == _RESTORED_DATA_LOST:
            self._question.fail(DataLostError("IB forgot the question while it was disconnected"))
        elif code == _PORT_RESET:
            self._question.fail(LinkLostError("the gateway resets its port"))
        elif code == _TOO_MANY_MESSAGES and request_id < 0:
            self._question.fail(RefusedError(code, self._redacted(text)))

    def _on_data(self, data: bytes) -> None:
        self._received_bytes += len(data)
        largest = self._config.largest_reply_bars * _BYTES_PER_BAR + _BYTES_BESIDE_BARS
        if self._question is not None and self._received_bytes > largest:
            self._question.fail(MalformedError(f"the answer is longer than {largest} bytes"))

    def _refuse_frame(self, head: list[str], problem: str) -> None:
        question = self._question
        if question is None or not head or head[0] not in _ANSWERS:
            return
        if str(question.request_id) in head[1:]:
            question.fail(MalformedError(problem))

    def _drop(self) -> None:
        ib, self._ib = self._ib, None
        self._instruments.clear()
        self._link_lost = False
        if ib is not None:
            ib.client.disconnect()

    def _redacted(self, text: str) -> str:
        for account in self._accounts:
            text = text.replace(account, "***")
        return printable(text)


def _only_one(found: list[ContractDetails], wanted: ContractQuery) -> Instrument:
    if not found:
        raise NoContractError(f"IB knows no {wanted.security_type} {wanted.symbol}")
    if len(found) > 1:
        raise AmbiguousContractError(
            f"IB knows {len(found)} contracts {wanted.security_type} {wanted.symbol}"
        )
    details, contract = found[0], found[0].contract
    if contract is None or contract.conId <= 0:
        raise MalformedError("the contract has no id")
    return Instrument(
        wanted=wanted,
        contract_id=contract.conId,
        primary_exchange=contract.primaryExchange,
        local_symbol=contract.localSymbol,
        trading_class=contract.tradingClass,
        long_name=printable(details.longName),
        industry=printable(details.industry),
    )


def _contract_of(instrument: Instrument) -> Contract:
    return Contract(
        conId=instrument.contract_id,
        symbol=instrument.wanted.symbol,
        secType=instrument.wanted.security_type,
        exchange=instrument.wanted.exchange,
        primaryExchange=instrument.primary_exchange,
        currency=instrument.wanted.currency,
        localSymbol=instrument.local_symbol,
        tradingClass=instrument.trading_class,
    )
