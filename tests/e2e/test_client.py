"""The Python clients against the real service, through a network that fails in every way."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.client import Chunk, Client, End, Patience, Start
from stream_serve.errors import (
    Full,
    InvalidFields,
    RequestError,
    RunConflict,
    RunNotFound,
    ServiceProtocol,
    ServiceUnreachable,
    Unauthorized,
    UpstreamDisconnected,
)
from stream_serve.testing import ANSWER, ScriptedUpstream, unused_port
from support.clients_of_ours import HASTE, Either, opened
from support.proxy import Proxy
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from stream_serve.events.types import Event

KINDS: Final = ("sync", "async")
BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 4\r\n"
    b"Connection: close\r\n\r\nbusy"
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def proxy(service: Service) -> AsyncIterator[Proxy]:
    async with Proxy(service.url) as running:
        yield running


@pytest.fixture
async def ours(kind: str, proxy: Proxy) -> AsyncIterator[Either]:
    """A client of each kind that reaches the service through the proxy."""
    async with opened(kind, proxy.url) as either:
        yield either


def said(events: Sequence[Event]) -> str:
    return "".join(event.content for event in events if isinstance(event, Chunk))


async def test_an_answer_is_typed_events_from_start_to_end(
    ours: Either, upstream: ScriptedUpstream
) -> None:
    reading = ours.chat(system_prompt="Be brief.", max_tokens=500)
    events = await reading.rest()
    assert isinstance(events[0], Start)
    assert events[0].run_id == reading.answer.run_id
    assert isinstance(events[-1], End)
    assert (said(events), events[-1].finish_reason) == (ANSWER, "stop")
    assert reading.answer.cursor == len(events)
    body: Any = upstream.requests[0].body
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_a_cut_after_every_event_loses_and_doubles_nothing_and_is_one_generation(
    ours: Either, proxy: Proxy, upstream: ScriptedUpstream
) -> None:
    whole = await ours.chat(model="thinking").rest()
    proxy.events = 1
    events = await ours.chat(model="thinking").rest()
    assert [type(event) for event in events] == [type(event) for event in whole]
    assert said(events) == said(whole) != ""
    assert len(events) > 20
    assert len(upstream.requests) == 2


async def test_a_live_answer_goes_on_after_every_cut(
    ours: Either, proxy: Proxy, upstream: ScriptedUpstream
) -> None:
    reading = ours.chat(model="answer?tokens=60&interval=0.005")
    events: list[Event] = []
    while (event := await reading.next()) is not None:
        events.append(event)
        if len(events) % 5 == 0:
            proxy.cut()
    whole = await ours.chat(model="answer?tokens=60").rest()
    assert said(events) == said(whole) != ""
    assert len(upstream.requests) == 2


async def test_a_start_whose_answer_is_lost_joins_its_run(
    ours: Either, proxy: Proxy, upstream: ScriptedUpstream
) -> None:
    proxy.events = 0
    reading = asyncio.create_task(ours.chat().rest())
    await until(lambda: len(proxy.requests) > 2)
    proxy.events = None
    assert said(await reading) == ANSWER
    assert all(one.startswith(b"POST /ai/chat") for one in proxy.requests[:2])
    assert len(upstream.requests) == 1


async def test_a_half_open_connection_is_found_dead_by_its_silence(
    kind: str, upstream: ScriptedUpstream
) -> None:
    async with (
        Service(upstream_url=upstream.url, heartbeat_interval=0.2) as service,
        Proxy(service.url) as proxy,
        opened(kind, proxy.url, heartbeat=0.2) as ours,
    ):
        reading = ours.chat(model="answer?tokens=40&interval=0.02")
        events = [await reading.next() for _ in range(5)]
        proxy.freeze("POST")
        events += await reading.rest()
    read = [event for event in events if event is not None]
    assert said(read).startswith("".join(ANSWER[:8]))
    assert isinstance(read[-1], End)
    assert read[-1].usage.completion_tokens == 40
    assert len(upstream.requests) == 1


async def test_heartbeats_are_signs_of_life(kind: str, upstream: ScriptedUpstream) -> None:
    async with (
        Service(upstream_url=upstream.url, heartbeat_interval=0.1) as service,
        Proxy(service.url) as proxy,
        opened(kind, proxy.url, heartbeat=0.4) as ours,
    ):
        reading = ours.chat(model="answer?tokens=2&interval=1.5")
        assert len(await reading.rest()) == 4
        assert len(proxy.requests) == 1


async def test_a_busy_server_is_asked_again_and_nothing_is_started_twice(
    ours: Either, proxy: Proxy, upstream: ScriptedUpstream
) -> None:
    proxy.answer = BUSY
    reading = asyncio.create_task(ours.chat().rest())
    await until(lambda: len(proxy.requests) >= 3)
    proxy.answer = None
    assert said(await reading) == ANSWER
    assert len(upstream.requests) == 1


async def test_a_service_that_stays_away_is_an_error_of_its_own(kind: str) -> None:
    async with opened(kind, f"http://127.0.0.1:{unused_port()}") as ours:
        with pytest.raises(ServiceUnreachable, match="127"):
            await ours.chat().rest()


async def test_a_restarted_service_has_lost_the_run_and_says_so(
    kind: str, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url) as first, Proxy(first.url) as proxy:
        async with Service(upstream_url=upstream.url) as second, opened(kind, proxy.url) as ours:
            reading = ours.chat(model="hang-mid")
            assert isinstance(await reading.next(), Start)
            proxy.redirect(second.url)
            proxy.cut()
            with pytest.raises(RunNotFound):
                await reading.rest()
        assert len(upstream.requests) == 1


async def test_a_stop_while_reading_has_a_receipt_and_the_reader_the_end(
    ours: Either, proxy: Proxy, upstream: ScriptedUpstream
) -> None:
    reading = ours.chat(model="hang-mid")
    events = [await reading.next(), await reading.next()]
    rest = asyncio.create_task(reading.rest())
    receipt = await reading.stop()
    assert (receipt.outcome, receipt.upstream_closed) == ("stopped", True)
    events += await rest
    assert isinstance(events[-1], End)
    assert events[-1].finish_reason == "stopped"
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    assert [one.split(b" ")[0] for one in proxy.requests] == [b"POST", b"POST", b"GET"]


async def test_a_stop_between_two_events_is_followed_by_the_end(ours: Either) -> None:
    reading = ours.chat(model="hang-mid")
    await reading.next()
    assert (await reading.stop()).outcome == "stopped"
    assert (await reading.stop()).outcome == "stopped"
    last = (await reading.rest())[-1]
    assert isinstance(last, End)
    assert last.finish_reason == "stopped"


async def test_a_stop_before_the_start_prevents_it(
    ours: Either, upstream: ScriptedUpstream
) -> None:
    reading = ours.chat()
    assert (await reading.stop()).outcome == "not_started"
    with pytest.raises(RequestError) as caught:
        await reading.next()
    assert caught.value.code == "stopped_before_start"
    assert upstream.requests == []


@pytest.mark.parametrize("on_disconnect", ["stop", "continue"])
async def test_a_closed_answer_lets_go_as_a_closed_connection_does(
    ours: Either, service: Service, upstream: ScriptedUpstream, on_disconnect: str
) -> None:
    reading = ours.chat(model="hang-mid", on_disconnect=on_disconnect)
    while not isinstance(await reading.next(), Chunk):  # so that the provider has the request
        pass
    await reading.close()
    assert await reading.next() is None
    run = reading.answer.run_id
    if on_disconnect == "stop":
        await upstream.wait_for(lambda record: record.closed_by == "peer")
    else:

        async def unread() -> bool:
            state = await service.runs.state(run, owner=None)
            return state.readers == 0 and state.state in {"waiting", "streaming"}

        await until(unread)
        assert (await ours.follow(run).stop()).outcome == "stopped"


async def test_a_run_is_followed_from_any_cursor_and_read_out_is_no_event(ours: Either) -> None:
    reading = ours.chat()
    events = await reading.rest()
    run = reading.answer.run_id
    for after in range(len(events)):
        assert await ours.follow(run, after).rest() == events[after:]
    assert await ours.follow(run, len(events)).rest() == []
    assert await ours.chat(run_id=run).rest() == events


async def test_a_failure_of_the_provider_is_raised_after_the_text(ours: Either) -> None:
    reading = ours.chat(model="reset-mid")
    assert isinstance(await reading.next(), Start)
    assert isinstance(await reading.next(), Chunk)
    with pytest.raises(UpstreamDisconnected) as caught:
        await reading.rest()
    assert (caught.value.code, caught.value.retryable) == ("upstream_disconnected", True)


async def test_a_refusal_is_an_error_of_its_class(ours: Either, proxy: Proxy) -> None:
    with pytest.raises(InvalidFields) as caught:
        await ours.chat(temperature=9).rest()
    assert [field for field, _ in caught.value.fields] == ["temperature"]
    await ours.chat(run_id="a" * 16).rest()
    with pytest.raises(RunConflict):
        await ours.chat("another", run_id="a" * 16).rest()
    with pytest.raises(RunNotFound):
        await ours.follow("b" * 22).rest()
    proxy.answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"
    with pytest.raises(ServiceProtocol, match="text/html"):
        await ours.chat().rest()


async def test_a_key_goes_with_every_request(kind: str, upstream: ScriptedUpstream) -> None:
    key = "sk-caller-0123456789"
    async with Service(upstream_url=upstream.url, api_keys=key) as service:
        async with opened(kind, service.url) as nobody:
            with pytest.raises(Unauthorized):
                await nobody.chat().rest()
        async with opened(kind, service.url, key=key) as ours:
            reading = ours.chat(model="hang-mid")
            await reading.next()
            assert (await reading.stop()).outcome == "stopped"


async def test_a_full_service_is_waited_for_as_long_as_it_says(
    kind: str, upstream: ScriptedUpstream
) -> None:
    patience = Patience(first=0.01, longest_asked=1)
    async with Service(upstream_url=upstream.url, max_runs=1) as service:
        async with opened(kind, service.url, patience=patience) as ours:
            first = ours.chat(model="hang-mid")
            await first.next()
            with pytest.raises(Full) as caught:
                await ours.chat().rest()
            assert caught.value.retry_after == 2
        async with opened(kind, service.url) as ours:
            second = asyncio.create_task(ours.chat().rest())
            await ours.follow(first.answer.run_id).stop()
            assert said(await second) == ANSWER


async def test_a_cancelled_reader_leaves_nothing_behind(
    proxy: Proxy, upstream: ScriptedUpstream
) -> None:
    async with opened("async", proxy.url) as ours:
        before = len(asyncio.all_tasks())
        for steps in range(12):
            reading = ours.chat(model="hang-mid", on_disconnect="stop")
            task = asyncio.create_task(reading.rest())
            for _ in range(steps * 20):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await until(lambda: upstream.open_connections == 0)
        await until(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_dropped_answer_of_the_plain_client_lets_go_at_once(
    proxy: Proxy, upstream: ScriptedUpstream
) -> None:
    def ask() -> None:
        with Client(proxy.url, patience=HASTE) as client:
            for event in client.chat("hi", model="hang-mid", on_disconnect="stop"):
                if isinstance(event, Chunk):
                    break
            gone.wait(20)

    gone = threading.Event()
    gc.disable()
    asking = asyncio.create_task(asyncio.to_thread(ask))
    try:
        await upstream.wait_for(lambda record: record.closed_by == "peer")
    finally:
        gone.set()
        gc.enable()
        await asking
