"""Several workers: one port, one service, and a supervisor that keeps them running."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream
from support.client import ask, text
from support.process import command, serving
from support.redis import Redis, shared_server

if TYPE_CHECKING:
    from support.process import Server

SLOW = "answer?interval=0.03"
TWO = ("--workers", "2")


@pytest.fixture
def settings(upstream: ScriptedUpstream, tmp_path: Path) -> dict[str, str]:
    """The settings of a service of several workers."""
    redis = shared_server()
    redis.flush()
    return {
        "STREAM_SERVE_REDIS_URL": redis.url,
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "answer",
        "STREAM_SERVE_DATABASE_URL": f"sqlite:///{tmp_path / 'conversations.db'}",
    }


async def pids(server: Server, count: int = 2) -> list[int]:
    """Wait until so many more workers serve; return their process ids."""
    return [(await server.line("a worker serves"))["pid"] for _ in range(count)]


async def healthy(server: Server) -> int:
    """Ask over a connection of its own."""
    async with aiohttp.ClientSession() as own, own.get(f"{server.url}/health/ready") as response:
        return response.status


async def test_two_workers_share_one_port_and_a_signal_ends_both(settings: dict[str, str]) -> None:
    async with serving(*TWO, **settings) as server:
        assert server.lines[-1]["workers"] == 2
        both = await pids(server)
        assert len({*both, server.process.pid}) == 3
        for pid in both:
            os.kill(pid, signal.SIGSTOP)
            try:
                async with asyncio.timeout(20):
                    assert await healthy(server) == 200, "the other one answers"
            finally:
                os.kill(pid, signal.SIGCONT)
        began = time.monotonic()
        assert await server.end() == 0
        assert time.monotonic() - began < 10
    assert "Traceback" not in server.raw
    assert server.raw.count('"listening"') == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_to_the_whole_process_group_counts_once(
    settings: dict[str, str], client: aiohttp.ClientSession, number: int
) -> None:
    """Ctrl+C in a terminal, or a stopped container: all processes get the signal."""
    async with serving(*TWO, **settings) as server:
        for pid in await pids(server):
            status = Path(f"/proc/{pid}/status")
            if status.exists():  # even while it starts, it must not see what its supervisor hears
                blocked = int(status.read_text().partition("SigBlk:")[2].split()[0], 16)
                assert blocked & 1 << signal.SIGINT - 1
        async with ask(client, server.url, model=SLOW) as stream:
            await stream.until("chunk")
            os.killpg(server.process.pid, number)
            await server.line("draining")
            assert (await stream.rest())[-1]["finishReason"] == "stop"
        assert await server.finish() == 0
    assert "Traceback" not in server.raw


async def test_a_second_signal_ends_all_at_once(
    settings: dict[str, str], client: aiohttp.ClientSession
) -> None:
    async with serving(*TWO, **settings) as server:
        await pids(server)
        async with ask(client, server.url, model="hang-mid") as stream:
            await stream.until("chunk")
            server.process.terminate()
            await server.line("draining")
            assert await server.end() == 143  # standard error is closed when all have ended
    assert "Traceback" not in server.raw


async def test_a_worker_that_dies_is_replaced(
    settings: dict[str, str], client: aiohttp.ClientSession
) -> None:
    async with serving(*TWO, **settings) as server:
        both = await pids(server)
        os.kill(both[0], signal.SIGKILL)
        ended = await server.line("a worker has ended")
        assert (ended["pid"], ended["exit_code"]) == (both[0], -signal.SIGKILL)
        assert (await pids(server, 1))[0] not in both
        os.kill(both[1], signal.SIGTERM)
        await server.line("a worker has ended")
        await pids(server, 1)
        async with ask(client, server.url) as stream:
            assert text(await stream.rest()) == ANSWER
        assert await server.end() == 0
    assert "Traceback" not in server.raw


async def test_a_worker_that_is_frozen_is_replaced(settings: dict[str, str]) -> None:
    """The time that takes is shortened here."""
    patched = (
        "import sys; from stream_serve.server import workers; workers.MAX_MISSED_HEARTBEATS = 12;"
        "sys.argv[1:4] = [];"
        "from stream_serve.commands.cli import main; main()"
    )
    async with serving(*TWO, command=(sys.executable, "-c", patched), **settings) as server:
        both = await pids(server)
        os.kill(both[1], signal.SIGSTOP)
        assert (await server.line("a worker gives no sign"))["pid"] == both[1]
        assert (await server.line("a worker has ended"))["exit_code"] == -signal.SIGKILL
        assert (await pids(server, 1))[0] not in both
        assert await server.end() == 0


async def test_a_worker_that_does_not_end_is_killed_when_the_grace_time_is_over(
    settings: dict[str, str],
) -> None:
    settings["STREAM_SERVE_GRACE_TIMEOUT"] = "1"
    async with serving(*TWO, **settings) as server:
        both = await pids(server)
        os.kill(both[0], signal.SIGSTOP)
        server.process.terminate()
        assert (await server.line("a worker does not end"))["pid"] == both[0]
        assert await server.finish() == 1


async def test_a_hangup_replaces_every_worker_and_cuts_no_stream(
    settings: dict[str, str], client: aiohttp.ClientSession
) -> None:
    async with serving(*TWO, **settings) as server:
        old = await pids(server)
        async with ask(client, server.url, model=SLOW) as stream:
            first = await stream.until("chunk")
            server.process.send_signal(signal.SIGHUP)
            new = await pids(server, 1)
            assert await healthy(server) == 200
            events = [first, *await stream.rest()]
            assert text(events) == ANSWER
        new += await pids(server, 1)
        assert not set(new) & set(old)
        assert await healthy(server) == 200
        assert await server.end() == 0
    assert "a worker has ended" not in server.raw
    assert "Traceback" not in server.raw


async def test_workers_end_without_their_supervisor_and_finish_their_streams_first(
    settings: dict[str, str], client: aiohttp.ClientSession
) -> None:
    async with serving(*TWO, **settings) as server:
        await pids(server)
        async with ask(client, server.url, model=SLOW) as stream:
            first = await stream.until("chunk")
            server.process.kill()
            events = [first, *await stream.rest()]
            assert text(events) == ANSWER
            assert events[-1]["finishReason"] == "stop"
        assert await server.finish() == -signal.SIGKILL  # standard error is closed by all
        with pytest.raises(aiohttp.ClientConnectorError):
            await healthy(server)
    assert "Traceback" not in server.raw


async def test_the_workers_are_not_ready_while_redis_is_away(
    settings: dict[str, str], client: aiohttp.ClientSession
) -> None:
    with Redis() as redis:
        settings["STREAM_SERVE_REDIS_URL"] = redis.url
        settings["STREAM_SERVE_LEASE"] = "1"
        async with serving(*TWO, **settings) as server:
            assert await healthy(server) == 200
            redis.stop()
            async with asyncio.timeout(20):
                while await healthy(server) != 503:
                    await asyncio.sleep(0.01)
            async with client.get(f"{server.url}/health/live") as response:
                assert response.status == 200
            redis.start()
            async with asyncio.timeout(20):
                while await healthy(server) != 200:
                    await asyncio.sleep(0.01)
            assert await server.end() == 0
        assert "Traceback" not in server.raw
        assert redis.password not in server.raw


async def test_a_worker_that_cannot_start_ends_the_service_with_its_message(
    settings: dict[str, str], tmp_path: Path
) -> None:
    assert (await command("migrate", **settings))[0] == 0
    with sqlite3.connect(tmp_path / "conversations.db") as connection:
        connection.execute("UPDATE stream_serve_schema SET version_num = '9999'")
    connection.close()
    code, _, err = await command("serve", *TWO, "--port", "0", **settings)
    assert code == 2
    assert "Traceback" not in err
    assert "made by a newer stream-serve" in err
    assert "none serves" in err
    assert "listening" not in err


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (("serve", "--workers", "2"), {}),
        (("serve",), {"STREAM_SERVE_WORKERS": "2"}),
        ((), {"WEB_CONCURRENCY": "2"}),
    ],
)
async def test_several_workers_without_redis_are_refused_in_words(
    arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    code, _, err = await command(*arguments, PORT="0", **environment)
    assert code == 2
    assert "2 workers need STREAM_SERVE_REDIS_URL" in err
    assert "Traceback" not in err


async def test_reloading_with_several_workers_is_refused_in_words() -> None:
    code, _, err = await command("serve", "--reload", *TWO, "--port", "0")
    assert code == 2
    assert "--workers 1" in err
    assert "Traceback" not in err


async def test_a_wrong_setting_is_refused_once_and_not_by_every_worker(
    settings: dict[str, str],
) -> None:
    settings["STREAM_SERVE_UPSTREAM_KIND"] = "nothing"
    code, _, err = await command("serve", *TWO, "--port", "0", **settings)
    assert code == 2
    assert err.count("STREAM_SERVE_UPSTREAM_KIND") == 1
    assert "Traceback" not in err


async def test_a_port_in_use_is_said_once_in_words(
    settings: dict[str, str], upstream: ScriptedUpstream
) -> None:
    port = upstream.origin.rsplit(":", 1)[1]
    code, _, err = await command("serve", *TWO, "--port", port, **settings)
    assert code not in {0, 2}
    assert err.count("ddress already in use") == 1
    assert err.count("--port and --host (STREAM_SERVE_PORT, STREAM_SERVE_HOST)") == 1
    assert "Traceback" not in err
