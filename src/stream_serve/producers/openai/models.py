"""The models that a server has, by its `GET /models`, and which of them answers where nothing says so."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import msgspec
import structlog
from msgspec import Struct

from stream_serve.errors import ModelsUnavailable, UnknownModel, UpstreamError, UpstreamProtocol
from stream_serve.producers.provider import Model, named

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from stream_serve.producers.http1 import HTTPClient

_MAX_BYTES: Final = 4_194_304
_MAX_ODD_BYTES: Final = 262_144
_MAX_VALUES: Final = 200_000
_MAX_MODELS: Final = 10_000
_MAX_NAME: Final = 200
_FRESH_SECONDS: Final = 60.0
_CONTEXT_KEYS: Final = ("max_model_len", "context_length", "max_context_length")

_log = structlog.stdlib.get_logger("stream_serve.producers")


class Listing(Struct, frozen=True):
    """The response to `GET /models`, with at most 4 MiB of its body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Listed(Struct):
    """The body of a list; the models in it are not decoded yet."""

    data: list[msgspec.Raw]


class _WireModel(Struct):
    """What is read of one model."""

    id: object = None
    max_model_len: object = None
    context_length: object = None
    max_context_length: object = None
    meta: object = None


async def fetch(client: HTTPClient) -> Listing:
    """Ask a server for its models, over a connection that is closed afterwards.

    Raises as the client does, and `UpstreamProtocol` for a list that is too large. Cancelled, it closes
    the connection.
    """
    exchange = await client.open(b"", lambda _: None)
    body = bytearray()

    def receive(piece: bytes) -> None:
        body.extend(piece)
        if len(body) > _MAX_BYTES:
            raise UpstreamProtocol("the provider's list of models is too large to be read")

    try:
        await exchange.read_head()
        await exchange.read_body(receive)
    finally:
        await exchange.close()
    return Listing(exchange.status, exchange.headers, bytes(body))


def parse(body: bytes) -> list[Model]:
    """Return the models in the body of a response. Raises `UpstreamProtocol` if it has no list.

    The context is read where servers are known to say it (vLLM, OpenRouter, Mistral, llama.cpp). What
    has no usable name is left out.
    """
    data = _listed(body)
    if data is None:
        raise UpstreamProtocol("the provider's list of models cannot be read")
    found: dict[str, Model] = {}
    for one in data[:_MAX_MODELS]:
        fields = _fields(one)
        name = fields.get("id")
        if isinstance(name, str) and 0 < len(name) <= _MAX_NAME and name.isprintable():
            found.setdefault(name, Model(name=name, context=_context(fields)))
    return list(found.values())


def _listed(body: bytes) -> Sequence[object] | None:
    """Return the models of a list, each as its bytes or as JSON; None if there is no list.

    Only their ends are looked for in a usual list, which is much faster than decoding it all. What has
    more values than any list of models is not looked at, since it would hold up all streams.
    """
    if body.count(b",") > _MAX_VALUES:
        return None
    for kind in (_Listed, list[msgspec.Raw]):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = msgspec.json.decode(body, type=kind)
            return found.data if isinstance(found, _Listed) else found
    if len(body) > _MAX_ODD_BYTES:
        return None
    with suppress(ValueError, RecursionError):
        parsed: object = json.loads(body)
        data = cast("dict[str, object]", parsed).get("data") if isinstance(parsed, dict) else parsed
        return cast("list[object]", data) if isinstance(data, list) else None
    return None


def _fields(one: object) -> dict[str, object]:
    """Return the fields that are read of a model; {} for what is none."""
    if isinstance(one, msgspec.Raw):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return msgspec.structs.asdict(msgspec.json.decode(one, type=_WireModel))
        return {}
    return cast("dict[str, object]", one) if isinstance(one, dict) else {}


def _context(fields: dict[str, object]) -> int | None:
    """Return the tokens that a model takes, where the server says so."""
    meta = fields.get("meta")
    inner = cast("dict[str, object]", meta) if isinstance(meta, dict) else {}
    for value in (*(fields.get(key) for key in _CONTEXT_KEYS), inner.get("n_ctx")):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


class SoleModel:
    """The model that answers where nothing says which: the only one that the server has.

    How it works: the server is asked at the first use, and again after a minute, because a local server
    may be started anew with another model. While it cannot be asked, what it said last holds.
    """

    def __init__(self, ask: Callable[[], Awaitable[Sequence[Model]]]) -> None:
        self._ask = ask
        self._lock = asyncio.Lock()
        self._asked = 0
        self._asked_at = float("-inf")
        self._said = ""
        self._failure: UpstreamError | None = None
        self.found: Sequence[Model] = ()
        """The models that the server had when it was last asked."""

    async def name(self) -> str:
        """Return the name of the model.

        Raises `UnknownModel` if there is not exactly one, `ModelsUnavailable` if the server cannot be
        asked now. Cancelled, it closes the connection, and the next call asks. Whoever comes while it
        is asked takes what that brings.
        """
        asked = self._asked
        async with self._lock:
            fresh = asyncio.get_running_loop().time() - self._asked_at <= _FRESH_SECONDS
            if asked == self._asked and not fresh:
                await self._refresh()
        if self._failure is not None and not self.found:
            raise _unavailable(self._failure) from self._failure
        if len(self.found) == 1:
            return self.found[0].name
        raise UnknownModel(
            "no model is configured, and the provider has several "
            f"({named(one.name for one in self.found)}): name one of them in the request, or make one "
            "the default"
            if self.found
            else "no model is configured, and the provider has none: load one there",
            parameters=["Endpoint.model"],
        )

    async def look_up(self) -> None:
        """Ask the server for its models, unless they are known; what fails is left."""
        if not self.found:
            with suppress(UpstreamError):
                self.found = await self._ask()

    def context_of(self, model: str) -> int | None:
        """Return the context of a model; a server with one answers by it, whatever it is called."""
        known = {one.name: one.context for one in self.found}
        return known.get(model, self.found[0].context if len(self.found) == 1 else None)

    async def _refresh(self) -> None:
        """Ask the server; only the answer that settles it is kept for a while."""
        try:
            found = await self._ask()
            self._failure = None
        except UpstreamError as error:
            if self._failure is None:
                _log.warning(
                    "the provider cannot be asked for its models",
                    error=str(error),
                    server=error.for_operator or None,
                )
            self._failure = error
            found = self.found
        self._asked += 1
        self.found = found
        if len(found) != 1:
            return
        self._asked_at = asyncio.get_running_loop().time()
        if self._said != found[0].name:
            self._said = found[0].name
            _log.info(
                "no model is configured: the only one of the provider is used", model=self._said
            )


def _unavailable(error: UpstreamError) -> ModelsUnavailable | UnknownModel:
    kind = ModelsUnavailable if error.retryable else UnknownModel
    return kind(
        f"no model is configured, and the provider does not say which it has: {error}",
        parameters=["Endpoint.model", *error.parameters],
        for_operator=error.for_operator,
    )
