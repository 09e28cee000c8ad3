"""An upstream in memory whose every step is one turn of the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream_serve.errors import UpstreamDisconnected
from stream_serve.events.types import Chunk
from stream_serve.producers.base import ChatRequest, Finish

if TYPE_CHECKING:
    from stream_serve.events.types import Usage
    from stream_serve.producers.base import Take

REQUEST = ChatRequest(model="m", messages=[{"role": "user", "content": "hi"}], options={})


class StepCall:
    """Waits one turn before each batch, and `closing` turns to be closed."""

    def __init__(self, batches: int, closing: int, defect: Exception | None) -> None:
        self._left = batches
        self._closing = closing
        self._defect = defect
        self.begun = False
        self.closed = 0

    @property
    def usage(self) -> Usage | None:
        return None

    @property
    def socket_closed(self) -> bool | None:
        return self.closed > 0 if self.begun else None

    async def stream(self, take: Take) -> Finish:
        self.begun = True
        while self._left:
            await asyncio.sleep(0)
            self._left -= 1
            take([Chunk("a"), Chunk("b")])
        if self._defect is not None:
            raise self._defect
        return Finish("stop", None)

    async def close(self) -> None:
        self.closed += 1
        for _ in range(self._closing):
            await asyncio.sleep(0)


class StepUpstream:
    """Makes `StepCall`s and remembers them."""

    def __init__(
        self, *, batches: int = 5, closing: int = 2, defect: Exception | None = None
    ) -> None:
        self._parameters = (batches, closing, defect)
        self.calls: list[StepCall] = []
        self.closed = False

    def call(self, request: ChatRequest) -> StepCall:
        del request
        self.calls.append(StepCall(*self._parameters))
        return self.calls[-1]

    def model_for(self, asked: str | None) -> str:
        return asked or "m"

    async def close(self) -> None:
        self.closed = True


class ToldCall:
    """Does what it is told through a queue: a number of deltas, "finish", or "fail"."""

    usage = None
    socket_closed = None

    def __init__(self) -> None:
        self.orders: asyncio.Queue[int | str] = asyncio.Queue()
        self.closed = 0

    async def stream(self, take: Take) -> Finish:
        said = 0
        while True:
            match await self.orders.get():
                case int(count):
                    take([Chunk(f"{said + n} ") for n in range(count)])
                    said += count
                case "fail":
                    raise UpstreamDisconnected("told to fail")
                case _:
                    return Finish("stop", None)

    async def close(self) -> None:
        self.closed += 1


class ToldUpstream:
    """Makes `ToldCall`s and remembers them."""

    def __init__(self) -> None:
        self.calls: list[ToldCall] = []

    def call(self, request: ChatRequest) -> ToldCall:
        del request
        self.calls.append(ToldCall())
        return self.calls[-1]

    def model_for(self, asked: str | None) -> str:
        return asked or "m"

    async def close(self) -> None:
        pass
