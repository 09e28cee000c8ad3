from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import pytest

from stream_serve.cluster.redis.client import RedisClient
from stream_serve.cluster.redis.scripts import load
from stream_serve.errors import LogUnavailable, SettingsError
from stream_serve.quotas.redis import key
from stream_serve.settings import explain
from support.postgres import free_port

if TYPE_CHECKING:
    from support.redis import Redis

SECRET = "canary-not-to-be-shown"
LONG = 20.0


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
    with pytest.raises(SettingsError) as caught:
        RedisClient(url, 1)
    assert list(caught.value.parameters) == ["RedisClient.url"]
    assert "STREAM_SERVE_REDIS_URL" in explain(caught.value)
    assert SECRET not in explain(caught.value)


async def replies(client: RedisClient) -> bool:
    try:
        return bool(await client.run("PING"))
    except LogUnavailable:
        return False


async def refusal(url: str) -> str:
    """Say what an error of a simple command reads like."""
    client = RedisClient(url, LONG)
    try:
        with pytest.raises(LogUnavailable) as caught:
            await client.run("PING")
    finally:
        await client.close()
    error = caught.value
    assert error.for_operator
    assert error.for_operator not in str(error)
    return f"{error} [{error.for_operator}]"


async def test_where_nothing_listens_the_error_says_so_and_hides_the_password() -> None:
    port = free_port()
    said = await refusal(f"redis://:{SECRET}@127.0.0.1:{port}")
    assert said.startswith("Redis cannot be reached")
    assert said.endswith(f"[127.0.0.1:{port}]")
    assert SECRET not in said


async def test_a_socket_that_is_not_there_is_an_error_like_any_other() -> None:
    said = await refusal("unix:///nowhere/redis.sock")
    assert said.startswith("Redis cannot be reached")
    assert said.endswith("[/nowhere/redis.sock]")


async def test_a_wrong_password_is_named_as_the_reason_and_not_shown(server: Redis) -> None:
    said = await refusal(f"redis://:{SECRET}@127.0.0.1:{server.port}")
    assert "refuses the user or the password" in said
    assert SECRET not in said


async def test_a_frozen_redis_costs_no_more_than_the_timeout(
    fragile: Redis, patient_client: RedisClient
) -> None:
    await patient_client.run("PING")
    fragile.freeze()
    patient_client.timeout = 0.3
    began = time.monotonic()
    with pytest.raises(LogUnavailable, match=r"did not reply within 0\.3 s"):
        await patient_client.run("PING")
    assert time.monotonic() - began < LONG
    fragile.thaw()
    patient_client.timeout = LONG
    assert await patient_client.run("PING")


async def test_a_crowd_that_waits_for_a_frozen_redis_waits_no_longer_than_one(
    fragile: Redis, patient_client: RedisClient
) -> None:
    fragile.freeze()
    patient_client.timeout = 0.3
    began = time.monotonic()
    calls = [patient_client.run("PING") for _ in range(300)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {LogUnavailable}
    assert time.monotonic() - began < LONG, "not one after the other"
    fragile.thaw()
    patient_client.timeout = LONG
    assert await patient_client.run("PING")


async def test_a_restarted_redis_is_found_again(
    fragile: Redis, patient_client: RedisClient
) -> None:
    await patient_client.run("PING")
    fragile.restart()
    # At first the loop does not know yet that its connection is closed.
    async with asyncio.timeout(10):
        while not await replies(patient_client):
            await asyncio.sleep(0.01)


async def test_a_full_redis_is_said_to_be_full(fragile: Redis, patient_client: RedisClient) -> None:
    fragile.maxmemory(1)
    with pytest.raises(LogUnavailable, match="is full"):
        await patient_client.run("SET", "some", "thing")


async def test_a_replica_is_said_to_be_one(fragile: Redis, patient_client: RedisClient) -> None:
    fragile.cli("REPLICAOF", "127.0.0.1", str(free_port()))
    with pytest.raises(LogUnavailable, match="is a replica"):
        await patient_client.run("SET", "some", "thing")


async def test_an_error_of_a_pipeline_does_not_show_what_was_sent(client: RedisClient) -> None:
    await client.run("SET", "text", "no number")
    pipeline = client.redis.pipeline(transaction=False)
    pipeline.xadd("text", {b"d": SECRET.encode()})
    with pytest.raises(LogUnavailable, match="replied with an error") as caught:
        await client.call(pipeline.execute())
    error = caught.value
    assert "WRONGTYPE" in error.for_operator
    assert SECRET not in str(error) + error.for_operator
    assert error.__cause__ is None
    assert error.__suppress_context__


async def test_while_redis_is_known_to_be_away_calls_fail_at_once_but_those_that_look(
    client: RedisClient,
) -> None:
    client.mark_down()
    with pytest.raises(LogUnavailable):
        await client.run("PING")
    assert await client.run("PING", always=True)
    client.mark_up()
    assert await client.run("PING")


async def test_cancelled_calls_use_up_no_connection(client: RedisClient) -> None:
    for turn in range(300):
        call = asyncio.create_task(client.run("BLPOP", "nothing", 2 * LONG))
        for _ in range(turn % 12):
            await asyncio.sleep(0)
        call.cancel()
        call.cancel()
        async with asyncio.timeout(LONG):
            await asyncio.wait({call})
        assert call.cancelled()
    replies = await asyncio.gather(*(client.run("ECHO", str(number)) for number in range(200)))
    assert replies == [str(number).encode() for number in range(200)]


async def test_more_calls_than_connections_wait_in_line(client: RedisClient) -> None:
    replies = await asyncio.gather(*(client.run("ECHO", str(number)) for number in range(1_000)))
    assert replies == [str(number).encode() for number in range(1_000)]


async def test_a_new_connection_reads_no_file(client: RedisClient) -> None:
    await client.run("PING")
    opened: list[object] = []
    watching = True

    def hear(event: str, given: tuple[object, ...]) -> None:
        if watching and event == "open":
            opened.append(given[0])

    sys.addaudithook(hear)
    await asyncio.gather(*(client.run("ECHO", str(number)) for number in range(64)))
    watching = False
    assert opened == []


async def test_a_script_is_loaded_where_redis_does_not_know_it(
    client: RedisClient, server: Redis
) -> None:
    script = client.script(load("stream_serve.quotas", "enter"))
    assert client.script(load("stream_serve.quotas", "enter")) is script
    assert await client.call(script([key("owner")], ["one", 1, 1_000])) == 1
    assert await client.call(script([key("owner")], ["two", 1, 1_000])) == 0
    server.cli("SCRIPT", "FLUSH")
    assert await client.call(script([key("owner")], ["two", 1, 1_000])) == 0
    server.cli("SCRIPT", "FLUSH")
    pipeline = client.redis.pipeline(transaction=False)
    script.queue(pipeline, [key("owner")], ["one", 1, 1_000])
    script.queue(pipeline, [key("owner")], ["two", 2, 1_000])
    assert await client.call(pipeline.execute()) == [1, 1]


async def test_after_close_nothing_is_connected_and_calls_fail(
    fragile: Redis, patient_client: RedisClient
) -> None:
    def connections() -> int:
        return len(fragile.cli("CLIENT", "LIST").splitlines()) - 1  # the one that asks

    await asyncio.gather(*(patient_client.run("PING") for _ in range(10)))
    assert connections() > 0
    await patient_client.close()
    async with asyncio.timeout(10):
        while connections():
            await asyncio.sleep(0.01)
    with pytest.raises(LogUnavailable, match="closed"):
        await patient_client.run("PING")


@pytest.mark.parametrize("always", [False, True])
async def test_whoever_waits_in_line_when_it_is_closed_connects_no_more(
    always: bool, fragile: Redis, patient_client: RedisClient
) -> None:
    calls = [
        asyncio.create_task(patient_client.run("BLPOP", "nothing", 2 * LONG, always=always))
        for _ in range(100)
    ]
    async with asyncio.timeout(LONG):
        while f"blocked_clients:{1 if always else 64}" not in fragile.cli("INFO", "clients"):
            await asyncio.sleep(0.01)
        await patient_client.close()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {LogUnavailable}
    assert fragile.cli("CLIENT", "LIST").count("cmd=blpop") == 0
