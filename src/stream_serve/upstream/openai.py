"""`OpenAIUpstream`: any server that speaks OpenAI's chat completions, DashScope first of all.

How it works: one pooled aiohttp session for the process. A call posts the request, checks that the
answer is a stream, and from then on reads whatever bytes are there, parses them (`sse`), decodes each
chunk (`chunks`) and gives out what one read brought. aiohttp's errors end here: they become ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from stream_serve import __version__, sse
from stream_serve.errors import (
    UpstreamDisconnected,
    UpstreamError,
    UpstreamFailed,
    UpstreamIncomplete,
    UpstreamProtocol,
    UpstreamTooLarge,
    UpstreamUnreachable,
)
from stream_serve.upstream import failures
from stream_serve.upstream.base import ChatRequest, Finish
from stream_serve.upstream.chunks import Reading
from stream_serve.upstream.sockets import CallConnector, CallSockets, watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.events import Delta, Usage
    from stream_serve.settings import Provider

_NO_FILES: Final = {errno.EMFILE, errno.ENFILE}
_MAX_REFUSAL: Final = 65_536
_DRAIN_TIMEOUT: Final = 0.25
_LONGEST_WAIT: Final = 1.0
_RETRY_PAUSE: Final = (0.1, 0.5)
_REFUSAL_TIMEOUT: Final = 2.0
_LAST_WORDS_TIMEOUT: Final = 2.0


class OpenAIUpstream:
    """A provider behind a base URL. To be made inside a running event loop."""

    def __init__(self, provider: Provider, *, connect_timeout: float, max_event_bytes: int) -> None:
        self.provider = provider
        self.max_event_bytes = max_event_bytes
        self.url = f"{provider.url}/chat/completions"
        self.host = urlsplit(provider.url).netloc
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "User-Agent": f"stream-serve/{__version__}",
        }
        if provider.key:
            headers["Authorization"] = f"Bearer {provider.key}"
        self.session = aiohttp.ClientSession(
            connector=CallConnector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=connect_timeout, sock_connect=connect_timeout
            ),
        )

    def model_for(self, asked: str | None) -> str:
        """Give the model that was asked for, or the configured one."""
        return asked or self.provider.model

    def call(self, request: ChatRequest) -> OpenAICall:
        """Make a call; nothing is sent yet."""
        return OpenAICall(self, request)

    async def close(self) -> None:
        """Close the pooled connections."""
        await self.session.close()


class OpenAICall:
    """One POST to `/chat/completions`, and its stream."""

    def __init__(self, upstream: OpenAIUpstream, request: ChatRequest) -> None:
        self._upstream = upstream
        self._request = request
        self._sockets = CallSockets()
        self._response: aiohttp.ClientResponse | None = None
        self._reading = Reading()
        self.finish: Finish | None = None

    @property
    def usage(self) -> Usage | None:
        """The newest usage that the provider gave."""
        return self._reading.usage

    @property
    def socket_closed(self) -> bool | None:
        """Whether every socket of the call is closed; None when there was none."""
        return self._sockets.closed

    async def batches(self) -> AsyncGenerator[list[Delta], None]:
        """Ask, and give the deltas of each read as they arrive."""
        watch(self._sockets)
        response = await self._open()
        parser = sse.Parser(self._upstream.max_event_bytes)
        reading = self._reading
        while not reading.done and reading.error is None:
            piece = await self._read(response)
            if not piece:
                break
            deltas: list[Delta] = []
            try:
                for event in parser.feed(piece):
                    reading.take(event.data, deltas)
                    if reading.done or reading.error is not None:
                        break
            except sse.EventTooLarge as error:
                raise UpstreamTooLarge(f"{error} (STREAM_SERVE_MAX_EVENT_BYTES)") from None
            if deltas:
                yield deltas
        if rest := reading.rest():
            yield rest
        if reading.error is not None:
            raise self._reported(reading.error.error, reading.error.request_id)
        if not reading.done and reading.finish_reason is None:
            raise UpstreamIncomplete(
                "the provider's stream ended without a finish_reason and without [DONE]: "
                "the answer may be cut"
            )
        if reading.finish_reason is None and not reading.started:
            raise UpstreamIncomplete("the provider's stream ended without any answer")
        self.finish = Finish(reading.finish_reason or "stop", reading.usage)

    async def close(self) -> None:
        """Give the connection back after a finished answer, else close it."""
        response, self._response = self._response, None
        whole = False
        try:
            if response is not None and self.finish is not None:
                whole = await _drain(response)
        finally:
            if response is not None:
                if whole:
                    response.release()
                else:
                    response.close()
            await self._sockets.close(pool=whole)

    async def _open(self) -> aiohttp.ClientResponse:
        """Ask, with one retry after some 0.1 to 0.5 s where nothing of an answer has come yet."""
        try:
            return await self._ask()
        except UpstreamError as error:
            if not _may_retry(error):
                raise
        await asyncio.sleep(random.uniform(*_RETRY_PAUSE))  # noqa: S311 - jitter, not a secret
        return await self._ask()

    async def _ask(self) -> aiohttp.ClientResponse:
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
            response = self._response = await upstream.session.post(
                upstream.url, data=body, allow_redirects=False
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _no_answer(error, upstream.host) from error
        kind = response.content_type.lower()
        if response.status == 200 and (
            kind == "text/event-stream" or "Content-Type" not in response.headers
        ):
            return response
        raise await self._refusal(response, kind)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Give what is there, or wait for it; empty at the end of the stream.

        After the finish_reason only usage and [DONE] can come: they are waited for, but not for
        long, and a connection that breaks there has lost nothing.
        """
        if self._reading.finish_reason is not None:
            try:
                async with asyncio.timeout(_LAST_WORDS_TIMEOUT):
                    return await response.content.readany()
            except (TimeoutError, aiohttp.ClientError, OSError):
                return b""
        try:
            return await response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamDisconnected(
                "the connection to the provider broke in the middle of the answer"
            ) from error

    async def _refusal(self, response: aiohttp.ClientResponse, kind: str) -> UpstreamError:
        """Read an answer that is not a stream (up to a cap) and give the error that it means."""
        body = bytearray()
        with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(_REFUSAL_TIMEOUT):
                while len(body) < _MAX_REFUSAL and (piece := await response.content.readany()):
                    body += piece
        response.close()
        provider = self._upstream.provider
        complaint = failures.read_body(
            bytes(body[:_MAX_REFUSAL]),
            request_id=response.headers.get("x-request-id"),
            key=provider.key,
        )
        if response.status != 200:
            return failures.from_status(
                response.status,
                complaint,
                headers=response.headers,
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


async def _drain(response: aiohttp.ClientResponse) -> bool:
    """Read the little that follows the last event; False when it does not come to an end soon.

    A connection whose answer was read to its end can serve the next call.
    """
    try:
        async with asyncio.timeout(_DRAIN_TIMEOUT):
            left = _MAX_REFUSAL
            while left > 0 and (piece := await response.content.readany()):
                left -= len(piece)
    except (TimeoutError, aiohttp.ClientError, OSError):
        return False
    return left > 0


def _may_retry(error: UpstreamError) -> bool:
    return (
        isinstance(error, UpstreamUnreachable | UpstreamDisconnected | UpstreamFailed)
        and error.retryable
        and (error.retry_after or 0.0) <= _LONGEST_WAIT
    )


def _no_answer(error: Exception, host: str) -> UpstreamError:  # noqa: PLR0911 - a table
    """Map aiohttp's errors from before the answer's headers."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return UpstreamUnreachable(
                f"no secure connection to {host}: its TLS certificate or handshake was not accepted",
                retryable=False,
            )
        case aiohttp.ClientConnectorDNSError():
            return UpstreamUnreachable(f"no connection to {host}: its name cannot be resolved")
        case aiohttp.ClientConnectorError(os_error=os_error) if os_error.errno in _NO_FILES:
            return UpstreamUnreachable(
                "this process has no file descriptor left for a connection to the provider: raise "
                "its limit (ulimit -n)"
            )
        case aiohttp.ClientConnectorError(os_error=os_error):
            reason = os_error.strerror or type(os_error).__name__
            return UpstreamUnreachable(f"no connection to {host}: {reason}")
        case aiohttp.ConnectionTimeoutError() | TimeoutError():
            return UpstreamUnreachable(
                f"no connection to {host} in time (STREAM_SERVE_CONNECT_TIMEOUT)"
            )
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
            return UpstreamProtocol(f"the provider at {host} does not answer with HTTP")
        case _:
            return UpstreamDisconnected(f"{host} closed the connection before it answered")
