"""The types of `stream_serve.client`, as a program sees them: checked and never run.

Each line with `pyright: ignore` has to be an error: one that is none is an error itself.
"""

from __future__ import annotations

from typing import Literal, assert_type

from stream_serve.client import (
    Answer,
    AsyncAnswer,
    AsyncClient,
    Chunk,
    Client,
    End,
    Patience,
    Receipt,
    Start,
    Usage,
)

Client()  # pyright: ignore[reportCallIssue]
Client("http://localhost:3000", "sk-1")  # pyright: ignore[reportCallIssue]
Patience(3)  # pyright: ignore[reportCallIssue]

with Client("http://localhost:3000", key="sk-1", patience=Patience(attempts=3)) as client:
    assert_type(client, Client)
    assert_type(client.chat("Hello", model="m"), Answer)
    assert_type(client.follow("run", after=3), Answer)
    assert_type(client.stop("run"), Receipt)
    client.chat("Hello", on_disconnect="go on")  # pyright: ignore[reportArgumentType]
    with client.chat("Hello") as answer:
        assert_type(answer.run_id, str)
        assert_type(answer.cursor, int)
        for event in answer:
            match event:
                case Start():
                    assert_type(event.conversation_id, str | None)
                case Chunk(content):
                    assert_type(content, str)
                case End():
                    assert_type(event.finish_reason, str)
                    assert_type(event.usage, Usage)
                    assert_type(event.usage.source, Literal["provider", "estimated"])
                case _:
                    str(event.usage)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
        receipt = answer.stop()
        assert_type(receipt.upstream_closed, bool | None)
        receipt.outcome = "stopped"  # pyright: ignore[reportAttributeAccessIssue]


async def asking() -> None:
    async with AsyncClient("http://localhost:3000") as client:
        assert_type(client.chat("Hello"), AsyncAnswer)
        assert_type(await client.stop("run"), Receipt)
        str(client.stop("run").outcome)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
        async with client.chat("Hello") as answer:
            async for event in answer:
                if isinstance(event, Chunk):
                    assert_type(event.content, str)
            assert_type(await answer.stop(), Receipt)
        list(answer)  # pyright: ignore[reportArgumentType]
