"""Runs on disk: a process that is killed, or ends, and the next one, over real sockets."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.client import AsyncAnswer, AsyncClient, Chunk
from stream_serve.errors import RunInterrupted
from stream_serve.testing import ANSWER
from support.client import Json, Stream, ask, show, stop, text
from support.cluster import Node, check, read, stored
from support.process import command, serving
from support.service import UPSTREAM_KEY

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.process import Server

RUN: Final = "a-run-on-the-disk"
FIRST: Final = 200_001
"""The number of the end of a run whose process is gone: past the greatest that a run may have."""


@pytest.fixture
def settings(upstream: ScriptedUpstream, tmp_path: Path) -> dict[str, str]:
    return {
        "STREAM_SERVE_RUN_LOG": "disk",
        "STREAM_SERVE_DATABASE_URL": str(tmp_path / "kept" / "chat.db"),
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_UPSTREAM_API_KEY": UPSTREAM_KEY,
        "STREAM_SERVE_MODEL": "forever?interval=0.002",
    }


async def begin(client: aiohttp.ClientSession, server: Server, **body: Any) -> Stream:
    """Start a run under its Idempotency-Key, or join it."""
    response = await client.post(
        f"{server.url}/ai/chat/stream-sse",
        json={"message": "你好", **body},
        headers={"Idempotency-Key": RUN},
    )
    assert response.status == 200, await response.text()
    return Stream(response)


async def take(stream: Stream, count: int) -> list[Json]:
    events: list[Json] = []
    while len(events) < count:
        event = await stream.next()
        assert event is not None
        events.append(event)
    return events


def check_interrupted(event: Json) -> None:
    assert (event["type"], event["code"], event["retryable"]) == ("error", "run_interrupted", True)
    assert event["id"] == FIRST


async def test_the_readers_of_a_killed_process_go_on_at_the_next_one_and_get_the_rest_and_an_end(
    settings: dict[str, str], client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with serving(**settings) as server:
        slow = await begin(client, server, conversationId="new")
        before = await take(slow, 20)
        async with client.get(f"{server.url}/ai/runs/{RUN}/events") as response:
            quick = await take(Stream(response), 150)
        await server.end(signal.SIGKILL)
    async with serving(**settings) as server:
        after = await read(client, server.url, RUN, after=20)
        whole = await read(client, server.url, RUN)
        check(whole)
        check_interrupted(whole[-1])
        assert whole[-1]["saved"] is True
        assert before + after == whole, "the same text, and nothing twice"
        assert len(whole) > 100, "what was written is there"
        rest = await read(client, server.url, RUN, after=150)
        told, kept = quick + rest, len(whole) - 1
        assert [event["id"] for event in told[:-1]] == list(range(1, len(told)))
        assert told[: min(kept, 150)] == whole[: min(kept, 150)]
        assert told[-1] == whole[-1]
        answer = await stored(client, server.url, whole[0]["conversationId"])
        assert (answer["status"], answer["content"]) == ("interrupted", text(whole))
        state = await show(client, server.url, RUN)
        assert (state["state"], state["error"]["code"]) == ("failed", "run_interrupted")
        assert (state["events"], state["skipped"]) == (len(whole), FIRST - len(whole))
        assert state["createdAt"]
        assert (await stop(client, server.url, RUN))["outcome"] == "already_finished"
        await check_joins(client, server, whole, conversationId="new")
    assert len(upstream.requests) == 1, "nothing was asked for twice"


async def check_joins(
    client: aiohttp.ClientSession, server: Server, whole: list[Json], **body: Any
) -> None:
    """The same request again is the same run; another one under its key is refused."""
    again = await begin(client, server, **body)
    assert again.run_id == RUN
    assert await again.rest() == whole
    async with client.post(
        f"{server.url}/ai/chat/stream-sse",
        json={"message": "something else"},
        headers={"Idempotency-Key": RUN},
    ) as response:
        assert (response.status, (await response.json())["code"]) == (409, "run_conflict")


async def test_a_reader_that_was_told_more_than_the_disk_has_gets_the_end_and_nothing_twice(
    settings: dict[str, str], client: aiohttp.ClientSession
) -> None:
    """Nothing reaches the disk here but that there is a run: the reader's cursor is beyond the log."""
    settings["STREAM_SERVE_FLUSH_INTERVAL"] = "600"
    async with serving(**settings) as server:
        told = await take(await begin(client, server), 40)
        await server.end(signal.SIGKILL)
    async with serving(**settings) as server:
        (end,) = await read(client, server.url, RUN, after=40)
        check_interrupted(end)
        ids = [event["id"] for event in [*told, end]]
        assert ids == [*range(1, 41), FIRST], "the jump says that something may be missing"
        assert await read(client, server.url, RUN) == [end]
        async with client.get(
            f"{server.url}/ai/runs/{RUN}/events", headers={"Last-Event-ID": str(FIRST)}
        ) as response:
            assert response.status == 204


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_finished_run_is_the_same_after_a_restart(
    settings: dict[str, str], client: aiohttp.ClientSession, number: int
) -> None:
    settings["STREAM_SERVE_MODEL"] = "answer"
    async with serving(**settings) as server:
        whole = await (await begin(client, server)).rest()
        assert text(whole) == ANSWER
        # A later run is in the file only after this one.
        async with ask(client, server.url) as other:
            await other.rest()
        async with ask(client, server.url):
            state = await show(client, server.url, RUN)
        await server.end(number)
    async with serving(**settings) as server:
        assert await read(client, server.url, RUN) == whole
        assert await read(client, server.url, RUN, after=7) == whole[7:]
        assert await show(client, server.url, RUN) == {**state, "readers": 0}
        assert (await stop(client, server.url, RUN))["outcome"] == "already_finished"
        await check_joins(client, server, whole)
        async with client.get(
            f"{server.url}/ai/runs/{RUN}/events", headers={"Last-Event-ID": "100000"}
        ) as response:
            assert (response.status, (await response.json())["code"]) == (409, "cursor_beyond_log")
        async with client.get(f"{server.url}/v1/stream/runs/{RUN}") as response:
            assert len(await response.json()) == len(whole)


async def test_a_run_that_a_restart_interrupts_is_whole_after_it(
    settings: dict[str, str], client: aiohttp.ClientSession
) -> None:
    settings["STREAM_SERVE_GRACE_TIMEOUT"] = "2"
    async with serving(**settings) as server:
        stream = await begin(client, server)
        whole = await take(stream, 20)
        server.process.send_signal(signal.SIGTERM)
        whole += await stream.rest()
        check(whole)
        assert whole[-1]["code"] == "run_interrupted"
        assert await server.finish() == 0
    async with serving(**settings) as server:
        assert await read(client, server.url, RUN) == whole


async def test_runs_in_memory_end_with_their_process(
    settings: dict[str, str], client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    settings["STREAM_SERVE_RUN_LOG"] = "memory"
    async with serving(**settings) as server:
        await take(await begin(client, server), 5)
        await server.end(signal.SIGKILL)
    async with serving(**settings) as server, client.get(f"{server.url}/ai/runs/{RUN}") as response:
        assert response.status == 404
    assert not (tmp_path / "kept" / "runs.db").exists()


async def test_a_second_process_is_refused_and_so_are_workers_and_redis(
    settings: dict[str, str], tmp_path: Path
) -> None:
    async with serving(**settings):
        said = await refused(settings)
    assert f"{tmp_path}/kept/runs.db, cannot be used: another process uses it" in said
    (tmp_path / "kept" / "runs.db").write_text("no database at all" * 10, encoding="utf-8")
    assert "not a database" in await refused(settings)
    code, _, said = await command("serve", "--port", "0", "--workers", "2", **settings)
    assert (code, "2 workers need STREAM_SERVE_REDIS_URL" in said) == (2, True)
    redis = {"STREAM_SERVE_REDIS_URL": "redis://127.0.0.1:1"}
    code, _, said = await command("serve", "--port", "0", **settings, **redis)
    assert (code, "STREAM_SERVE_RUN_LOG" in said) == (2, True)
    assert "with Redis runs are there" in said


async def refused(settings: dict[str, str]) -> str:
    """What a process says that cannot use the file: in words, and where they are set."""
    code, _, said = await command("serve", "--port", "0", **settings)
    assert code == 2
    assert said.splitlines()[-1].startswith("stream-serve: the file of the runs")
    assert "(STREAM_SERVE_RUN_LOG)" in said
    assert "Traceback" not in said
    return said


async def test_our_client_reads_over_the_restart_of_a_killed_process_and_asks_once(
    settings: dict[str, str],
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    tmp_path: Path,
) -> None:
    node = Node(tmp_path, **settings)
    node.start()
    await node.up(client)
    seen: list[object] = []

    async def follow(answer: AsyncAnswer) -> None:
        async for event in answer:
            seen.append(event)
            if len(seen) == 100:
                await node.kill()
                node.start()

    async with AsyncClient(node.url) as ours, ours.chat("你好") as answer:
        with pytest.raises(RunInterrupted) as ended:
            await follow(answer)
        assert ended.value.retryable
        whole = await read(client, node.url, answer.run_id)
    await node.kill()
    assert len(seen) >= len(whole) - 1 > 0, "of what was told, the disk has at least a beginning"
    said = "".join(event.content for event in seen if isinstance(event, Chunk))
    assert said.startswith(text(whole))
    assert len(upstream.requests) == 1
