"""Streams in the words of a run: their events, their ends, and a stop that waits."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.web.streams import events
from support.service import Service
from support.stream_events import CLOSED, JSON, Events, follow
from support.waiting import until

if TYPE_CHECKING:
    import aiohttp

KEY: Final = "sk-alice-0123456789"
OTHER: Final = "sk-bob-0123456789ab"
LOG: Final = {"type": "log", "content": "unpacking 日本 😀 \u2028 \r\n"}
PROGRESS: Final = {"type": "progress", "value": 0.4, "content": "half"}
END: Final = {"type": "end", "finishReason": "failed", "exitCode": 3, "error": "no room"}
COMPLETED: Final = {"type": "end", "finishReason": "completed"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def append(client: aiohttp.ClientSession, url: str, *messages: Any, **headers: str) -> None:
    said = json.dumps(list(messages)) if messages else None
    async with client.post(url, headers={**JSON, **headers}, data=said) as response:
        assert response.status in {200, 204}, await response.text()


async def make(client: aiohttp.ClientSession, service: Service, name: str, *messages: Any) -> str:
    """Make a stream; return its address."""
    url = f"{service.url}/v1/stream/{name}"
    assert (await client.put(url, headers=JSON)).status == 201
    if messages:
        await append(client, url, *messages)
    return url


@pytest.mark.parametrize("name", ["job-42", "jobs/ü/4 2", "a/events"])
async def test_each_message_is_an_event_and_its_id_is_where_a_reader_goes_on(
    client: aiohttp.ClientSession, service: Service, name: str
) -> None:
    odd = [None, 0, "text", [1], {"a": {"b": "\n"}}]
    url = await make(client, service, name, LOG, odd, *odd)
    wanted = [LOG, odd, *odd]
    async with follow(client, service.url, name) as reader:
        assert reader.response.headers["X-Heartbeat-Interval"]
        assert reader.response.headers["Content-Type"].startswith("text/event-stream")
        seen = [await reader.next() for _ in wanted]
        await append(client, url, PROGRESS)
        seen.append(await reader.next())
        await append(client, url, END, **CLOSED)
        seen += await reader.rest()
    found = [one for one in seen if one is not None]
    assert [event for _, event in found] == [*wanted, PROGRESS, END]
    for at, (number, _) in enumerate(found[:-1], 1):
        async with follow(client, service.url, name, after=number) as reader:
            assert await reader.rest() == found[at:]
        async with client.get(url, params={"offset": number}) as response:
            assert await response.json() == [event for _, event in found[at:]]
    last = {"after": str(int(found[-1][0]))}
    async with client.get(f"{service.url}/ai/streams/{name}/events", params=last) as response:
        assert response.status == 204


async def test_a_stream_that_is_closed_without_a_typed_end_has_ended_completed(
    client: aiohttp.ClientSession, service: Service
) -> None:
    for name, messages, together in (
        ("empty", [], False),
        ("after", [LOG], False),
        ("with", [LOG], True),
        # What only looks like an end is a message as any other.
        ("alike", [{"type": "end"}], True),
        ("before", [END, LOG], False),
    ):
        url = await make(client, service, name, *messages)
        async with follow(client, service.url, name) as live:
            for _ in messages:
                await live.next()
            if together:
                await append(client, url, LOG, **CLOSED)
                assert (await live.next() or ("", None))[1] == LOG
            else:
                await append(client, url, **CLOSED)
            ((number, event),) = await live.rest()
        assert event == COMPLETED
        async with follow(client, service.url, name) as late:
            *before, last = await late.rest()
        assert last == (number, event)
        if before:
            async with follow(client, service.url, name, after=before[-1][0]) as behind:
                assert await behind.rest() == [last]
        address = f"{service.url}/ai/streams/{name}/events"
        async with client.get(address, headers={"Last-Event-ID": number}) as response:
            assert response.status == 204


async def test_a_typed_end_is_the_end_also_when_the_stream_is_closed_later(
    client: aiohttp.ClientSession, service: Service
) -> None:
    url = await make(client, service, "late", LOG, END)
    async with follow(client, service.url, "late") as live:
        assert (await live.next() or ("", None))[1] == LOG
        number, event = await live.next() or ("", None)
        assert event == END
        async with follow(client, service.url, "late", after=number) as behind:
            await append(client, url, **CLOSED)
            assert await live.rest() == []
            assert await behind.rest() == []


async def test_the_head_of_the_events_says_how_far_the_stream_is(
    client: aiohttp.ClientSession, service: Service
) -> None:
    await make(client, service, "far", LOG, LOG)
    address = f"{service.url}/ai/streams/far/events"
    async with follow(client, service.url, "far") as reader, client.get(address) as response:
        await reader.next()
        number, _ = await reader.next() or ("", None)
        assert response.headers["Stream-Next-Offset"] == number


async def test_a_last_message_without_the_type_of_an_end_is_none(
    client: aiohttp.ClientSession, service: Service
) -> None:
    said = {"finishReason": "completed", "of": "a run that was copied"}
    await append(client, await make(client, service, "copied"), said, **CLOSED)
    async with follow(client, service.url, "copied") as reader:
        assert [event for _, event in await reader.rest()] == [said, COMPLETED]


async def test_a_producer_that_is_gone_ends_its_events_as_lost(
    client: aiohttp.ClientSession, service: Service
) -> None:
    url = await make(client, service, "leased")
    async with follow(client, service.url, "leased") as reader:
        await append(client, url, LOG, **{"Stream-Lease": "0.1"})
        assert (await reader.next() or ("", None))[1] == LOG
        ((number, event),) = await reader.rest()
    assert event["finishReason"] == "lost"
    address = f"{service.url}/ai/streams/leased/events"
    assert (await client.get(address, headers={"Last-Event-ID": number})).status == 204


async def test_a_stream_that_is_removed_while_it_is_read_ends_with_an_error(
    client: aiohttp.ClientSession, service: Service
) -> None:
    url = await make(client, service, "gone", LOG)
    forked = await make(client, service, "forked", LOG)
    fork = {**JSON, "Stream-Forked-From": "/v1/stream/forked"}
    assert (await client.put(f"{service.url}/v1/stream/fork", headers=fork)).status == 201
    for name, address in (("gone", url), ("forked", forked)):
        async with follow(client, service.url, name) as reader:
            assert await reader.next()
            assert (await client.delete(address)).status == 204
            ((number, event),) = await reader.rest()
        assert number == ""
        assert (event["type"], event["code"]) == ("error", "stream_not_found")
        assert event["retryable"] is False


async def test_what_cannot_be_read_as_events_is_refused_before_the_stream(
    client: aiohttp.ClientSession, service: Service
) -> None:
    await client.put(f"{service.url}/v1/stream/text", headers={"Content-Type": "text/plain"})
    await make(client, service, "short", LOG, LOG)
    for name, after, status, code in (
        ("none", "", 404, "stream_not_found"),
        ("text", "", 409, "stream_conflict"),
        ("short", "1", 422, "invalid_fields"),
        ("short", "9" * 16, 422, "invalid_fields"),
        ("short", "9" * 17, 422, "invalid_fields"),
        ("short", "x", 422, "invalid_fields"),
        ("a/../b", "", 404, "stream_not_found"),
    ):
        address = f"{service.url}/ai/streams/{name.replace('..', '%2e%2e')}/events"
        async with client.get(address, params={"after": after}) as response:
            assert (response.status, (await response.json())["code"]) == (status, code), name


async def test_readers_of_events_are_those_of_the_key_and_of_allowed_pages(
    client: aiohttp.ClientSession,
) -> None:
    page = {"Origin": "https://app.example"}
    async with Service(
        api_keys=f"{KEY},{OTHER}", streams_url="memory", cors_origins="https://app.example"
    ) as service:
        address = f"{service.url}/ai/streams/mine/events"
        stop = f"{service.url}/ai/streams/mine/stop"
        url = f"{service.url}/v1/stream/mine"
        await client.put(url, headers={**JSON, **bearer(KEY)}, data=b"1")
        for call in (client.get(address), client.post(stop)):
            assert (await call).status == 401
        for call in (
            client.get(address, headers=bearer(OTHER)),
            client.post(stop, headers=bearer(OTHER)),
        ):
            assert (await call).status == 404
        async with client.get(address, headers={**bearer(KEY), **page}) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
            assert "X-Heartbeat-Interval" in response.headers["Access-Control-Expose-Headers"]
        async with client.get(
            address, headers={**bearer(KEY), "Origin": "https://evil.example"}
        ) as response:
            assert response.status == 403


async def test_a_silent_stream_has_heartbeats(client: aiohttp.ClientSession) -> None:
    async with Service(streams_url="memory", heartbeat_interval=0.05) as service:
        url = await make(client, service, "silent")
        async with follow(client, service.url, "silent") as reader:
            waiting = asyncio.create_task(reader.next())
            await until(lambda: reader.comments > 2)
            await append(client, url, LOG)
            assert (await waiting or ("", None))[1] == LOG


async def test_a_late_reader_of_a_long_stream_gets_all_of_it_and_goes_on_live(
    client: aiohttp.ClientSession, service: Service
) -> None:
    messages = [{"type": "log", "content": f"{number} " + "x" * 1_000} for number in range(900)]
    url = await make(client, service, "long", *messages)
    async with follow(client, service.url, "long") as reader:
        for message in messages:
            assert (await reader.next() or ("", None))[1] == message
        await append(client, url, END, **CLOSED)
        assert [event for _, event in await reader.rest()] == [END]


async def test_an_append_becomes_events_once_for_all_its_readers(
    client: aiohttp.ClientSession, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    frames = events.frames

    def counted(data: bytes, end: int) -> bytes:
        made.append(data)
        return frames(data, end)

    url = await make(client, service, "shared")
    readers = [
        Events(await client.get(f"{service.url}/ai/streams/shared/events")) for _ in range(5)
    ]
    monkeypatch.setattr(events, "frames", counted)
    for number in range(3):
        await append(client, url, number)
        assert {await reader.next() for reader in readers} == {(f"{2 * number + 2:016d}", number)}
    for reader in readers:
        reader.response.close()
    assert made == [b"0\n", b"1\n", b"2\n"]


async def test_a_stop_waits_for_the_producer_as_long_as_it_is_asked_to(
    client: aiohttp.ClientSession, service: Service
) -> None:
    for prefix in ("/v1/stream/", "/ai/streams/"):
        name = f"job{len(prefix)}"
        url = await make(client, service, name, LOG)
        stop = f"{service.url}{prefix}{name}/stop"
        async with client.post(stop, params={"wait": "0.01"}) as response:
            assert (await response.json())["acknowledged"] is None
        waiting = asyncio.create_task(client.post(stop, params={"wait": "60"}))
        async with client.get(f"{url}/control", params={"live": "sse"}) as control:
            heard = await Events(control).next()
            assert heard is not None
            assert heard[1]["stopRequested"]
        await append(client, url, **{"Stream-Stop-Acknowledged": "true"})
        receipt = await (await waiting).json()
        assert receipt["acknowledged"] >= receipt["asked"]
        assert int(receipt["appended"]) > 0
        for wrong in ("61", "-1", "x", "1e1", ""):
            async with client.post(stop, params={"wait": wrong}) as response:
                assert (response.status, (await response.json())["code"]) == (422, "invalid_fields")


async def test_a_stop_that_waits_ends_with_the_stream_however_that_ends(
    client: aiohttp.ClientSession, service: Service
) -> None:
    lease = {"Stream-Lease": "0.1"}
    url = await make(client, service, "lost")
    await append(client, url, LOG, **lease)
    async with client.post(f"{url}/stop", params={"wait": "60"}) as response:
        assert (await response.json())["acknowledged"] is None
    url = await make(client, service, "deleted")
    waiting = asyncio.create_task(client.post(f"{url}/stop", params={"wait": "60"}))

    async def is_asked() -> bool:
        return "Stream-Stop-Requested" in (await client.head(url)).headers

    await until(is_asked)
    await client.delete(url)
    assert (await waiting).status == 404


async def test_a_producer_hears_of_a_stop_without_an_append_and_of_every_end(
    client: aiohttp.ClientSession, service: Service
) -> None:
    url = await make(client, service, "heard")
    async with client.get(f"{url}/control") as response:
        first = await response.json()
    assert not any(first.values())
    async with client.get(f"{url}/control", params={"live": "sse"}) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        control = Events(response)
        assert await control.next() == ("", first)
        await append(client, url, LOG)  # is not told
        await client.post(f"{url}/stop")
        assert await control.next() == ("", {**first, "stopRequested": True})
        await append(client, url, LOG, **{"Stream-Stop-Acknowledged": "true"})
        asked = {**first, "stopRequested": True, "stopAcknowledged": True}
        assert await control.next() == ("", asked)
        await append(client, url, **CLOSED)
        assert await control.rest() == [("", {**asked, "streamClosed": True})]
    url = await make(client, service, "unheard")
    async with client.get(f"{url}/control", params={"live": "sse"}) as response:
        control = Events(response)
        await control.next()
        await append(client, url, LOG, **{"Stream-Lease": "0.1"})
        ((_, last),) = await control.rest()
        assert last["streamLost"]
        assert last["streamClosed"]
    url = await make(client, service, "away")
    async with client.get(f"{url}/control", params={"live": "sse"}) as response:
        control = Events(response)
        await control.next()
        await client.delete(url)
        ((_, last),) = await control.rest()
        assert last["streamDeleted"]


async def test_the_name_of_control_is_taken(
    client: aiohttp.ClientSession, service: Service
) -> None:
    url = await make(client, service, "a")
    assert (await client.put(f"{url}/control", headers=JSON)).status == 405
    assert (await client.get(f"{url}/control", params={"live": "long-poll"})).status == 400
    assert (await client.get(f"{service.url}/v1/stream/none/control")).status == 404
