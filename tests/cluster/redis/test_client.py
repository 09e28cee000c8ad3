from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.redis import keys
from stream_serve.cluster.redis.client import Link
from stream_serve.cluster.redis.scripts import load
from stream_serve.errors import LogUnavailable, SettingsError
from support.postgres import free_port

if TYPE_CHECKING:
    from support.redis import Redis

SECRET = "canary-not-to-be-shown"


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@127.0.0.1:6379",
        f"redis://:{SECRET}@127.0.0.1:port",
        f"redis://:{SECRET}@127.0.0.1:6379?socket_timeout=soon",
        f"redis://:{SECRET}@127.0.0.1:6379?colour=red",
        "",
    ],
)
def test_a_url_that_is_wrong_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="STREAM_SERVE_REDIS_URL") as caught:
        Link(url, 1)
    assert SECRET not in str(caught.value)


async def answers(link: Link) -> bool:
    try:
        return bool(await link.run("PING"))
    except LogUnavailable:
        return False


async def refusal(url: str, timeout: float = 0.3) -> str:
    """Say what an error of a simple command reads like."""
    link = Link(url, timeout)
    try:
        with pytest.raises(LogUnavailable) as caught:
            await link.run("PING")
    finally:
        await link.close()
    return str(caught.value)


async def test_where_nothing_listens_the_error_says_so_and_hides_the_password() -> None:
    port = free_port()
    said = await refusal(f"redis://:{SECRET}@127.0.0.1:{port}")
    assert f"127.0.0.1:{port} cannot be reached" in said
    assert SECRET not in said


async def test_a_socket_that_is_not_there_is_an_error_like_any_other() -> None:
    assert "/nowhere/redis.sock cannot be reached" in await refusal("unix:///nowhere/redis.sock")


async def test_a_wrong_password_is_named_as_the_reason_and_not_shown(server: Redis) -> None:
    said = await refusal(f"redis://:{SECRET}@127.0.0.1:{server.port}")
    assert "refuses the user or the password" in said
    assert SECRET not in said


async def test_a_frozen_redis_costs_no_more_than_the_timeout(
    fragile: Redis, fragile_link: Link
) -> None:
    await fragile_link.run("PING")
    fragile.freeze()
    began = time.monotonic()
    with pytest.raises(LogUnavailable, match=r"did not answer within 0\.3 s"):
        await fragile_link.run("PING")
    assert time.monotonic() - began < 1
    fragile.thaw()
    assert await fragile_link.run("PING")


async def test_a_crowd_that_waits_for_a_frozen_redis_waits_no_longer_than_one(
    fragile: Redis, fragile_link: Link
) -> None:
    fragile.freeze()
    began = time.monotonic()
    calls = [fragile_link.run("PING") for _ in range(300)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {LogUnavailable}
    assert time.monotonic() - began < 3
    fragile.thaw()
    assert await fragile_link.run("PING")


async def test_a_restarted_redis_is_found_again(fragile: Redis, fragile_link: Link) -> None:
    await fragile_link.run("PING")
    fragile.restart()
    # At first the loop does not know yet that its connection is closed.
    async with asyncio.timeout(10):
        while not await answers(fragile_link):
            await asyncio.sleep(0.01)


async def test_a_full_redis_is_said_to_be_full(fragile: Redis, fragile_link: Link) -> None:
    fragile.maxmemory(1)
    with pytest.raises(LogUnavailable, match="is full"):
        await fragile_link.run("SET", "some", "thing")


async def test_a_replica_is_said_to_be_one(fragile: Redis, fragile_link: Link) -> None:
    fragile.cli("REPLICAOF", "127.0.0.1", str(free_port()))
    with pytest.raises(LogUnavailable, match="is a replica"):
        await fragile_link.run("SET", "some", "thing")


async def test_an_error_of_a_pipeline_does_not_show_what_was_sent(link: Link) -> None:
    await link.run("SET", "text", "no number")
    pipeline = link.client.pipeline(transaction=False)
    pipeline.xadd("text", {b"d": SECRET.encode()})
    with pytest.raises(LogUnavailable, match="WRONGTYPE") as caught:
        await link.call(pipeline.execute())
    error: BaseException = caught.value
    assert SECRET not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


async def test_while_redis_is_known_to_be_away_calls_fail_at_once_but_those_that_look(
    link: Link,
) -> None:
    link.up = False
    with pytest.raises(LogUnavailable):
        await link.run("PING")
    assert await link.run("PING", always=True)
    link.up = True
    assert await link.run("PING")


async def test_cancelled_calls_use_up_no_connection(link: Link) -> None:
    for turn in range(300):
        call = asyncio.create_task(link.run("BLPOP", "nothing", 5))
        for _ in range(turn % 12):
            await asyncio.sleep(0)
        call.cancel()
        call.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait({call})
        assert call.cancelled()
    replies = await asyncio.gather(*(link.run("ECHO", str(number)) for number in range(200)))
    assert replies == [str(number).encode() for number in range(200)]


async def test_more_calls_than_connections_wait_in_line(link: Link) -> None:
    replies = await asyncio.gather(*(link.run("ECHO", str(number)) for number in range(1_000)))
    assert replies == [str(number).encode() for number in range(1_000)]


async def test_a_script_is_loaded_where_redis_does_not_know_it(link: Link, server: Redis) -> None:
    script = link.script(load("stream_serve.quotas", "enter"))
    assert link.script(load("stream_serve.quotas", "enter")) is script
    assert await link.call(script([keys.owner("key")], ["one", 1, 1_000])) == 1
    assert await link.call(script([keys.owner("key")], ["two", 1, 1_000])) == 0
    server.cli("SCRIPT", "FLUSH")
    assert await link.call(script([keys.owner("key")], ["two", 1, 1_000])) == 0
    server.cli("SCRIPT", "FLUSH")
    pipeline = link.client.pipeline(transaction=False)
    script.queue(pipeline, [keys.owner("key")], ["one", 1, 1_000])
    script.queue(pipeline, [keys.owner("key")], ["two", 2, 1_000])
    assert await link.call(pipeline.execute()) == [1, 1]


async def test_after_close_nothing_is_connected_and_calls_fail(
    fragile: Redis, fragile_link: Link
) -> None:
    def connections() -> int:
        return len(fragile.cli("CLIENT", "LIST").splitlines()) - 1  # the one that asks

    await asyncio.gather(*(fragile_link.run("PING") for _ in range(10)))
    assert connections() > 0
    await fragile_link.close()
    async with asyncio.timeout(10):
        while connections():
            await asyncio.sleep(0.01)
    with pytest.raises(LogUnavailable, match="closed"):
        await fragile_link.run("PING")
