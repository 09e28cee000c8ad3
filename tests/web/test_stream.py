"""A response that streams owns its reader: whatever becomes of it, it lets go."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.cluster.local import LocalPeers
from stream_serve.errors import LogLost
from stream_serve.eventlog.memory import MemoryEventLog
from stream_serve.quotas.local import LocalQuotas
from stream_serve.runs.service import Runs
from stream_serve.runs.spec import RunSpec
from stream_serve.web.dialects import failures
from stream_serve.web.stream import EventStream, Streaming
from support.limits import limits
from support.upstream import StepProducer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from stream_serve.producers.base import Emit, Finish
    from stream_serve.runs.subscription import Subscription


GOING = {"starting", "waiting", "streaming"}


@pytest.fixture
async def runs() -> AsyncIterator[Runs]:
    """Runs whose answers do not end by themselves."""
    running = Runs(MemoryEventLog(), LocalPeers(), LocalQuotas(), limits())
    yield running
    await running.close()


async def start(runs: Runs) -> Subscription:
    return await runs.start(RunSpec.of(StepProducer(batches=10_000)), owner=None)


async def left(runs: Runs, run_id: str) -> bool:
    """Say that the run has no reader any more, after it has ended for that reason."""
    if (await runs.state(run_id, owner=None)).readers:
        return False
    while (state := await runs.state(run_id, owner=None)).state in GOING:
        await asyncio.sleep(0)
    return state.state == "stopped"


@pytest.mark.parametrize(
    "headers", [{"X": "\u4f60"}, {"\u4f60": "x"}, {"X": None}], ids=["value", "name", "none"]
)
async def test_a_response_that_cannot_be_made_lets_go_of_its_reader(
    runs: Runs, headers: Any
) -> None:
    subscription = await start(runs)
    with pytest.raises((UnicodeEncodeError, AttributeError)):
        EventStream(subscription, heartbeat=10, headers=headers)
    assert await left(runs, subscription.run_id)


async def test_a_response_whose_id_is_no_header_lets_go_of_its_reader(runs: Runs) -> None:
    subscription = await start(runs)
    run_id, subscription.run_id = subscription.run_id, "\u4f60"
    with pytest.raises(UnicodeEncodeError):
        EventStream(subscription, heartbeat=10, headers={})
    assert await left(runs, run_id)


@pytest.mark.parametrize("layered", [True, False])
async def test_a_response_that_the_server_does_not_send_lets_go_of_its_reader(
    runs: Runs, *, layered: bool
) -> None:
    subscription = await start(runs)
    stream = EventStream(subscription, heartbeat=10, headers={})

    async def send(message: Any) -> None:
        raise RuntimeError(message["type"])

    with pytest.raises(RuntimeError, match=r"http\.response\.start"):
        await (Streaming(stream) if layered else stream)(scope(runs), receive, send)
    assert await left(runs, subscription.run_id)


async def test_a_response_that_is_never_streamed_lets_go_of_its_reader(runs: Runs) -> None:
    subscriptions: list[Subscription] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            subscriptions.append(await start(runs))
            await EventStream(subscriptions[-1], heartbeat=10, headers={})(scope, receive, send)
        raise ZeroDivisionError

    async def send(message: Any) -> None:
        raise AssertionError(message)

    with pytest.raises(ZeroDivisionError):
        await Streaming(app)(scope(runs), receive, send)
    assert [await left(runs, subscription.run_id) for subscription in subscriptions] == [True, True]


class SilentProducer(StepProducer):
    """Says nothing until it is cancelled."""

    async def produce(self, emit: Emit) -> Finish:
        del emit
        self.begun = True
        return await asyncio.Future()


class Lost:
    """A reader whose log is gone as soon as it has nothing more to read."""

    cursor = 0
    over = False

    def there(self) -> bytes:
        return b""

    async def read(self, write: object = None) -> bytes | None:
        raise LogLost(str(write))

    def nudge(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("code", ["stream_moved", "events_lost"])
async def test_a_reader_that_is_moved_or_lost_before_the_head_is_told_by_a_status_to_ask_again(
    runs: Runs, code: str
) -> None:
    subscription = await runs.start(RunSpec.of(SilentProducer()), owner=None)
    if code == "events_lost":
        subscription.reader.close()
        subscription.reader = Lost()
    stream = EventStream(
        subscription, heartbeat=10, headers={"X": "1"}, refusal=failures.response_of
    )
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def connected() -> Any:
        return await asyncio.Future()

    streaming = asyncio.create_task(stream.stream(scope(runs), connected, send))
    if code == "stream_moved":
        await asyncio.sleep(0)
        assert sent == [], "the head waits"
        subscription.redirect()
    await streaming
    head, body = sent
    headers = dict(head["headers"])
    assert (head["status"], headers[b"content-type"]) == (503, b"application/json")
    assert (headers[b"x-should-retry"], headers[b"x"]) == (b"true", b"1")
    assert json.loads(body["body"])["error"]["code"] == code
    assert await left(runs, subscription.run_id)


def scope(runs: Runs) -> dict[str, Any]:
    return {"type": "http", "state": {"runs": runs}}


async def receive() -> Any:
    raise AssertionError("the client says nothing")
