"""Appends over sockets of their own, whose responses are compared byte for byte."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from stream_serve.streams.service import Streams
from stream_serve.web.streams.appends import DirectAppends

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from stream_serve.streams.decisions import Appended
    from stream_serve.web.streams.appends import Submitted

PATIENCE: Final = 20.0
ITS_OWN: Final = re.compile(rb"(date|etag): [^\r]*\r\n")
LENGTH: Final = re.compile(rb"content-length: (\d+)\r\n")
NO_BODY: Final = (b"HTTP/1.1 204", b"HTTP/1.1 100")
CLOSED: Final = b"connection: close\r\n"


class Request(NamedTuple):
    """A request, and in which pieces it is sent."""

    method: str
    name: str
    headers: list[str]
    body: bytes
    how: str

    def written(self, prefix: str, key: str) -> bytes:
        """Return its bytes; `prefix` is before each name, so that each example has its own streams."""
        headers = [] if any(one.startswith("Host") for one in self.headers) else ["Host: localhost"]
        if key and not any(one.startswith("Auth") for one in self.headers):
            headers.append(f"Authorization: Bearer {key}")
        body = self.body
        if self.how == "chunked":
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            headers.append("Transfer-Encoding: chunked")
            body += b"0\r\n\r\n"
        elif self.how != "unsaid" or body:
            headers.append(f"Content-Length: {len(body)}")
        lines = [f"{self.method} /v1/stream/{prefix}{self.name} HTTP/1.1", *headers, *self.headers]
        return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


class Client:
    """A connection that is made anew when the server has closed it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._socket: socket.socket | None = None
        self._rest = b""

    def send(self, data: bytes) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._rest = b""
        with suppress(BrokenPipeError, ConnectionResetError):  # it has refused what came before
            self._socket.sendall(data)

    def answer(self) -> bytes:
        """Return the next response, without its date and ETag."""
        head = self._until(b"\r\n\r\n")
        found = LENGTH.search(head)
        body = b""
        if found is not None and not head.startswith(NO_BODY):
            body = self._take(int(found[1]))
        if CLOSED in head:
            self.close()
        return ITS_OWN.sub(b"", head) + body

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            self._more()
        return self._take(self._rest.index(mark) + len(mark))

    def _take(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._more()
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _more(self) -> None:
        assert self._socket is not None
        more = self._socket.recv(65_536)
        assert more, self._rest
        self._rest += more


def exchanged(client: Client, requests: Sequence[Request], prefix: str, key: str) -> list[bytes]:
    """Send requests, each when the one before has its response; return all responses."""
    answers: list[bytes] = []
    for one in requests:
        data = one.written(prefix, key)
        if one.how == "split":
            client.send(data[: len(data) // 2])
            client.send(data[len(data) // 2 :])
        elif one.how == "late body":
            end = data.index(b"\r\n\r\n") + 4
            client.send(data[:end])
            client.send(data[end:])
        else:
            client.send(data)
        answers.append(client.answer())
        if answers[-1].startswith(b"HTTP/1.1 100"):
            answers.append(client.answer())
    return answers


def pipelined(client: Client, requests: Sequence[Request], prefix: str, key: str) -> list[bytes]:
    """Send requests at once; return their responses."""
    if requests:
        client.send(b"".join([one.written(prefix, key) for one in requests]))
    return [client.answer() for _ in requests]


MADE: Final = [
    Request("PUT", "text", ["Content-Type: text/plain"], b"", "whole"),
    Request("PUT", "json", ["Content-Type: application/json"], b"", "whole"),
]
READS: Final = [Request("GET", name, [], b"", "unsaid") for name in ("text", "json")]


def asked(
    url: str, requests: Sequence[Request], ask: Callable[..., list[bytes]] = exchanged
) -> list[bytes]:
    """Send requests by a connection of their own."""
    with closing(Client(url)) as client:
        return ask(client, requests, "", "")


APPEND: Final = Request("POST", "text", ["Content-Type: text/plain"], b"hello", "whole")


class Held:
    """Takes the place of `Streams.append`: what is asked, and the futures that a test ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: asyncio.Queue[asyncio.Future[Appended]] = asyncio.Queue()
        monkeypatch.setattr(Streams, "append", self._append)

    def _append(self, *_: object) -> asyncio.Future[Appended]:
        done: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait(done)
        return done


def watched(monkeypatch: pytest.MonkeyPatch, method: str) -> list[bool]:
    """Watch a method of `DirectAppends`: whether each request that it was offered was taken."""
    seen: list[bool] = []
    submit = getattr(DirectAppends, method)

    def watching(self: DirectAppends, *given: Any) -> Submitted | None:
        submitted = submit(self, *given)
        seen.append(submitted is not None)
        return submitted

    monkeypatch.setattr(DirectAppends, method, watching)
    return seen
