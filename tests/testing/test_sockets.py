"""The ports that refuse and the ports that never answer."""

from __future__ import annotations

import asyncio
import socket

import pytest

from stream_serve.testing import blackhole, refusing, unused_port


async def test_an_unused_port_refuses_the_connection() -> None:
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", unused_port())


async def test_a_refusing_port_refuses_and_cannot_be_taken_meanwhile() -> None:
    with refusing() as port:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_a_connect_to_a_blackhole_neither_succeeds_nor_fails() -> None:
    with blackhole() as port, socket.socket() as caller:
        caller.settimeout(1.5)  # longer than the first retransmission of a SYN
        with pytest.raises(TimeoutError):
            caller.connect(("127.0.0.1", port))


def test_a_blackhole_closes_everything_it_opened() -> None:
    with blackhole() as port:
        pass
    with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
        caller.connect(("127.0.0.1", port))
