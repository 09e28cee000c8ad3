"""How a process ends: what runs may finish, what is new is refused, and all within the grace time."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream, unused_port
from support.client import ask, stop, text
from support.process import PATIENCE, environment, running, serving

if TYPE_CHECKING:
    from pathlib import Path

    from support.process import Server

SLOW = "answer?interval=0.03"
SOON = 20.0
"""Less than runs have to finish, as it is shipped; more than a busy machine takes."""


def provider(upstream: ScriptedUpstream, **more: str) -> dict[str, str]:
    return {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "answer",
        **more,
    }


async def probe(server: Server, what: str) -> tuple[int, dict[str, Any]]:
    """Ask as a load balancer does: over a connection of its own."""
    async with aiohttp.ClientSession() as own, own.get(f"{server.url}/health/{what}") as response:
        return response.status, await response.json()


async def drain(server: Server, number: int = signal.SIGTERM) -> None:
    """Send a signal, and wait until it is heard."""
    server.process.send_signal(number)
    await server.line("draining")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_drained_process_lets_its_streams_finish_and_takes_no_new_ones(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, number: int
) -> None:
    async with serving(**provider(upstream)) as server:
        assert await probe(server, "ready") == (200, {"status": "ready"})
        async with (
            ask(client, server.url, model=SLOW) as stream,
            ask(client, server.url, model="hang-mid") as hanging,
        ):
            first = await stream.until("chunk")
            await hanging.until("chunk")
            await drain(server, number)
            assert await probe(server, "ready") == (503, {"status": "draining"})
            assert await probe(server, "live") == (200, {"status": "ok"})
            async with client.post(
                f"{server.url}/ai/chat/stream-sse", json={"message": "hi"}
            ) as refused:
                assert refused.status == 503
                assert refused.headers["Retry-After"] == "5"
                assert (await refused.json())["code"] == "draining"
            events = [first, *await stream.rest()]
            assert text(events) == ANSWER
            assert events[-1]["finishReason"] == "stop"
            receipt = await stop(client, server.url, hanging.run_id)
            assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
            assert (await hanging.rest())[-1]["finishReason"] == "stopped"
        assert await server.finish() == 0
    assert "Traceback" not in server.raw
    assert [line["event"].split(":")[0] for line in server.lines] == ["listening", "draining"]


async def test_a_run_can_be_read_from_the_beginning_while_it_drains(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with serving(**provider(upstream)) as server:
        async with ask(client, server.url, model="hang-mid", onDisconnect="continue") as stream:
            first = [await stream.next(), await stream.next()]
            stream.drop()
            await drain(server)
            async with client.get(f"{server.url}/ai/runs/{stream.run_id}/events") as response:
                assert response.status == 200
                raw = b"".join([await response.content.readline() for _ in range(6)])
        data = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
        assert [json.loads(line)["type"] for line in data[:2]] == [e["type"] for e in first if e]
        await stop(client, server.url, stream.run_id)
        assert await server.finish() == 0


async def test_what_is_left_is_interrupted_within_the_grace_time(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with serving(**provider(upstream, STREAM_SERVE_GRACE_TIMEOUT="4")) as server:
        async with ask(client, server.url, model="hang-mid") as stream:
            await stream.until("chunk")
            began = time.monotonic()
            await drain(server)
            assert server.lines[-1]["runs"] == 1
            last = (await stream.rest())[-1]
            assert time.monotonic() - began >= 2.5, "it had its time"
            assert (last["type"], last["code"]) == ("error", "run_interrupted")
            assert last["retryable"] is True
        await upstream.until(lambda: upstream.open_connections == 0)
        assert await server.finish() == 0
        assert time.monotonic() - began < SOON
    assert "Traceback" not in server.raw


async def test_without_runs_it_ends_at_once(client: aiohttp.ClientSession) -> None:
    async with serving() as server:
        async with client.get(f"{server.url}/health") as response:
            assert response.status == 200
        began = time.monotonic()
        assert await server.end() == 0
        assert time.monotonic() - began < SOON
    assert "draining" not in server.raw


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_second_signal_ends_it_at_once(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, number: int, code: int
) -> None:
    async with (
        serving(**provider(upstream)) as server,
        ask(client, server.url, model="hang-mid") as stream,
    ):
        await stream.until("chunk")
        await drain(server)
        began = time.monotonic()
        assert await server.end(number) == code
        assert time.monotonic() - began < SOON
    assert "Traceback" not in server.raw


async def test_a_client_that_does_not_read_cannot_hold_the_end(
    upstream: ScriptedUpstream,
) -> None:
    """The run is over soon, but most of its text waits for a reader that has stopped."""
    settings = provider(upstream, STREAM_SERVE_GRACE_TIMEOUT="4")
    settings["STREAM_SERVE_MODEL"] = "flood?tokens=100000"
    body = b'{"message": "hi"}'
    head = (
        "POST /ai/chat/stream-sse HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with serving(**settings) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((host, int(port)))
            deaf.sendall(head.encode() + body)
            assert (await server.line("run"))["state"] == "completed"
            began = time.monotonic()
            assert await server.end() == 0
            assert 2 < time.monotonic() - began < SOON
    assert "Traceback" not in server.raw


async def test_the_answers_of_conversations_are_stored_whole_or_as_interrupted(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    database = tmp_path / "conversations.db"
    settings = provider(
        upstream,
        STREAM_SERVE_DATABASE_URL=f"sqlite:///{database}",
        STREAM_SERVE_GRACE_TIMEOUT="12",
    )
    async with serving(**settings) as server:
        async with (
            ask(client, server.url, model=SLOW, conversationId="new") as short,
            ask(client, server.url, model="hang-mid", conversationId="new") as long,
        ):
            await short.until("chunk")
            await long.until("chunk")
            await drain(server)
            ends = [(await short.rest())[-1], (await long.rest())[-1]]
        assert await server.finish() == 0
    assert [end["saved"] for end in ends] == [True, True]
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT status, content FROM messages WHERE role = 'assistant'"
        ).fetchall()
    connection.close()
    answers = {status: json.loads(content) for status, content in rows}
    assert answers["complete"] == ANSWER
    assert ANSWER.startswith(answers["interrupted"])
    assert "Traceback" not in server.raw


async def test_a_reloading_server_ends_at_once_too(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    status = 0
    reloading = running(
        *(sys.executable, "-m", "stream_serve", "serve", "--reload", "--port", str(port)),
        env=environment(**provider(upstream)),
        stderr=asyncio.subprocess.PIPE,
    )
    async with reloading as process, asyncio.timeout(PATIENCE):
        while status != 200:
            try:
                async with client.get(f"{url}/health/ready") as response:
                    status = response.status
            except OSError:
                await asyncio.sleep(0.01)
        async with ask(client, url, model="hang-mid") as stream:
            await stream.until("chunk")
            began = time.monotonic()
            process.terminate()
            assert (await stream.rest())[-1]["code"] == "run_interrupted"
        _, err = await process.communicate()
    assert time.monotonic() - began < SOON
    assert b"Traceback" not in err


async def test_readers_of_streams_are_let_go_at_once_and_come_back_with_their_offset(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    kept = {"STREAM_SERVE_STREAMS_URL": str(tmp_path / "streams.db")}
    text = {"Content-Type": "text/plain"}
    async with serving(**kept) as server:
        url = f"{server.url}/v1/stream/a"
        await client.put(url, headers=text, data=b"x")
        live = await client.get(url, params={"offset": "-1", "live": "sse"})
        await live.content.readuntil(b"\n\n")
        await live.content.readuntil(b"\n\n")
        polling = asyncio.create_task(
            client.get(url, params={"offset": "now", "live": "long-poll"})
        )
        await asyncio.sleep(0)
        assert await server.end() == 0
        assert await live.read() == b""  # and not cut in the middle
        polled = await polling
        assert polled.status in {204, 503}
    async with serving(**kept) as server:
        params = {"offset": f"{1:016d}", "live": "sse"}
        again = await client.get(f"{server.url}/v1/stream/a", params=params)
        assert b"upToDate" in await again.content.readuntil(b"\n\n")
        again.close()
