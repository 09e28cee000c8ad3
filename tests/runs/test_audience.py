"""How many readers other processes' runs have here, told to a process that a test plays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from stream_serve.errors import LogUnavailable, PeerUnreachable
from stream_serve.runs.audience import READERS, Audience
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

RUN, OTHER = "run", "other"


class Played:
    """Peers of which the one that is asked counts readers, while it is `awake` and not `away`."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}
        self.rounds = 0
        self.awake = asyncio.Event()
        self.awake.set()
        self.away = 0

    async def open(
        self, respond: Callable[..., object], *, gone: Callable[[str], None]
    ) -> None: ...

    async def close(self) -> None: ...

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        assert (process, statement) == ("process", READERS)
        if self.away:
            self.away -= 1
            raise LogUnavailable("away")
        await asyncio.sleep(0)
        name, readers = msgspec.json.decode(data, type=tuple[str, int])
        self.counted[name] = readers

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        self.rounds += 1
        try:
            await asyncio.wait_for(self.awake.wait(), timeout)
        except TimeoutError:
            raise PeerUnreachable(process) from None
        await self.tell(process, question, data)
        return b""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no second in a test."""
    monkeypatch.setattr("stream_serve.runs.audience._PAUSE", 0)
    monkeypatch.setattr("stream_serve.runs.audience._REPLY_SECONDS", 0.01)


async def test_a_reader_is_counted_by_the_runs_process_when_it_begins() -> None:
    peers = Played()
    audience = Audience(peers)
    await audience.enter(RUN, "process")
    assert peers.counted == {RUN: 1}
    await audience.enter(RUN, "process")
    assert peers.counted == {RUN: 2}
    await audience.enter(OTHER, None)
    audience.leave(RUN, None)
    assert peers.counted == {RUN: 2}
    await audience.close()


async def test_readers_that_come_at_once_are_told_in_few_rounds_and_in_order() -> None:
    peers = Played()
    audience = Audience(peers)
    names = [f"run-{number % 10}" for number in range(200)]
    await asyncio.gather(*(audience.enter(name, "process") for name in names))
    assert set(peers.counted.values()) == {20}
    assert peers.rounds == 1
    for name in names:
        audience.leave(name, "process")
    await audience.enter(OTHER, "process")
    assert peers.counted == {**dict.fromkeys(names, 0), OTHER: 1}
    await audience.close()


@pytest.mark.usefixtures("quick")
async def test_a_process_that_does_not_reply_holds_no_reader_up_for_long() -> None:
    peers = Played()
    peers.awake.clear()
    audience = Audience(peers)
    await audience.enter(RUN, "process")
    assert peers.counted == {}
    peers.awake.set()
    await audience.enter(RUN, "process")
    assert peers.counted == {RUN: 2}
    await audience.close()


@pytest.mark.usefixtures("quick")
async def test_what_redis_did_not_carry_is_told_again() -> None:
    peers = Played()
    peers.away = 3
    audience = Audience(peers)
    await audience.enter(RUN, "process")

    async def counted() -> bool:
        return peers.counted == {RUN: 1}

    await until(counted)
    await audience.close()


async def test_a_reader_that_is_cut_while_it_enters_is_taken_off_again() -> None:
    peers = Played()
    peers.awake.clear()
    audience = Audience(peers)
    entering = asyncio.create_task(audience.enter(RUN, "process"))
    await asyncio.sleep(0)
    entering.cancel()
    await asyncio.gather(entering, return_exceptions=True)
    audience.leave(RUN, "process")
    peers.awake.set()
    await audience.enter(OTHER, "process")
    assert peers.counted == {RUN: 0, OTHER: 1}
    await audience.close()


async def test_the_end_lets_those_go_on_who_wait() -> None:
    peers = Played()
    peers.awake.clear()
    audience = Audience(peers)
    entering = [asyncio.create_task(audience.enter(RUN, "process")) for _ in range(2)]
    await asyncio.sleep(0)
    entering.append(asyncio.create_task(audience.enter(OTHER, "process")))
    await asyncio.sleep(0)
    await audience.close()
    await asyncio.gather(*entering)
    await audience.enter(RUN, "process")
    assert peers.counted == {}
