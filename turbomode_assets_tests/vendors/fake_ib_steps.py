"""What a fake IB gateway can do instead of answering: one step of its script each."""

import asyncio
from collections.abc import Callable

from turbomode_assets_tests.vendors.fake_ib_gateway import (
    NO_DATA,
    PACING,
    Conversation,
    Step,
    bars_frame,
    frame,
)
from turbomode_assets_tests.vendors.fake_ib_market import FakeBar, FakeRequest, bars_of

LOST = (1100, "Connectivity between IB and the TWS has been lost.")
RESTORED_DATA_LOST = (1101, "Connectivity between IB and TWS has been restored - data lost.")
RESTORED_DATA_KEPT = (1102, "Connectivity between IB and TWS has been restored - data maintained.")


def refuse(code: int, text: str) -> Step:
    async def step(client: Conversation, request: FakeRequest) -> None:
        client.error(request.request_id, code, text)

    return step


def violate_pacing() -> Step:
    return refuse(162, PACING)


def have_no_data() -> Step:
    return refuse(162, NO_DATA)


def stall() -> Step:
    async def step(client: Conversation, request: FakeRequest) -> None:
        pass

    return step


def drop_in_mid_frame() -> Step:
    async def step(client: Conversation, request: FakeRequest) -> None:
        whole = bars_frame(request, bars_of(request))
        client.writer.write(whole[: len(whole) // 2])
        await client.writer.drain()
        raise ConnectionError

    return step


def in_segments(size: int) -> Step:
    """The right answer, a few bytes at a time."""

    async def step(client: Conversation, request: FakeRequest) -> None:
        whole = bars_frame(request, bars_of(request))
        for begin in range(0, len(whole), size):
            client.writer.write(whole[begin : begin + size])
            await client.writer.drain()
            await asyncio.sleep(0.001)
        client.gateway.pacing.open_requests.discard(request.request_id)

    return step


def tell(*messages: tuple[int, str], then_answer: bool) -> Step:
    """Say things that concern no request, and answer or forget the request."""

    async def step(client: Conversation, request: FakeRequest) -> None:
        for code, text in messages:
            client.error(-1, code, text)
        if then_answer:
            await client.answer(request)

    return step


def alter(change: Callable[[list[FakeBar]], list[FakeBar]]) -> Step:
    """Answer with other bars than the right ones."""

    async def step(client: Conversation, request: FakeRequest) -> None:
        client.send_bars(request, change(bars_of(request)))

    return step


def send_fields(make: Callable[[FakeRequest], list[object]]) -> Step:
    """Answer with one frame of these fields."""

    async def step(client: Conversation, request: FakeRequest) -> None:
        client.writer.write(frame(*make(request)))

    return step


def fail_an_earlier_request(code: int, text: str) -> Step:
    """Send the late error of another request first, then the right answer."""

    async def step(client: Conversation, request: FakeRequest) -> None:
        client.error(request.request_id - 1, code, text)
        await client.answer(request)

    return step
