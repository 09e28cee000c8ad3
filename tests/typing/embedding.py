"""The types of `stream_serve`, as an application sees them: checked and never run.

Each line with `pyright: ignore` has to be an error: one that is none is an error itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Literal, assert_type

from fastapi import FastAPI, Header
from starlette.applications import Starlette
from starlette.routing import Mount

import stream_serve
from stream_serve import (
    ChatRequest,
    Chunk,
    Extra,
    Reasoning,
    RunFailure,
    Source,
    Streams,
    StreamServeError,
    ToolArguments,
    ToolCall,
    UpstreamError,
    __version__,
)


async def user(name: str = Header()) -> str:
    return name


str(stream_serve.Chunck)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
assert_type(__version__, Literal["0.1.0"])
assert_type(Streams.memory(), Streams)
assert_type(Streams.sqlite("chat.db"), Streams)
assert_type(Streams.sqlite(Path("chat.db"), owner=user, run_log="memory"), Streams)
assert_type(Streams.redis("redis://localhost", owner=lambda: "alice", max_runs=1), Streams)
Streams.memory("alice")  # pyright: ignore[reportCallIssue]
Streams.memory(owner="alice")  # pyright: ignore[reportArgumentType]
Streams.sqlite()  # pyright: ignore[reportCallIssue]
Streams.redis(6379)  # pyright: ignore[reportArgumentType]

streams = Streams.memory()
app = FastAPI(lifespan=streams.lifespan)
app.mount("/ai", streams.routes())
Starlette(routes=[Mount("/ai", streams.routes())], lifespan=streams.lifespan)
assert_type(streams.lifespan(), AbstractAsyncContextManager[None])


@streams.chat
async def answer(request: ChatRequest) -> AsyncGenerator[str]:
    assert_type(request.question, str)
    assert_type(request.messages, list[dict[str, object]])
    assert_type(request.options, dict[str, object])
    assert_type(request.owner, str | None)
    request.model = "another"  # pyright: ignore[reportAttributeAccessIssue]
    str(request.history)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    yield request.question


@streams.chat(model="thorough")
async def thorough(request: ChatRequest) -> AsyncGenerator[str | Reasoning | Chunk | Source]:
    yield Reasoning("hm")
    yield Chunk(request.question)
    yield Source("https://example.com", title="Example")
    yield Chunk(1)  # pyright: ignore[reportArgumentType]


@streams.chat()
def plain(request: ChatRequest) -> Generator[ToolCall | ToolArguments | Extra]:
    yield ToolCall(0, "call-1", "weather")
    yield ToolArguments(0, '{"city": "Paris"}')
    yield Extra("delta", {"own": request.extra})


# What is decorated keeps its type.
assert_type(answer(ChatRequest("m", [], {})), AsyncGenerator[str])
assert_type(plain(ChatRequest("m", [], {})), Generator[ToolCall | ToolArguments | Extra])


@streams.chat  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
async def no_generator(request: ChatRequest) -> str:
    return request.question


@streams.chat  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
async def numbers(request: ChatRequest) -> AsyncGenerator[int]:
    yield len(request.messages)


@streams.chat  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
async def two_things(request: ChatRequest, more: int) -> AsyncGenerator[str]:
    yield request.question * more


def failing(error: StreamServeError) -> None:
    assert_type(error.code, str)
    assert_type(error.retryable, bool)
    assert_type(error.retry_after, float | None)


failing(UpstreamError("the agent is busy", retryable=True, retry_after=2))
failing(RunFailure("it failed"))
failing(ValueError("it is none of ours"))  # pyright: ignore[reportArgumentType]
UpstreamError("the agent is busy", True)  # pyright: ignore[reportCallIssue]
UpstreamError("the agent is busy", retryable="yes")  # pyright: ignore[reportArgumentType]
