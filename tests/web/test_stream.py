"""A response that streams owns its reader: whatever becomes of it, it lets go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.cluster.local import NoPeers
from stream_serve.eventlog.memory import MemoryStreamLog
from stream_serve.runs.run import Order
from stream_serve.runs.service import Runs
from stream_serve.web.stream import EventStream, Streaming
from support.limits import limits
from support.upstream import REQUEST, StepUpstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

    from stream_serve.runs.subscription import Attachment


@pytest.fixture
async def runs() -> AsyncIterator[Runs]:
    """Runs whose answers do not end by themselves."""
    running = Runs(StepUpstream(batches=10_000), MemoryStreamLog(), NoPeers(), limits())
    yield running
    await running.close()


async def start(runs: Runs) -> Attachment:
    return await runs.start(Order.of(REQUEST), owner=None)


async def left(attachment: Attachment) -> bool:
    """Say that the run has no reader any more, after it has ended for that reason."""
    assert attachment.run is not None
    if attachment.run.readers:
        return False
    await attachment.run.over
    return attachment.run.state.value == "stopped"


@pytest.mark.parametrize(
    "headers", [{"X": "\u4f60"}, {"\u4f60": "x"}, {"X": None}], ids=["value", "name", "none"]
)
async def test_a_response_that_cannot_be_made_lets_go_of_its_reader(
    runs: Runs, headers: Any
) -> None:
    attachment = await start(runs)
    with pytest.raises((UnicodeEncodeError, AttributeError)):
        EventStream(attachment, heartbeat=10, headers=headers)
    assert await left(attachment)


async def test_a_response_whose_id_is_no_header_lets_go_of_its_reader(runs: Runs) -> None:
    attachment = await start(runs)
    attachment.run_id = "\u4f60"
    with pytest.raises(UnicodeEncodeError):
        EventStream(attachment, heartbeat=10, headers={})
    assert await left(attachment)


@pytest.mark.parametrize("layered", [True, False])
async def test_a_response_that_the_server_does_not_send_lets_go_of_its_reader(
    runs: Runs, *, layered: bool
) -> None:
    attachment = await start(runs)
    stream = EventStream(attachment, heartbeat=10, headers={})

    async def send(message: Any) -> None:
        raise RuntimeError(message["type"])

    with pytest.raises(RuntimeError, match=r"http\.response\.start"):
        await (Streaming(stream) if layered else stream)(scope(runs), receive, send)
    assert await left(attachment)


async def test_a_response_that_is_never_streamed_lets_go_of_its_reader(runs: Runs) -> None:
    attachments: list[Attachment] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            attachments.append(await start(runs))
            await EventStream(attachments[-1], heartbeat=10, headers={})(scope, receive, send)
        raise ZeroDivisionError

    async def send(message: Any) -> None:
        raise AssertionError(message)

    with pytest.raises(ZeroDivisionError):
        await Streaming(app)(scope(runs), receive, send)
    assert [await left(attachment) for attachment in attachments] == [True, True]


def scope(runs: Runs) -> dict[str, Any]:
    return {"type": "http", "state": {"runs": runs}}


async def receive() -> Any:
    raise AssertionError("the client says nothing")
