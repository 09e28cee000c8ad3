"""`OpenAIUpstream`: any server that speaks OpenAI's chat completions, DashScope first of all.

How it works: a call posts the request over a connection of the pool (`http`) and checks that the
answer is a stream. From then on each piece that comes from the socket is parsed (`sse`), decoded
(`chunks`) and handed on in the same moment. The connection's errors end here: they become ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from stream_serve import __version__
from stream_serve.errors import (
    UpstreamDisconnected,
    UpstreamError,
    UpstreamFailed,
    UpstreamIncomplete,
    UpstreamProtocol,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from stream_serve.events import sse
from stream_serve.producers.base import ChatRequest, Finish
from stream_serve.producers.http1 import client as http
from stream_serve.producers.openai import failures
from stream_serve.producers.openai.chunks import Reading

if TYPE_CHECKING:
    from stream_serve.events.types import Delta, Usage
    from stream_serve.producers.base import Take
    from stream_serve.settings import Provider

_NO_FILES: Final = {errno.EMFILE, errno.ENFILE}
_MAX_REFUSAL: Final = 65_536
_DRAIN_TIMEOUT: Final = 0.25
_LONGEST_WAIT: Final = 1.0
_RETRY_PAUSE: Final = (0.1, 0.5)
_REFUSAL_TIMEOUT: Final = 2.0
_LAST_WORDS_TIMEOUT: Final = 2.0


class OpenAIUpstream:
    """A provider behind a base URL. To be made inside a running event loop.

    Without `require_finish` a [DONE] ends an answer also where no finish_reason ever came.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        connect_timeout: float,
        max_event_bytes: int,
        require_finish: bool = True,
    ) -> None:
        self.provider = provider
        self.require_finish = require_finish
        self.max_event_bytes = max_event_bytes
        self.host = urlsplit(provider.url).netloc
        self.pool = http.Pool(provider.url, timeout=connect_timeout)
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"stream-serve/{__version__}",
        }
        if provider.key:
            headers["Authorization"] = f"Bearer {provider.key}"
        self.head = http.request_head(f"{provider.url}/chat/completions", headers)

    def model_for(self, asked: str | None) -> str:
        """Give the model that was asked for, or the configured one."""
        return asked or self.provider.model

    def call(self, request: ChatRequest) -> OpenAICall:
        """Make a call; nothing is sent yet."""
        return OpenAICall(self, request)

    async def close(self) -> None:
        """Close the pooled connections."""
        await self.pool.close()


class OpenAICall:
    """One POST to `/chat/completions`, and its stream."""

    def __init__(self, upstream: OpenAIUpstream, request: ChatRequest) -> None:
        self._upstream = upstream
        self._request = request
        self._sockets: list[socket.socket] = []
        self._connections: list[http.Connection] = []
        self._exchange: http.Exchange | None = None
        self._reading = Reading()
        self._finished = False

    @property
    def usage(self) -> Usage | None:
        """The newest usage that the provider gave."""
        return self._reading.usage

    @property
    def socket_closed(self) -> bool | None:
        """Whether every socket of the call is closed; None when there was none.

        A socket is closed when its descriptor is gone, whoever closed it.
        """
        if not self._sockets:
            return None
        return all(sock.fileno() == -1 for sock in self._sockets)

    async def stream(self, take: Take) -> Finish:
        """Ask, and hand on the deltas of each read as it arrives."""
        exchange = await self._open()
        reading = self._reading
        await self._pour(exchange, take)
        if rest := reading.rest():
            take(rest)
        finish = self._conclude()
        self._finished = True
        return finish

    def _conclude(self) -> Finish:
        """Say how the answer ended: well only where the provider said so. Raises `UpstreamError`."""
        reading, provider = self._reading, self._upstream.provider
        if reading.error is not None:
            raise self._reported(reading.error.error, reading.error.request_id)
        if reading.broken is not None:
            raise failures.from_ending(
                reading.broken, key=provider.key, key_setting=provider.key_setting
            )
        reason = reading.finish_reason
        if reason is None and reading.done and not self._upstream.require_finish:
            reason = "stop"
        if not reading.started:
            raise UpstreamIncomplete("the provider's stream ended without any answer")
        if reason is None:
            raise UpstreamIncomplete(
                "the provider's stream ended without a finish_reason: the answer may be cut "
                "(STREAM_SERVE_REQUIRE_FINISH, for a provider that never sends one)"
            )
        return Finish(reason, reading.usage, failures.shown(reading.word, provider.key))

    async def close(self) -> None:
        """Give the connection back after a finished answer, else close it."""
        exchange, self._exchange = self._exchange, None
        connections, self._connections = self._connections, []
        try:
            if exchange is not None and self._finished and await exchange.finish(_DRAIN_TIMEOUT):
                exchange.connection.release()
                self._upstream.pool.keep(exchange.connection)
                connections.remove(exchange.connection)
        finally:
            await http.close(connections)

    async def _pour(self, exchange: http.Exchange, take: Take) -> None:
        """Read the stream to its end.

        A connection that breaks after the end was said has lost nothing, unless more came after
        an end before: see `Reading`.
        """
        receiver = Receiver(exchange, self._reading, self._upstream.max_event_bytes, take)
        try:
            await exchange.pour(receiver.receive)
        except sse.EventTooLarge as error:
            raise UpstreamTooLarge(f"{error} (STREAM_SERVE_MAX_EVENT_BYTES)") from None
        except http.NotHTTP as error:
            raise UpstreamProtocol(f"the provider's answer cannot be read: {error}") from error
        except http.ConnectionBroken as error:
            if not _is_over(self._reading):
                raise UpstreamDisconnected(
                    "the connection to the provider broke in the middle of the answer"
                ) from error
        finally:
            receiver.close()

    async def _open(self) -> http.Exchange:
        """Ask, with one retry after some 0.1 to 0.5 s where nothing of an answer has come yet."""
        try:
            return await self._ask()
        except UpstreamError as error:
            if not _may_retry(error):
                raise
        await asyncio.sleep(random.uniform(*_RETRY_PAUSE))  # noqa: S311 - jitter, not a secret
        return await self._ask()

    async def _ask(self) -> http.Exchange:
        request, upstream = self._request, self._upstream
        body = msgspec.json.encode(
            {
                **request.options,
                "model": request.model,
                "messages": request.messages,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        )
        try:
            connection = await upstream.pool.connect(self._sockets.append)
            self._connections.append(connection)
            exchange = self._exchange = connection.post(http.request(upstream.head, body))
            await exchange.head()
        except (http.NotHTTP, http.ConnectionBroken, OSError) as error:
            if self._exchange is not None:
                self._exchange.connection.abort()
            raise _no_answer(error, upstream.host) from error
        kind = exchange.headers.get("content-type")
        if exchange.status == 200 and (kind is None or _type(kind) == "text/event-stream"):
            return exchange
        raise await self._refusal(exchange, _type(kind or "a body without a type"))

    async def _refusal(self, exchange: http.Exchange, kind: str) -> UpstreamError:
        """Read an answer that is not a stream (up to a cap) and give the error that it means."""
        body = bytearray()

        def receive(piece: bytes) -> None:
            body.extend(piece)
            if len(body) >= _MAX_REFUSAL:
                exchange.enough()

        with contextlib.suppress(TimeoutError, http.ConnectionBroken, http.NotHTTP):
            async with asyncio.timeout(_REFUSAL_TIMEOUT):
                await exchange.pour(receive)
        exchange.connection.abort()
        provider = self._upstream.provider
        complaint = failures.read_body(
            bytes(body[:_MAX_REFUSAL]),
            request_id=exchange.headers.get("x-request-id"),
            key=provider.key,
        )
        if exchange.status != 200:
            return failures.from_status(
                exchange.status,
                complaint,
                headers=exchange.headers,
                key=provider.key,
                key_setting=provider.key_setting,
            )
        if complaint is not None:
            return failures.from_error(complaint, key_setting=provider.key_setting)
        return UpstreamProtocol(
            f"the provider answered with {kind} instead of a stream (text/event-stream): check "
            "STREAM_SERVE_UPSTREAM_URL"
        )

    def _reported(self, error: object, request_id: str | None) -> UpstreamError:
        provider = self._upstream.provider
        complaint = failures.read(error, request_id=request_id, key=provider.key)
        return failures.from_error(complaint, key_setting=provider.key_setting)


class Receiver:
    """Takes the pieces of a stream's body: one small object, since every token touches what it needs.

    After the finish_reason only usage and [DONE] can come: they are waited for, but not for long. Each
    further finish_reason moves that time on; its timer, when it fires too early, sets itself again,
    as that of `Deadline` does. Silence is no end when more text came after the newest finish_reason,
    or when no text came and the word is "stop".
    """

    __slots__ = (
        "_endings",
        "_exchange",
        "_parser",
        "_reading",
        "_said",
        "_take",
        "_timer",
        "_until",
    )

    def __init__(
        self, exchange: http.Exchange, reading: Reading, max_event_bytes: int, take: Take
    ) -> None:
        self._exchange = exchange
        self._reading = reading
        self._parser = sse.Parser(max_event_bytes)
        self._take = take
        self._endings = 0
        self._said = False
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def receive(self, piece: bytes) -> None:
        """Hand on what a piece brings. Raises `EventTooLarge` and `UpstreamProtocol`."""
        reading = self._reading
        deltas: list[Delta] = []
        try:
            for data in self._parser.data(piece):
                reading.take(data, deltas)
                if reading.done or reading.error is not None:
                    self._exchange.enough()
                    break
        finally:
            if deltas:
                self._said = True
                self._take(deltas)
        if reading.endings != self._endings:
            self._endings = reading.endings
            self._await_last_words()

    def close(self) -> None:
        """Wait for no last words."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _await_last_words(self) -> None:
        loop = asyncio.get_running_loop()
        self._until = loop.time() + _LAST_WORDS_TIMEOUT
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._fire)

    def _fire(self) -> None:
        """End the wait, unless the time has moved on, or the end was said too early."""
        self._timer = None
        reading = self._reading
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            self._timer = loop.call_at(self._until, self._fire)
        elif reading.settled and (self._said or reading.finish_reason != "stop"):
            self._exchange.enough()


def _is_over(reading: Reading) -> bool:
    """Whether what came says how the answer ended, so that a broken connection lost nothing."""
    return (
        reading.done
        or reading.error is not None
        or reading.broken is not None
        or (reading.settled and not reading.doubtful)
    )


def _may_retry(error: UpstreamError) -> bool:
    return (
        isinstance(error, UpstreamUnreachable | UpstreamDisconnected | UpstreamFailed)
        and error.retryable
        and (error.retry_after or 0.0) <= _LONGEST_WAIT
    )


def _no_answer(error: Exception, host: str) -> UpstreamError:  # noqa: PLR0911 - a table
    """Map the errors from before the answer's head."""
    match error:
        case ssl.SSLError():
            return UpstreamUnreachable(
                f"no secure connection to {host}: its TLS certificate or handshake was not accepted",
                retryable=False,
            )
        case socket.gaierror():
            return UpstreamUnreachable(f"no connection to {host}: its name cannot be resolved")
        case TimeoutError():
            return UpstreamUnreachable(
                f"no connection to {host} in time (STREAM_SERVE_CONNECT_TIMEOUT)"
            )
        case OSError() if error.errno in _NO_FILES:
            return UpstreamUnreachable(
                "this process has no file descriptor left for a connection to the provider: raise "
                "its limit (ulimit -n)"
            )
        case OSError():
            reason = error.strerror or type(error).__name__
            return UpstreamUnreachable(f"no connection to {host}: {reason}")
        case http.NotHTTP():
            return UpstreamProtocol(f"the provider at {host} does not answer with HTTP")
        case _:
            return UpstreamDisconnected(f"{host} closed the connection before it answered")


def _type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
