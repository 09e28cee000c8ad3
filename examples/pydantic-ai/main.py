"""An agent of pydantic-ai: AGENT_MODEL=openai:gpt-5 uvicorn main:app. Without a model it needs no key."""

import os
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from pydantic_ai import Agent

from stream_serve import ChatRequest, Streams

agent = Agent(os.environ.get("AGENT_MODEL", "test"), instructions="Answer in one sentence.")
streams = Streams.memory()
app = FastAPI(lifespan=streams.lifespan)
app.mount("/ai", streams.routes())


@streams.chat
async def answer(request: ChatRequest) -> AsyncGenerator[str]:
    """Ask the agent; a stop closes its connection to the model."""
    async with agent.run_stream(request.question) as result:
        async for piece in result.stream_text(delta=True):
            yield piece
