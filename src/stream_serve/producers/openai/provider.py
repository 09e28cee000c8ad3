"""`OpenAIProvider`: any server with OpenAI's chat completions API, such as DashScope.

How it works: a producer posts the request over a pooled connection (`http1`) and checks that the
response is a stream. From then on each piece from the socket is parsed (`sse`), decoded (`chunks`) and
emitted at once. Errors of the connection are mapped to ours here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
import structlog

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
from stream_serve.events import sse, usage
from stream_serve.producers import http1
from stream_serve.producers.base import Finish
from stream_serve.producers.openai import bodies, failures, models, redaction
from stream_serve.producers.openai.chunks import Reading
from stream_serve.producers.openai.connecting import connection_error
from stream_serve.producers.openai.models import SoleModel
from stream_serve.producers.openai.receiver import Receiver
from stream_serve.producers.openai.request import build, unsupported
from stream_serve.producers.provider import Model

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from stream_serve.events.types import Usage
    from stream_serve.producers.base import Emit, Patience
    from stream_serve.producers.openai.endpoint import Endpoint
    from stream_serve.producers.openai.odd import Unread
    from stream_serve.producers.provider import ChatRequest

_USER_AGENT: Final = f"stream-serve/{__version__}"
_STREAM: Final = "text/event-stream"
_MAX_REFUSAL: Final = 65_536
_DRAIN_TIMEOUT: Final = 0.25
_MAX_RETRY_AFTER: Final = 1.0
_DIRECT: Final = http1.Access()
_RETRY_PAUSE: Final = (0.1, 0.5)
_REFUSAL_TIMEOUT: Final = 2.0
_CLOSED: Final = "a producer that was closed does not ask"
_log: Final = structlog.stdlib.get_logger("stream_serve.producers")


class OpenAIProvider:
    """A provider at a base URL; it has to be constructed in a running event loop.

    `connect_timeout` is in seconds, `max_event_bytes` caps one event of the stream. Raises
    `SettingsError` for a wrong `access`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        patience: Patience,
        connect_timeout: float,
        max_event_bytes: int,
        access: http1.Access = _DIRECT,
    ) -> None:
        self.endpoint = endpoint
        self.patience = patience
        self.max_event_bytes = max_event_bytes
        self.host = urlsplit(endpoint.url).netloc
        self._secrets = [endpoint.key, *endpoint.secrets]
        if access.proxy is not None:
            proxy = http1.Proxy.of(access.proxy)
            self.host += f" (through the proxy {proxy})"
            self._secrets += proxy.secrets
        headers = endpoint.headers(
            {
                "Accept": "text/event-stream",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": _USER_AGENT,
            }
        )
        self.client: http1.HTTPClient = http1.Client(
            endpoint.address("chat/completions"),
            headers,
            connect_timeout=connect_timeout,
            access=access,
        )
        self._lister: http1.HTTPClient = http1.Client(
            endpoint.address("models"),
            endpoint.headers({"Accept": "application/json", "User-Agent": _USER_AGENT}),
            connect_timeout=connect_timeout,
            method="GET",
            access=access,
        )
        self._connect_timeout = connect_timeout
        self._sole = SoleModel(self.list_models)
        self._found: Sequence[Model] | None = None
        self._models: Sequence[Model] = ()

    @property
    def models(self) -> Sequence[Model]:
        """The configured model, or else those that the server had when it was asked."""
        found = self._sole.found
        if found is not self._found:
            self._found, self._models = found, self._named(found)
        return self._models

    def _named(self, found: Sequence[Model]) -> Sequence[Model]:
        name = self.endpoint.model
        if name:
            return [Model(name=name, default=True, context=self.context_of(name))]
        return [msgspec.structs.replace(one, default=len(found) == 1) for one in found]

    @property
    def chat_url(self) -> str:
        """Where questions go, without the values of the URL's query."""
        return self.endpoint.shown("chat/completions")

    async def model_for(self, asked: str | None) -> str:
        """Return `asked`, or else the configured model, or else the only one that the server has.

        Raises `UnknownModel`, `ModelsUnavailable`.
        """
        return asked or self.endpoint.model or await self._sole.name()

    async def look_up(self, model: str) -> None:
        """Ask the server which models it has, unless it is known by now."""
        del model
        await self._sole.look_up()

    def context_of(self, model: str) -> int | None:
        """Return the context that the server says a model has; None if it is not known."""
        return self._sole.context_of(model)

    async def list_models(self) -> list[Model]:
        """Ask the server which models it has. Raises `UpstreamError`; cancelled, it closes the socket.

        The answer has to come within the time for a connection, since a caller waits for it.
        """
        try:
            return await self._list_models()
        except UpstreamError as error:
            self.hide_secrets(error)
            raise

    def hide_secrets(self, error: UpstreamError) -> None:
        """Cut out of an error what a provider repeats of the secrets, or a proxy in its place."""
        error.args = tuple(self.without_secrets(str(text)) for text in error.args)
        error.for_operator = self.without_secrets(error.for_operator) or ""
        error.provider_code = self.without_secrets(error.provider_code)
        error.request_id = self.without_secrets(error.request_id)

    def without_secrets(self, words: str | None) -> str | None:
        """Return a provider's words without the secrets; None for None."""
        if words is not None:
            for secret in self._secrets:
                words = redaction.hide(words, secret)
        return words

    async def _list_models(self) -> list[Model]:
        endpoint = self.endpoint
        try:
            async with asyncio.timeout(self._connect_timeout):
                listing = await models.fetch(self._lister)
        except (http1.ProtocolError, http1.IncompleteResponse, OSError) as error:
            raise connection_error(error, self.host) from error
        if listing.status == 200:
            return models.parse(listing.body)
        if listing.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise connection_error(http1.ProxyError.unauthorized(), self.host)
        raise failures.from_status(
            listing.status,
            failures.read_body(listing.body[:_MAX_REFUSAL], key=endpoint.key),
            headers=listing.headers,
            key=endpoint.key,
            key_name=endpoint.key_name,
            url=endpoint.address("models"),
        )

    def ask(self, request: ChatRequest) -> OpenAIProducer:
        """Return the producer of an answer; it sends nothing before `produce`."""
        return OpenAIProducer(self, request)

    def unsupported(self, request: ChatRequest) -> dict[str, str]:
        """Return the options that the server cannot be told, each with the reason in words."""
        return unsupported(request, self.endpoint.traits)

    async def close(self) -> None:
        """Close the idle connections of the pool; none of the other one is ever kept."""
        await self.client.close()


class OpenAIProducer:
    """One POST to `/chat/completions` and its stream; see the contract `Producer`."""

    __slots__ = (
        "_exchange",
        "_finished",
        "_prompt",
        "_prompt_tokens",
        "_provider",
        "_reading",
        "_refused",
        "_request",
        "_sockets",
        "_usage",
        "model",
        "patience",
    )

    def __init__(self, provider: OpenAIProvider, request: ChatRequest) -> None:
        self.model = request.model
        self.patience: Patience | None = provider.patience
        self._provider = provider
        self._request: ChatRequest | None = request
        self._prompt: str | None = None
        self._prompt_tokens: int | None = None
        self._usage: Usage | None = None
        self._sockets: list[socket.socket] = []
        self._exchange: http1.HTTPExchange | None = None
        traits = provider.endpoint.traits
        self._reading: Reading | None = Reading(split_thinking=traits.think_tags == "auto")
        self._finished = False
        self._refused = False

    @property
    def prompt_tokens(self) -> int:
        """The estimated tokens of the prompt."""
        if self._prompt_tokens is None:
            text = self._prompt if self._request is None else self._request.text
            self._prompt_tokens = usage.count(text or "")
        return self._prompt_tokens

    @property
    def usage(self) -> Usage | None:
        """The newest usage that the provider has reported; None before that."""
        reading = self._reading
        if reading is not None and (self._usage is None or not self._finished):
            self._usage = reading.usage
        return self._usage

    @property
    def closed(self) -> bool | None:
        """Whether every socket of this producer is closed; None if it never had one.

        A socket counts as closed when it has no file descriptor any more, whoever closed it.
        """
        if not self._sockets:
            return None
        return all(sock.fileno() == -1 for sock in self._sockets)

    async def produce(self, emit: Emit) -> Finish:
        """Send the request, emit the deltas of each read as it arrives, and return how the answer ended.

        Raises `UpstreamError`. Cancelled, it emits nothing more; `close` then closes the connection.
        """
        exchange: http1.HTTPExchange | None = None
        reading = self._reading
        if reading is None:
            raise RuntimeError(_CLOSED)
        try:
            exchange = await self._ask_with_retry()
            self._forget_request()
            receiver = await self._read(exchange, reading, emit)
            if rest := reading.rest():
                emit(rest)
            finish = self._conclude(reading, receiver, exchange)
        except UpstreamError as error:
            self._refused = exchange is None
            self._provider.hide_secrets(error)
            raise
        self._finished = True
        return finish

    def _forget_request(self) -> None:
        """Keep only the text of what was asked, which may have to be counted: pictures can be large."""
        if self._request is not None:
            self._prompt, self._request = self._request.text, None

    def _conclude(
        self, reading: Reading, receiver: Receiver, exchange: http1.HTTPExchange
    ) -> Finish:
        """Return how the provider ended the answer. Raises `UpstreamError` if it did not end properly."""
        endpoint = self._provider.endpoint
        if receiver.other:
            raise self._not_a_stream(receiver.body, exchange)
        if reading.error is not None:
            error = reading.error
            raise self._to_error(error.error, error.request_id, said=reading.said)
        if receiver.failure is not None:
            raise self._to_error(bodies.of_event(receiver.failure), None, said=reading.said)
        if reading.broken is not None:
            raise failures.from_ending(reading.broken, key=endpoint.key, key_name=endpoint.key_name)
        if reading.unread.lost is not None:
            raise UpstreamProtocol(
                f"a part of the provider's answer cannot be read ({reading.unread.lost}): the text is "
                "not whole"
            )
        if not reading.started:
            if receiver.body or ("content-type" in exchange.headers and receiver.body is not None):
                raise self._not_a_stream(receiver.body, exchange)
            raise UpstreamIncomplete("the provider's stream ended without any answer")
        reason, word = reading.ending
        if reason is None and reading.done and not endpoint.traits.require_finish:
            reason = "unknown"
        if reason is None:
            raise UpstreamIncomplete(
                "the provider's stream ended without a finish_reason: the answer may be cut; for a "
                "provider that never sends one this can be set",
                parameters=["Traits.require_finish"],
            )
        word = failures.shown(word, endpoint.key)
        return Finish(reason, self._provider.without_secrets(word))

    async def close(self) -> None:
        """Give the connection back after a finished answer, else close it; let go of what was read."""
        if self._reading is not None:
            self._log_unread(self._reading.unread)
        if self.usage is None and not self._refused:
            _ = self.prompt_tokens  # counted while there is a prompt, for who asks later
        self._request = self._prompt = self._reading = None
        exchange, self._exchange = self._exchange, None
        if exchange is not None and self._finished:
            await exchange.finish(_DRAIN_TIMEOUT)
        elif exchange is not None:
            await exchange.close()

    async def _read(self, exchange: http1.HTTPExchange, reading: Reading, emit: Emit) -> Receiver:
        """Read the stream to its end; return what received it.

        If the connection breaks after a finish_reason, nothing is lost, and it is no error, unless
        text has come after an earlier finish_reason (`Reading.doubtful`) or an event came by half.
        """
        receiver = Receiver(
            exchange,
            reading,
            self._provider.max_event_bytes,
            emit,
            comments=self._provider.endpoint.traits.comments,
            labelled=_media_type(exchange.headers.get("content-type")) == _STREAM,
        )
        try:
            await exchange.read_body(receiver.receive)
            receiver.finish()
        except sse.EventTooLarge as error:
            raise UpstreamTooLarge(
                str(error), parameters=["OpenAIProvider.max_event_bytes"]
            ) from None
        except http1.ProtocolError as error:
            raise UpstreamProtocol(f"the provider's answer cannot be read: {error}") from error
        except http1.IncompleteResponse as error:
            receiver.learn_name()
            known = receiver.other or receiver.failure is not None
            if not known and (receiver.midway or not _is_over(reading)):
                raise UpstreamDisconnected(
                    "the connection to the provider broke in the middle of the answer"
                ) from error
        finally:
            receiver.close()
        return receiver

    async def _ask_with_retry(self) -> http1.HTTPExchange:
        """Send the request and wait for its response; retry once after 0.1 to 0.5 s if it fails."""
        try:
            return await self._ask()
        except UpstreamError as error:
            if not _may_retry(error):
                raise
        await asyncio.sleep(random.uniform(*_RETRY_PAUSE))  # noqa: S311 - jitter, not a secret
        return await self._ask()

    async def _ask(self) -> http1.HTTPExchange:
        """Send the request; return the exchange whose response is a stream. Raises `UpstreamError`."""
        request, provider = self._request, self._provider
        if request is None:
            raise RuntimeError(_CLOSED)
        body = msgspec.json.encode(build(request, provider.endpoint))
        try:
            exchange = await self._send(body)
        except (http1.ProtocolError, http1.IncompleteResponse, OSError) as error:
            if self._exchange is not None:
                await self._exchange.close()
            raise connection_error(error, provider.host) from error
        if exchange.status == 200:  # what comes says whether it is a stream, and not only its type
            return exchange
        raise await self._read_refusal(exchange)

    async def _send(self, body: bytes) -> http1.HTTPExchange:
        """Send a request and wait for the head of the response.

        A connection that was kept and is no more costs nothing: the request goes over a fresh one.
        """
        client = self._provider.client
        try:
            exchange = self._exchange = await client.open(body, self._sockets.append)
            await exchange.read_head()
        except http1.StaleConnection:
            if self._exchange is not None:
                await self._exchange.close()
            exchange = self._exchange = await client.open(body, self._sockets.append, fresh=True)
            await exchange.read_head()
        return exchange

    async def _read_refusal(self, exchange: http1.HTTPExchange) -> UpstreamError:
        """Read at most 64 KiB of a response that is not 200; return the error that it means."""
        body = bytearray()

        def receive(piece: bytes) -> None:
            body.extend(piece)
            if len(body) >= _MAX_REFUSAL:
                exchange.discard_rest()

        with contextlib.suppress(TimeoutError, http1.IncompleteResponse, http1.ProtocolError):
            async with asyncio.timeout(_REFUSAL_TIMEOUT):
                await exchange.read_body(receive)
        await exchange.close()
        if exchange.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return connection_error(http1.ProxyError.unauthorized(), self._provider.host)
        endpoint, refusal = self._provider.endpoint, bytes(body[:_MAX_REFUSAL])
        request_id = failures.request_id_of(exchange.headers)
        error = failures.from_status(
            exchange.status,
            failures.read_body(refusal, request_id=request_id, key=endpoint.key),
            headers=exchange.headers,
            key=endpoint.key,
            key_name=endpoint.key_name,
            url=self._provider.chat_url,
        )
        return failures.of_length(error)

    def _not_a_stream(self, body: bytearray | None, exchange: http1.HTTPExchange) -> UpstreamError:
        """Return the error for a response with status 200 that is neither a stream nor an answer."""
        endpoint = self._provider.endpoint
        return failures.from_body(
            bytes(body or b""),
            _media_type(exchange.headers.get("content-type")) or "a body without a type",
            request_id=failures.request_id_of(exchange.headers),
            key=endpoint.key,
            key_name=endpoint.key_name,
        )

    def _log_unread(self, unread: Unread) -> None:
        """Log how much of the answer could not be read."""
        if unread.count:
            _log.warning(
                "parts of a provider's answer could not be read",
                parts=unread.count,
                first=unread.first,
                lost=unread.lost,
                model=self.model,
                host=self._provider.host,
            )

    def _to_error(self, error: object, request_id: str | None, *, said: bool) -> UpstreamError:
        endpoint = self._provider.endpoint
        details = failures.read(error, request_id=request_id, key=endpoint.key)
        failure = failures.from_error(details, key_name=endpoint.key_name)
        return failure if said else failures.of_length(failure)


def _is_over(reading: Reading) -> bool:
    """Return whether the end of the answer is known, so that a broken connection has lost nothing."""
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
        and (error.retry_after or 0.0) <= _MAX_RETRY_AFTER
    )


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()
