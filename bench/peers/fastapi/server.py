"""What one writes first in Python: FastAPI, the `openai` package and a `StreamingResponse`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

app = FastAPI()
client = AsyncOpenAI(api_key="bench", base_url=os.environ["UPSTREAM_URL"])


class ChatRequest(BaseModel):
    """What is asked."""

    message: str
    model: str
    systemPrompt: str = "你是一个专业的编程助手"  # noqa: N815 - the article's name


async def events(request: ChatRequest) -> AsyncIterator[str]:
    """Return the answer as server-sent events."""
    yield 'data: {"type": "start"}\n\n'
    stream = await client.chat.completions.create(
        model=request.model,
        messages=[
            {"role": "system", "content": request.systemPrompt},
            {"role": "user", "content": request.message},
        ],
        stream=True,
    )
    async for chunk in stream:
        if chunk.choices and (content := chunk.choices[0].delta.content):
            data = json.dumps({"type": "chunk", "content": content}, ensure_ascii=False)
            yield f"data: {data}\n\n"
    yield 'data: {"type": "end"}\n\n'


@app.post("/ai/chat/stream-sse")
async def stream_chat(request: ChatRequest) -> StreamingResponse:
    """Stream the model's answer."""
    return StreamingResponse(events(request), media_type="text/event-stream")
