"""Producers in memory, whose every step is one turn of the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stream_serve.errors import UpstreamDisconnected
from stream_serve.events.types import Chunk
from stream_serve.producers.base import Finish
from stream_serve.producers.provider import ChatRequest, Model

if TYPE_CHECKING:
    from stream_serve.events.types import Usage
    from stream_serve.producers.base import Emit, Patience

REQUEST = ChatRequest(model="m", messages=[{"role": "user", "content": "hi"}], options={})


class StepProducer:
    """Waits one turn before each batch, and `closing` turns to be closed."""

    model = "m"
    patience: Patience | None = None
    prompt_tokens = 1
    usage: Usage | None = None

    def __init__(self, batches: int = 5, closing: int = 2, defect: Exception | None = None) -> None:
        self._left = batches
        self._closing = closing
        self._defect = defect
        self.begun = False
        self.closings = 0

    @property
    def closed(self) -> bool | None:
        return self.closings > 0 if self.begun else None

    async def produce(self, emit: Emit) -> Finish:
        self.begun = True
        while self._left:
            await asyncio.sleep(0)
            self._left -= 1
            emit([Chunk("a"), Chunk("b")])
        if self._defect is not None:
            raise self._defect
        return Finish()

    async def close(self) -> None:
        self.closings += 1
        for _ in range(self._closing):
            await asyncio.sleep(0)


class StepProvider:
    """Makes `StepProducer`s and remembers them."""

    def __init__(
        self, *, batches: int = 5, closing: int = 2, defect: Exception | None = None
    ) -> None:
        self._parameters = (batches, closing, defect)
        self.producers: list[StepProducer] = []

    def ask(self, request: ChatRequest = REQUEST) -> StepProducer:
        del request
        self.producers.append(StepProducer(*self._parameters))
        return self.producers[-1]

    @property
    def models(self) -> list[Model]:
        return [Model(name="m", default=True)]

    async def model_for(self, asked: str | None) -> str:
        return asked or "m"

    def context_of(self, model: str) -> int | None:
        del model
        return None

    async def look_up(self, model: str) -> None:
        del model

    def unsupported(self, request: ChatRequest) -> dict[str, str]:
        del request
        return {}

    async def close(self) -> None:
        pass


class ToldProducer:
    """Does what it is told through a queue: a number of deltas, "finish", or "fail"."""

    model = "m"
    patience: Patience | None = None
    prompt_tokens = 1
    usage: Usage | None = None
    closed: bool | None = None

    def __init__(self) -> None:
        self.orders: asyncio.Queue[int | str] = asyncio.Queue()
        self.closings = 0

    async def produce(self, emit: Emit) -> Finish:
        said = 0
        while True:
            match await self.orders.get():
                case int(count):
                    emit([Chunk(f"{said + n} ") for n in range(count)])
                    said += count
                case "fail":
                    raise UpstreamDisconnected("told to fail")
                case _:
                    return Finish()

    async def close(self) -> None:
        self.closings += 1


class ToldProvider:
    """Makes `ToldProducer`s and remembers them."""

    def __init__(self) -> None:
        self.producers: list[ToldProducer] = []

    def ask(self, request: ChatRequest = REQUEST) -> ToldProducer:
        del request
        self.producers.append(ToldProducer())
        return self.producers[-1]

    @property
    def models(self) -> list[Model]:
        return [Model(name="m", default=True)]

    async def model_for(self, asked: str | None) -> str:
        return asked or "m"

    def context_of(self, model: str) -> int | None:
        del model
        return None

    async def look_up(self, model: str) -> None:
        del model

    def unsupported(self, request: ChatRequest) -> dict[str, str]:
        del request
        return {}

    async def close(self) -> None:
        pass
