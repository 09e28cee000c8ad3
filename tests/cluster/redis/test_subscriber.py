"""What is published on channels is heard, and what may not have been heard is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from stream_serve.cluster.redis.subscriber import Subscriber
from support.waiting import until

if TYPE_CHECKING:
    from stream_serve.cluster.redis.client import RedisClient
    from support.redis import Redis


class Heard:
    """A subscriber, and what it was told: channels with their messages, and None for all."""

    def __init__(self, client: RedisClient) -> None:
        self.told: list[tuple[str, bytes] | None] = []
        self.subscriber = Subscriber(client, heard=self._on_heard, missed=self._on_missed)

    def has(self, *told: tuple[str, bytes] | None) -> bool:
        return set(told) <= set(self.told)

    def _on_heard(self, channel: str, message: bytes) -> None:
        self.told.append((channel, message))

    def _on_missed(self) -> None:
        self.told.append(None)


async def test_messages_of_a_channel_are_heard_as_long_as_it_is_subscribed(
    server: Redis, client: RedisClient
) -> None:
    heard = Heard(client)
    await heard.subscriber.open()
    heard.subscriber.subscribe("é a")
    await until(lambda: heard.told == [None, ("é a", b"")])
    await client.run("PUBLISH", "é a", b"\xff one")
    await client.run("PUBLISH", "b", "nobody's")
    await until(lambda: heard.told[2:] == [("é a", b"\xff one")])
    heard.subscriber.subscribe("b")
    heard.subscriber.unsubscribe("é a")
    await until(lambda: heard.has(("b", b"")))
    await client.run("PUBLISH", "é a", "two")
    await client.run("PUBLISH", "b", "three")
    await until(lambda: heard.has(("b", b"three")))
    assert not heard.has(("é a", b"two"))
    heard.subscriber.unsubscribe("never")
    await heard.subscriber.close()
    await heard.subscriber.close()
    await until(lambda: server.cli("PUBSUB", "CHANNELS") == "")


async def test_many_channels_are_one_connection(server: Redis, client: RedisClient) -> None:
    heard = Heard(client)
    await heard.subscriber.open()
    for number in range(2_000):
        heard.subscriber.subscribe(str(number))
    await until(lambda: len(heard.told) == 2_001)
    await client.run("PUBLISH", "1234", "x")
    await until(lambda: heard.has(("1234", b"x")))
    assert server.cli("CLIENT", "LIST", "TYPE", "pubsub").count("\n") == 0
    await heard.subscriber.close()


async def test_a_broken_connection_is_made_again_and_all_are_told_to_look(
    server: Redis, client: RedisClient
) -> None:
    heard = Heard(client)
    await heard.subscriber.open()
    heard.subscriber.subscribe("a")
    for _ in range(3):
        await until(lambda: heard.told == [None, ("a", b"")])
        heard.told.clear()
        server.cli("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: heard.told == [None, ("a", b"")])
    await client.run("PUBLISH", "a", "x")
    await until(lambda: heard.has(("a", b"x")))
    await heard.subscriber.close()


async def test_a_redis_that_hangs_is_noticed_and_one_that_is_away_is_tried_again(
    fragile: Redis, fragile_client: RedisClient
) -> None:
    heard = Heard(fragile_client)
    await heard.subscriber.open()
    heard.subscriber.subscribe("a")
    await until(lambda: heard.told[-2:] == [None, ("a", b"")])
    heard.told.clear()
    with capture_logs() as logs:
        fragile.freeze()
        await until(lambda: bool(logs))
        assert "did not reply" in logs[0]["error"]
        assert str(fragile.port) not in logs[0]["error"]
    fragile.thaw()
    await until(lambda: heard.told[-2:] == [None, ("a", b"")])
    await asyncio.to_thread(fragile.stop)
    heard.told.clear()
    await asyncio.to_thread(fragile.start)
    await until(lambda: heard.told[-2:] == [None, ("a", b"")])
    await heard.subscriber.close()
