"""HTTP for the clients: the only place that knows httpx2.

A wire opens a request and gives its answer: the status, the headers, and the body in pieces as they come.
`hang_up` ends an answer at once, from any thread or task: whoever reads it sees its end. The connection
of a stream is never used again (`requests.STREAM`), so that a late `hang_up` ends nothing else.
"""

from __future__ import annotations

import os
import socket
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import httpx2

from stream_serve.client.requests import authorization

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

    from stream_serve.client.requests import Request

CONNECT: Final = 10.0
"""Seconds for a connection: more than three lost packets take."""
MAX_BODY_BYTES: Final = 1024 * 1024
"""So much of an answer without a stream is read; a problem or a receipt is far smaller."""

_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=20)


class Broken(Exception):
    """A connection could not be made, broke, or was silent for too long."""


class Line:
    """The answer to a request, as far as both kinds of wires share it. Headers have small letters."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response: Final = response
        self.status: Final = response.status_code
        self.headers: Final[Mapping[str, str]] = {
            name.lower(): value for name, value in response.headers.items()
        }

    def hang_up(self) -> None:
        """End the connection below the answer, whoever reads it."""
        stream = self._response.extensions.get("network_stream")
        below = None if stream is None else stream.get_extra_info("socket")
        with suppress(OSError, ValueError):
            if isinstance(below, socket.socket):
                # The descriptor may be another connection's as soon as its reader has closed it: only
                # the socket knows. What TLS does beside that is its reader's.
                socket.socket.shutdown(below, socket.SHUT_RDWR)
            elif below is not None:
                # An event loop does not lend the socket itself.
                with socket.socket(fileno=os.dup(below.fileno())) as copy:
                    copy.shutdown(socket.SHUT_RDWR)


class SyncLine(Line):
    """An answer whose body is read by a thread."""

    def pieces(self) -> Generator[bytes]:
        """Return the body in pieces as they come. Raises `Broken`."""
        with _broken():
            yield from self._response.iter_bytes()

    def body(self) -> bytes:
        """Return the body, as far as it is read. Raises `Broken`."""
        found = b""
        for piece in self.pieces():
            found += piece
            if len(found) > MAX_BODY_BYTES:
                break
        return found


class AsyncLine(Line):
    """An answer whose body is read by a task."""

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Return the body in pieces as they come. Raises `Broken`."""
        with _broken():
            async for piece in self._response.aiter_bytes():
                yield piece

    async def body(self) -> bytes:
        """Return the body, as far as it is read. Raises `Broken`."""
        found = b""
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                found += piece
                if len(found) > MAX_BODY_BYTES:
                    break
        return found


class Wire:
    """The answers of a wire that are being read: with the wire they end, too. A closed socket alone
    wakes no thread that waits for it."""

    def __init__(self) -> None:
        self._lines: Final = set[Line]()
        self._closed = False

    def _check(self) -> None:
        if self._closed:
            raise RuntimeError("the client is closed")

    def _add(self, line: Line) -> None:
        self._lines.add(line)
        self._check()  # now, since a wire that was closed a moment ago did not see the answer

    def _hang_up(self) -> None:
        self._closed = True
        for line in tuple(self._lines):
            line.hang_up()


class SyncWire(Wire):
    """Connections to one service, for any number of threads."""

    def __init__(self, base: str, key: str | None) -> None:
        super().__init__()
        self._base: Final = base
        self._client: Final = httpx2.Client(
            headers=authorization(key), limits=_LIMITS, follow_redirects=False
        )

    @contextmanager
    def open(self, request: Request, silence: float) -> Generator[SyncLine]:
        """Give the answer to a request; at the end of the block its connection is let go.

        Raises `Broken`; `RuntimeError` where the connections have been closed.
        """
        self._check()
        with _broken():
            response = self._client.send(
                _built(self._client, self._base, request, silence), stream=True
            )
        line = SyncLine(response)
        try:
            self._add(line)
            yield line
        finally:
            self._lines.discard(line)
            with suppress(httpx2.RequestError):
                response.close()

    def close(self) -> None:
        """Close all connections."""
        self._hang_up()
        self._client.close()


class AsyncWire(Wire):
    """Connections to one service, for any number of tasks of one event loop."""

    def __init__(self, base: str, key: str | None) -> None:
        super().__init__()
        self._base: Final = base
        self._client: Final = httpx2.AsyncClient(
            headers=authorization(key), limits=_LIMITS, follow_redirects=False
        )

    @asynccontextmanager
    async def open(self, request: Request, silence: float) -> AsyncGenerator[AsyncLine]:
        """Give the answer to a request; at the end of the block its connection is let go.

        Raises `Broken`; `RuntimeError` where the connections have been closed.
        """
        self._check()
        with _broken():
            response = await self._client.send(
                _built(self._client, self._base, request, silence), stream=True
            )
        line = AsyncLine(response)
        try:
            self._add(line)
            yield line
        finally:
            self._lines.discard(line)
            with suppress(httpx2.RequestError):
                await response.aclose()

    async def close(self) -> None:
        """Close all connections."""
        self._hang_up()
        await self._client.aclose()


def _built(
    client: httpx2.Client | httpx2.AsyncClient, base: str, request: Request, silence: float
) -> httpx2.Request:
    return client.build_request(
        request.method,
        base + request.path,
        headers={"Accept-Encoding": "identity", **request.headers},
        content=request.body,
        timeout=httpx2.Timeout(silence, connect=CONNECT, pool=None),
    )


@contextmanager
def _broken() -> Generator[None]:
    """Turn the library's errors of a connection into ours."""
    try:
        yield
    except httpx2.RequestError as error:
        raise Broken(f"{type(error).__name__}: {error}".removesuffix(": ")) from error
