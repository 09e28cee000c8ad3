"""A plain TCP client that leaves in every way that a peer can."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from testing.client import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.testing import ScriptedUpstream


def request_bytes(model: str, **fields: object) -> bytes:
    messages = [{"role": "user", "content": "hello"}]
    body = json.dumps({"model": model, "messages": messages, "stream": True, **fields}).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\n"
        "Host: upstream\r\n"
        f"Authorization: Bearer {KEY}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Wire:
    """A plain TCP client without any HTTP."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def read(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, 65536)

    async def read_until(self, mark: bytes) -> bytes:
        got = b""
        async with asyncio.timeout(10):
            while mark not in got:
                more = await self.read()
                assert more, f"the connection ended before {mark!r}"
                got += more
        return got

    def fin(self) -> None:
        self.sock.close()

    def rst(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)


@asynccontextmanager
async def wire(upstream: ScriptedUpstream) -> AsyncGenerator[Wire]:
    port = int(upstream.origin.rpartition(":")[2])
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        yield Wire(sock)
