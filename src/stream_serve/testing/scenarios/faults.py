"""Scenarios in which the connection fails, falls silent or ends too early."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.testing.chunks import DONE, event, failure
from stream_serve.testing.scenarios.answers import speak
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import FEW, TEXT, begin

if TYPE_CHECKING:
    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask


@scenario(
    "reset-early",
    "a RST before any byte, for the first N; 0: always; then answers",
    times=1,
    **TEXT,
)
async def reset_early(reply: Reply, ask: Ask) -> None:
    """The connection is reset before the status line."""
    if _failing(ask):
        await reply.reset()
    await speak(reply, ask)


@scenario(
    "close-early",
    "a FIN before any byte, for the first N; 0: always; then answers",
    times=1,
    **TEXT,
)
async def close_early(reply: Reply, ask: Ask) -> None:
    """The connection is closed before the status line."""
    if _failing(ask):
        await reply.close()
    await speak(reply, ask)


@scenario("stale", "answers, then closes the kept-alive connection when it is used again", **TEXT)
async def stale(reply: Reply, ask: Ask) -> None:
    """The race that every connection pool knows."""
    reply.let_go_stale()
    await speak(reply, ask)


@scenario("silent", "accepts the request and never answers")
async def silent(reply: Reply, ask: Ask) -> None:
    """Never a byte."""
    del ask
    await reply.forever()


@scenario("silent-after-headers", "200 and the headers, then nothing")
async def silent_after_headers(reply: Reply, ask: Ask) -> None:
    """Headers and no event."""
    del ask
    await reply.open()
    await reply.forever()


@scenario("slow-headers", "sends the status line after a delay, then answers", delay=1.0, **TEXT)
async def slow_headers(reply: Reply, ask: Ask) -> None:
    """A provider that queues requests before it sends anything."""
    await reply.pause(ask.number("delay"))
    await speak(reply, ask)


@scenario("hang-mid", "some tokens, then silence", **FEW)
async def hang_mid(reply: Reply, ask: Ask) -> None:
    """Silence in the middle of an answer."""
    await begin(reply, ask)
    await reply.forever()


@scenario("hang-end", "all tokens, then silence instead of a finish reason", **TEXT)
async def hang_end(reply: Reply, ask: Ask) -> None:
    """Silence after the last token."""
    await begin(reply, ask)
    await reply.forever()


@scenario("reset-mid", "some tokens, then after the delay a RST", **FEW, delay=0.05)
async def reset_mid(reply: Reply, ask: Ask) -> None:
    """A reset in the middle, after a delay in which the peer can read the data before the RST."""
    await begin(reply, ask)
    await reply.pause(ask.number("delay"))
    await reply.reset()


@scenario("close-mid", "some tokens, then a FIN in the middle of the chunked body", **FEW)
async def close_mid(reply: Reply, ask: Ask) -> None:
    """A body without its last chunk."""
    await begin(reply, ask)
    await reply.close()


@scenario("incomplete", "some tokens, then a clean end without finish_reason and [DONE]", **FEW)
async def incomplete(reply: Reply, ask: Ask) -> None:
    """A truncated answer that looks like a clean end."""
    await begin(reply, ask)
    await reply.end()


@scenario("half-event", "some tokens, then a clean end in the middle of an event", **FEW)
async def half_event(reply: Reply, ask: Ask) -> None:
    """The last event is cut; a parser after the SSE specification drops it."""
    speech = await begin(reply, ask)
    whole = speech.chunks.text("lost")
    await reply.write(whole[: len(whole) // 2])
    await reply.end()


@scenario("error-first", "an error object as the first event")
async def error_first(reply: Reply, ask: Ask) -> None:
    """A failure after the headers and before any text."""
    del ask
    message = "Engine overloaded, try again later."
    body = failure(message, code="server_overloaded", type_="server_error")
    await reply.send(event(body))
    await reply.end()


@scenario("error-mid", "some tokens, then an error object, and an end without [DONE]", **FEW)
async def error_mid(reply: Reply, ask: Ask) -> None:
    """A failure in the middle of the text."""
    await begin(reply, ask)
    message = "The model crashed while it generated."
    body = failure(message, code="internal_error", type_="server_error")
    await reply.send(event(body))
    await reply.end()


@scenario("inspection-mid", "some tokens, then DashScope's data_inspection_failed", **FEW)
async def inspection_mid(reply: Reply, ask: Ask) -> None:
    """Content inspection of the output stops the stream."""
    await begin(reply, ask)
    message = "Output data may contain inappropriate content."
    body = failure(message, code="data_inspection_failed", type_="data_inspection_failed")
    await reply.send(event(body))
    await reply.end()


@scenario("error-string", "some tokens, then an error that is a string", **FEW)
async def error_string(reply: Reply, ask: Ask) -> None:
    """Some servers send `error` as text and not as an object."""
    await begin(reply, ask)
    await reply.send(event({"error": "CUDA out of memory"}), DONE)
    await reply.end()


@scenario("empty", "200 with an event stream that ends at once")
async def empty(reply: Reply, ask: Ask) -> None:
    """No event at all."""
    del ask
    await reply.open()
    await reply.end()


@scenario("only-done", "nothing but [DONE]")
async def only_done(reply: Reply, ask: Ask) -> None:
    """An end without an answer."""
    del ask
    await reply.send(DONE)
    await reply.end()


@scenario("bad-status-line", "bytes that are no HTTP, then a FIN")
async def bad_status_line(reply: Reply, ask: Ask) -> None:
    """Something else listens on the port."""
    del ask
    reply.raw(b"SSH-2.0-OpenSSH_9.9\r\nwhat is this\r\n\r\n")
    await reply.close()


def _failing(ask: Ask) -> bool:
    times = ask.integer("times")
    return times == 0 or ask.attempt <= times
