"""Scenarios that look at the history that is sent, as strict providers and chat templates do."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stream_serve.testing.chunks import event, failure
from stream_serve.testing.scenarios.answers import speak
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import TEXT

if TYPE_CHECKING:
    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask


@scenario(
    "strict",
    "400 unless roles alternate, the first and the last message is the user's, and none is empty; "
    "reply=empty fails before the first token",
    reply="",
    **TEXT,
)
async def strict(reply: Reply, ask: Ask) -> None:
    """A chat template that raises for what it was not made for."""
    wrong = _objection(ask.body.get("messages"))
    if wrong is not None:
        await reply.json(400, failure(wrong, code="invalid_request_error", param="messages"))
    elif ask.string("reply") == "empty":
        await reply.json(500, failure("An internal error occurred.", code="internal_error"))
    else:
        await speak(reply, ask)


@scenario(
    "picky",
    "400 for `stream_options`, a system prompt, or `max_tokens` (it wants `max_completion_tokens`)",
    **TEXT,
)
async def picky(reply: Reply, ask: Ask) -> None:
    """A server that refuses what others want, each with the words of a real one."""
    messages: list[Any] = ask.body.get("messages") or []
    for wrong, param, words in (
        ("stream_options" in ask.body, "stream_options", "Unrecognized request argument supplied"),
        ("max_tokens" in ask.body, "max_tokens", "Use 'max_completion_tokens' instead"),
        (
            any(one.get("role") in {"system", "developer"} for one in messages),
            "messages",
            "System role not supported",
        ),
    ):
        if wrong:
            await reply.json(400, failure(words, code="unsupported_parameter", param=param))
            return
    await speak(reply, ask)


@scenario(
    "context",
    "400 with context_length_exceeded when more than `messages` messages are sent; how=numeric: the "
    "code is 400, and the type says why; how=stream: an error in a stream",
    messages=4,
    how="refusal",
    **TEXT,
)
async def context(reply: Reply, ask: Ask) -> None:
    """A model whose context is small, counted in messages."""
    sent: list[object] = ask.body.get("messages") or []
    if len(sent) > ask.integer("messages"):
        words = "This model's maximum context length is exceeded: please reduce the messages."
        error: dict[str, Any] = {"code": 400, "message": "no", "type": "exceed_context_size_error"}
        if ask.string("how") == "refusal":
            await reply.json(400, failure(words, code="context_length_exceeded", param="messages"))
        elif ask.string("how") == "numeric":
            await reply.json(400, {"error": error})
        else:
            await reply.open()
            await reply.send(event({"error": error}))
            await reply.end()
    else:
        await speak(reply, ask)


def _objection(messages: Any) -> str | None:
    """Return what a strict template says against these messages; None if nothing."""
    if messages and messages[0].get("role") == "system":
        messages = messages[1:]
    if not messages or messages[0].get("role") != "user":
        return "Conversation roles must begin with user"
    if any(one.get("role") == next_one.get("role") for one, next_one in pairwise(messages)):
        return "Conversation roles must alternate user/assistant/user/assistant/..."
    if messages[-1].get("role") != "user":
        return "The last message must be the user's"
    for message in messages:
        content = message.get("content")
        if not (content.strip() if isinstance(content, str) else content):
            return "all messages must have non-empty content"
    return None
