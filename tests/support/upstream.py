"""An upstream in memory whose every step is one turn of the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream_serve.events import Chunk
from stream_serve.upstream.base import ChatRequest, Finish

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.events import Delta, Usage

REQUEST = ChatRequest(model="m", messages=[{"role": "user", "content": "hi"}], options={})


class StepCall:
    """Waits one turn before each batch, and `closing` turns to be closed."""

    def __init__(self, batches: int, closing: int, defect: Exception | None) -> None:
        self._left = batches
        self._closing = closing
        self._defect = defect
        self.finish: Finish | None = None
        self.begun = False
        self.closed = 0

    @property
    def model(self) -> str:
        return "m"

    @property
    def usage(self) -> Usage | None:
        return None

    @property
    def socket_closed(self) -> bool | None:
        return self.closed > 0 if self.begun else None

    async def batches(self) -> AsyncGenerator[list[Delta], None]:
        self.begun = True
        while self._left:
            await asyncio.sleep(0)
            self._left -= 1
            yield [Chunk("a"), Chunk("b")]
        if self._defect is not None:
            raise self._defect
        self.finish = Finish("stop", None)

    async def close(self) -> None:
        self.closed += 1
        for _ in range(self._closing):
            await asyncio.sleep(0)


class StepUpstream:
    """Makes `StepCall`s and remembers them."""

    model = "m"

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

    async def close(self) -> None:
        self.closed = True
