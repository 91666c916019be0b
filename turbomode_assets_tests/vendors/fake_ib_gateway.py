"""A fake IB gateway that speaks IB's protocol, so that the real client library connects to it.

Use it in a test as `with FakeGateway() as gateway:`, or run it as a process:
`python -m turbomode_assets_tests.vendors.fake_ib_gateway PORT`.
"""

import asyncio
import struct
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Self

from turbomode_assets_tests.vendors.fake_ib_market import (
    EASTERN_NAME,
    INDUSTRY,
    LISTED,
    FakeBar,
    FakeContract,
    FakeRequest,
    Pacing,
    bars_of,
    contract_id,
)

PACING = "Historical Market Data Service error message:Historical data request pacing violation"
NO_DATA = "Historical Market Data Service error message:HMDS query returned no data: X@SMART Trades"
UNKNOWN = "No security definition has been found for the request"

Step = Callable[["Conversation", FakeRequest], Awaitable[None]]
"""What happens instead of the answer to one request."""


def frame(*fields: object) -> bytes:
    body = b"".join(str(field).encode() + b"\0" for field in fields)
    return struct.pack(">I", len(body)) + body


class FakeGateway:
    """Answers on 127.0.0.1 from a thread of its own, right unless it is told otherwise.

    `requests` are the historical requests in the order of their arrival, `messages` everything
    that arrived, `cancelled` the ids of cancelled requests, `violations` the pacing rules that were
    broken on the clock given.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        server_version: int = 176,
        account: str = "DU7654321",
        taken_client_ids: Iterable[int] = (),
        silent_about: Iterable[int] = (),
    ) -> None:
        self.port = port
        self.server_version = server_version
        self.account = account
        self.taken_client_ids = set(taken_client_ids)
        self.silent_about = set(silent_about)
        self.pacing = Pacing(clock)
        self.requests: list[FakeRequest] = []
        self.messages: list[list[str]] = []
        self.cancelled: list[int] = []
        self.violations: list[str] = []
        self.client_ids: list[int] = []
        self._steps: dict[str, deque[Step]] = defaultdict(deque)
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def script(self, *steps: Step, on: str = "bars") -> None:
        """Queue what happens to the next requests of a kind: bars, head, schedule or details."""
        self._steps[on].extend(steps)

    def drop_connections(self) -> None:
        """Break every connection, as a gateway that restarts does."""
        self._in_thread(self._abort)

    def announce(self, code: int, text: str) -> None:
        """Tell every client something that concerns no request."""

        async def tell() -> None:
            for writer in self._writers:
                Conversation(self, writer).error(-1, code, text)

        self._in_thread(tell)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10), "the fake gateway did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go away, as a gateway that is shut down does; nothing when it is gone already."""
        if not self._loop.is_closed():
            self.drop_connections()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def next_step(self, kind: str) -> Step | None:
        return self._steps[kind].popleft() if self._steps[kind] else None

    def _in_thread(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._converse, "127.0.0.1", self.port, limit=1 << 24)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        open_tasks = asyncio.all_tasks(self._loop)
        for task in open_tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*open_tasks, return_exceptions=True))
        self._loop.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await Conversation(self, writer).run(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class Conversation:
    """One client's connection: reads messages and writes the answers."""

    def __init__(self, gateway: FakeGateway, writer: asyncio.StreamWriter) -> None:
        self.gateway = gateway
        self.writer = writer
        self.handlers: dict[int, Callable[[list[str]], Awaitable[None]]] = {
            71: self._start,
            6: self._account_values,
            9: self._details,
            20: self._history,
            87: self._head_timestamp,
            25: self._cancel,
        }

    async def run(self, reader: asyncio.StreamReader) -> None:
        await reader.readexactly(len(b"API\0"))
        await self._read(reader)
        self.send(self.gateway.server_version, "20250101 09:30:00 EST")
        while True:
            fields = (await self._read(reader)).decode().split("\0")[:-1]
            self.gateway.messages.append(fields)
            kind = int(fields[0])
            if kind in self.gateway.silent_about:
                continue
            if kind in self.handlers:
                await self.handlers[kind](fields)
            else:
                self._finish_other(kind, fields)
            await self.writer.drain()

    def send(self, *fields: object) -> None:
        self.writer.write(frame(*fields))

    def error(self, request_id: int, code: int, text: str) -> None:
        self.gateway.pacing.open_requests.discard(request_id)
        rest = [""] if self.gateway.server_version >= 166 else []
        self.send(4, 2, request_id, code, text, *rest)

    async def answer(self, request: FakeRequest) -> None:
        """Answer a historical request as IB would."""
        if request.kind == "head":
            self.gateway.pacing.open_requests.discard(request.request_id)
            self.send(88, request.request_id, int(LISTED.timestamp()))
        elif request.kind == "schedule":
            self.gateway.pacing.open_requests.discard(request.request_id)
            hours = ("20250102-09:30:00", "20250102-16:00:00")
            self.send(106, request.request_id, *hours, EASTERN_NAME, 1, *hours, "20250102")
        else:
            self.send_bars(request, bars_of(request))

    def send_bars(self, request: FakeRequest, bars: list[FakeBar]) -> None:
        self.gateway.pacing.open_requests.discard(request.request_id)
        self.writer.write(bars_frame(request, bars))

    @staticmethod
    async def _read(reader: asyncio.StreamReader) -> bytes:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
        return await reader.readexactly(length)

    async def _start(self, fields: list[str]) -> None:
        gateway, client_id = self.gateway, int(fields[2])
        gateway.client_ids.append(client_id)
        if client_id in gateway.taken_client_ids:
            self.error(-1, 326, "Unable to connect as the client id is already in use.")
            await self.writer.drain()
            raise ConnectionError
        self.send(15, 1, gateway.account)
        self.send(9, 1, 1)
        for code, name in ((2104, "Market data"), (2106, "HMDS data"), (2158, "Sec-def data")):
            self.error(-1, code, f"{name} farm connection is OK:made-up")

    async def _account_values(self, fields: list[str]) -> None:
        account = self.gateway.account
        self.send(6, 2, "NetLiquidation", "1000000.00", "USD", account)
        stock = (265598, "AAPL", "STK", "", 0.0, "", "", "SMART", "USD", "AAPL", "NMS")
        self.send(61, 3, account, *stock, 100, 123.45)
        self.send(54, 1, account)

    def _finish_other(self, kind: int, fields: list[str]) -> None:
        """End the start-up requests, which have nothing to tell."""
        ends: dict[int, tuple[object, ...]] = {
            61: (62, 1),
            5: (53, 1),
            99: (102,),
            76: (74, 1, fields[2] if len(fields) > 2 else 0),
            7: (55, 1, fields[2] if len(fields) > 2 else 0),
            62: (64, 1, fields[2] if len(fields) > 2 else 0),
        }
        if kind in ends:
            self.send(*ends[kind])

    async def _details(self, fields: list[str]) -> None:
        symbol, kind, exchange, primary = fields[4], fields[5], fields[10], fields[11]
        contract = FakeContract(contract_id(symbol), symbol, kind, exchange, primary, fields[12])
        request = FakeRequest("details", int(fields[2]), contract, "", False)
        step = self.gateway.next_step("details")
        if step is not None:
            await step(self, request)
            return
        copies = {"NOPE": 0, "TWINS": 2}.get(symbol, 1)
        self.send_details(request, copies)

    def send_details(self, request: FakeRequest, copies: int) -> None:
        if not copies:
            self.error(request.request_id, 200, UNKNOWN)
            return
        for copy in range(copies):
            self.send(*self._details_fields(request, copy))
        self.send(52, 1, request.request_id)

    def _details_fields(self, request: FakeRequest, copy: int) -> list[object]:
        contract, modern = request.contract, self.gateway.server_version >= 164
        symbol, where = contract.symbol, contract.primary_exchange or "NASDAQ"
        name, hours = f"{symbol} INC", "20250102:0930-20250102:1600"
        fields: list[object] = [10] if modern else [10, 8]
        fields += [request.request_id, symbol, contract.security_type, "", "0", ""]
        fields += [contract.exchange, contract.currency, symbol, "NMS", "NMS"]
        fields += [contract.con_id + copy, "0.01"] + ([] if modern else [""])
        fields += ["", "LMT", "SMART,NASDAQ", "1", "0", name, where, "", INDUSTRY, "", ""]
        fields += [EASTERN_NAME, hours, hours, "", "", 0, "1", "", "", "26", "", "COMMON"]
        if self.gateway.server_version == 163:
            fields += ["100"]
        return fields + (["0.0001", "0.0001", "100"] if modern else [])

    async def _history(self, fields: list[str]) -> None:
        end, bar_size, duration, regular, what = fields[15:20]
        request = FakeRequest(
            kind="schedule" if what == "SCHEDULE" else "bars",
            request_id=int(fields[1]),
            contract=_contract(fields),
            what_to_show=what,
            regular_hours=regular == "1",
            end=end,
            duration=duration,
            bar_size=bar_size,
        )
        await self._historical(request)

    async def _head_timestamp(self, fields: list[str]) -> None:
        regular, what = fields[15] == "1", fields[16]
        request = FakeRequest("head", int(fields[1]), _contract(fields), what, regular)
        await self._historical(request)

    async def _historical(self, request: FakeRequest) -> None:
        self.gateway.requests.append(request)
        rule = self.gateway.pacing.broken_by(request)
        if rule is not None:
            self.gateway.violations.append(rule)
            self.error(request.request_id, 162, PACING)
            return
        step = self.gateway.next_step(request.kind)
        await (self.answer(request) if step is None else step(self, request))

    async def _cancel(self, fields: list[str]) -> None:
        self.gateway.cancelled.append(int(fields[2]))
        self.gateway.pacing.open_requests.discard(int(fields[2]))


def bars_frame(request: FakeRequest, bars: Iterable[FakeBar]) -> bytes:
    rows = [bar.fields() for bar in bars]
    flat = [value for row in rows for value in row]
    return frame(17, request.request_id, "20250101 00:00:00", "20250104 00:00:00", len(rows), *flat)


def _contract(fields: list[str]) -> FakeContract:
    return FakeContract(int(fields[2]), fields[3], fields[4], fields[9], fields[10], fields[11])


def main(port: int) -> None:
    """Serve until the process is ended."""
    with FakeGateway(port=port) as gateway:
        print(f"fake IB gateway on 127.0.0.1:{gateway.port}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
