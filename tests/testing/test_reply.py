"""Who ended a connection, and when: seen at once, in every phase."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
import trustme

from stream_serve.testing import Record, ScriptedUpstream
from testing.wire import Wire, request_bytes, wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.both_loops


def closed(record: Record) -> bool:
    return record.closed_by is not None


leaving = pytest.mark.parametrize("leave", [Wire.fin, Wire.rst, Wire.half_close])


class TestPeerClose:
    @leaving
    async def test_is_seen_before_any_request(
        self, upstream: ScriptedUpstream, leave: Callable[[Wire], None]
    ) -> None:
        async with wire(upstream) as peer:
            await upstream.until(lambda: upstream.open_connections == 1)
            leave(peer)
            await upstream.until(lambda: upstream.open_connections == 0)
        (connection,) = upstream.connections
        assert (connection.requests, connection.closed_by) == (0, "peer")
        assert connection.closed_at is not None
        assert upstream.requests == []

    @leaving
    async def test_is_seen_in_the_middle_of_the_body(
        self, upstream: ScriptedUpstream, leave: Callable[[Wire], None]
    ) -> None:
        async with wire(upstream) as peer:
            await peer.send(request_bytes("answer")[:-10])
            await upstream.wait_for()
            leave(peer)
            record = await upstream.wait_for(closed)
        assert (record.phase, record.closed_by) == ("received", "peer")

    @leaving
    @pytest.mark.parametrize(
        ("model", "mark", "phase"),
        [
            ("silent", b"", "received"),
            ("slow-headers?delay=3600", b"", "received"),
            ("silent-after-headers", b"\r\n\r\n", "headers"),
            ("hang-mid", b'"role"', "streaming"),
            ("hang-end?text=abc", b'"abc"', "streaming"),
            ("answer?interval=3600", b'"role"', "streaming"),
            ("answer?tokens=1000000", b'"role"', "streaming"),
            ("flood?tokens=10000000", b'"role"', "streaming"),
            ("forever", b'"content"', "streaming"),
            ("comments-forever", b": keep-alive", "streaming"),
            ("endless-line", b"all work", "streaming"),
            ("endless-event", b"all work", "streaming"),
            ("keep-alive-after-done", b"[DONE]", "streaming"),
        ],
    )
    async def test_is_seen_in_every_phase(
        self,
        upstream: ScriptedUpstream,
        leave: Callable[[Wire], None],
        model: str,
        mark: bytes,
        phase: str,
    ) -> None:
        async with wire(upstream) as peer:
            await peer.send(request_bytes(model))
            if mark:
                await peer.read_until(mark)
            await upstream.wait_for(lambda record: record.scenario is not None)
            leave(peer)
            record = await upstream.wait_for(closed)
        assert (record.phase, record.closed_by) == (phase, "peer")
        assert record.connection_closed_at == record.closed_at
        assert upstream.open_connections == 0

    @leaving
    async def test_is_seen_while_the_peer_reads_nothing(
        self, upstream: ScriptedUpstream, leave: Callable[[Wire], None]
    ) -> None:
        async with wire(upstream) as peer:
            await peer.send(request_bytes("huge-event?megabytes=64"))
            await upstream.wait_for(lambda record: record.events_sent == 2)
            leave(peer)
            record = await upstream.wait_for(closed)
        assert (record.phase, record.closed_by) == ("streaming", "peer")

    @leaving
    async def test_is_told_apart_when_the_script_was_over(
        self, upstream: ScriptedUpstream, leave: Callable[[Wire], None]
    ) -> None:
        async with wire(upstream) as peer:
            await peer.send(request_bytes("answer"))
            await peer.read_until(b"0\r\n\r\n")
            record = await upstream.wait_for(closed)
            assert record.connection_closed_at is None
            leave(peer)
            await upstream.until(lambda: record.connection_closed_at is not None)
        assert (record.phase, record.closed_by) == ("done", "script")
        assert record.connection_closed_by == "peer"

    async def test_is_seen_under_tls_too(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        certificate = tmp_path / "upstream.pem"
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(certificate)
        trusting = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
        upstream = ScriptedUpstream()
        await upstream.start(ssl=server)
        try:
            assert upstream.url.startswith("https://127.0.0.1:")
            connector = aiohttp.TCPConnector(ssl=trusting)
            async with aiohttp.ClientSession(connector=connector) as session:
                messages = [{"role": "user", "content": "hello"}]
                body = {"model": "hang-mid", "messages": messages, "stream": True}
                response = await session.post(f"{upstream.url}/chat/completions", json=body)
                assert b"assistant" in await response.content.readuntil(b"\n\n")
                response.close()
                record = await upstream.wait_for(lambda record: record.closed_by == "peer")
            assert (record.scenario, record.phase) == ("hang-mid", "streaming")
        finally:
            await upstream.stop()


class TestScriptClose:
    async def test_an_answer_with_connection_close_is_the_scripts_own_end(
        self, upstream: ScriptedUpstream
    ) -> None:
        async with wire(upstream) as peer:
            request = request_bytes("answer").replace(b"Host:", b"Connection: close\r\nHost:")
            await peer.send(request)
            await peer.read_until(b"0\r\n\r\n")
            assert await peer.read() == b""
            await upstream.until(lambda: upstream.open_connections == 0)
        (record,) = upstream.requests
        assert (record.closed_by, record.connection_closed_by) == ("script", "script")

    async def test_what_is_no_http_is_answered_and_closed(self, upstream: ScriptedUpstream) -> None:
        async with wire(upstream) as peer:
            await peer.send(b"\x16\x03\x01 is no request\r\n\r\n")
            assert (await peer.read()).startswith(b"HTTP/1.0 400")
            await upstream.until(lambda: upstream.open_connections == 0)
        assert upstream.connections[0].closed_by == "script"
        assert upstream.requests == []
