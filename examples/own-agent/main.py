"""A generator of one's own with stop, resume and several readers: uvicorn main:app."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import FastAPI

from stream_serve import ChatRequest, Reasoning, Source, Streams

streams = Streams.memory()
app = FastAPI(lifespan=streams.lifespan)
app.mount("/ai", streams.routes())


@streams.chat
async def answer(request: ChatRequest) -> AsyncGenerator[str | Reasoning | Source]:
    """Think a little, cite something, and say the question again."""
    yield Reasoning("The question has to be said again.")
    for word in request.question.split():
        await asyncio.sleep(0.1)  # a stop cancels here
        yield word + " "
    yield Source("https://example.com/", "An example")
