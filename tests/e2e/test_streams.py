"""Streams over HTTP: who may, how much, and what the responses say."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.streams.entry import Follower
from stream_serve.testing import ANSWER
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

KEY: Final = "sk-alice-0123456789"
OTHER: Final = "sk-bob-0123456789ab"
TEXT: Final = {"Content-Type": "text/plain"}
JSON: Final = {"Content-Type": "application/json"}


@pytest.fixture
async def place(service: Service) -> str:
    """The address of streams of a service without keys."""
    return f"{service.url}/v1/stream"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def controls(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str]]:
    """Yield the events of a live response, each with its data."""
    event, data = "", list[str]()
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and event:
            yield event, "\n".join(data)
            event, data = "", []


async def test_streams_are_kept_in_a_file_unless_memory_is_asked_for(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, tmp_path: Any
) -> None:
    for settings, there in (
        ({}, "data/streams.db"),
        ({"database_url": "kept/chat.db"}, "kept/streams.db"),
        ({"streams_url": "own.db"}, "own.db"),
        ({"streams_url": "memory", "database_url": "none/chat.db"}, None),
    ):
        async with Service(upstream_url=upstream.url, **settings) as service:
            assert there is None or not (tmp_path / there).exists()
            await client.put(f"{service.url}/v1/stream/a", headers=TEXT, data=b"x")
        if there is not None:
            assert (tmp_path / there).stat().st_mode & 0o777 == 0o600
            async with (
                Service(upstream_url=upstream.url, **settings) as service,
                client.get(f"{service.url}/v1/stream/a") as response,
            ):
                assert await response.text() == "x"
    assert not (tmp_path / "none" / "streams.db").exists()


async def test_a_stream_of_another_key_is_as_one_that_does_not_exist(
    client: aiohttp.ClientSession,
) -> None:
    async with Service(api_keys=f"{KEY},{OTHER}", streams_url="memory") as service:
        url = f"{service.url}/v1/stream/a"
        assert (await client.put(url, headers={**TEXT, **bearer(KEY)}, data=b"x")).status == 201
        for method in ("GET", "HEAD", "POST", "DELETE", "PUT"):
            assert (await client.request(method, url)).status == 401
        seen: list[Any] = []
        for path in ("a", "nothing"):
            for method in ("GET", "HEAD", "POST", "DELETE"):
                async with client.request(
                    method,
                    f"{service.url}/v1/stream/{path}",
                    headers={**TEXT, **bearer(OTHER)},
                    data=b"x" if method == "POST" else None,
                ) as response:
                    assert response.status == 404
                    seen.append(await response.text())
        assert seen[:4] == seen[4:]
        headers = {**bearer(OTHER), "Stream-Forked-From": "/v1/stream/a"}
        assert (await client.put(f"{service.url}/v1/stream/b", headers=headers)).status == 404
        assert (await client.put(url, headers={**JSON, **bearer(OTHER)})).status == 201
        async with client.get(url, headers=bearer(KEY)) as response:
            assert await response.text() == "x"


async def test_a_page_of_another_site_may_only_what_it_is_allowed(
    client: aiohttp.ClientSession,
) -> None:
    origin = {"Origin": "https://app.example"}
    asked = {
        **origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "stream-ttl,producer-id",
    }
    async with Service(streams_url="memory") as service:
        url = f"{service.url}/v1/stream/a"
        assert (await client.put(url, headers={**TEXT, **origin})).status == 403
        assert (await client.options(url, headers=asked)).status == 403
    async with Service(streams_url="memory", cors_origins="https://app.example") as service:
        url = f"{service.url}/v1/stream/a"
        response = await client.options(url, headers=asked)
        assert response.status == 204
        assert "PUT" in response.headers["Access-Control-Allow-Methods"]
        assert "Stream-TTL" in response.headers["Access-Control-Allow-Headers"]
        for call in (
            client.put(url, headers={**TEXT, **origin}),
            client.get(url, headers=origin),
            client.get(url, headers=origin, params={"offset": "-1", "live": "sse"}),
            client.get(f"{url}/none", headers=origin),
        ):
            async with call as response:
                assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
                assert "Stream-Next-Offset" in response.headers["Access-Control-Expose-Headers"]
                assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_what_goes_beyond_a_bound_is_refused_in_words(client: aiohttp.ClientSession) -> None:
    async with Service(
        streams_url="memory",
        max_append_bytes=10,
        max_stream_bytes=15,
        max_stream_bytes_per_key=20,
        max_streams_per_key=2,
    ) as service:
        url = f"{service.url}/v1/stream/"

        async def refused(method: str, path: str, data: bytes) -> tuple[int, str, str]:
            async with client.request(method, url + path, headers=TEXT, data=data) as response:
                if response.status < 300:
                    return response.status, "", ""
                problem = await response.json()
                return response.status, problem["code"], problem["detail"]

        assert (await refused("PUT", "a", bytes(10)))[0] == 201
        status, code, detail = await refused("POST", "a", bytes(11))
        assert (status, code) == (413, "body_too_large")
        assert "STREAM_SERVE_MAX_APPEND_BYTES" in detail
        status, code, detail = await refused("POST", "a", bytes(6))
        assert (status, code) == (409, "streams_full")
        assert "STREAM_SERVE_MAX_STREAM_BYTES" in detail
        assert (await refused("PUT", "b", bytes(9)))[0] == 201
        status, code, detail = await refused("POST", "b", bytes(2))
        assert (status, code) == (409, "streams_full")
        assert "STREAM_SERVE_MAX_STREAM_BYTES_PER_KEY" in detail
        status, code, detail = await refused("PUT", "c", b"")
        assert (status, code) == (409, "streams_full")
        assert "STREAM_SERVE_MAX_STREAMS_PER_KEY" in detail
        assert (await refused("POST", "b", bytes(1)))[0] == 204


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a//b",
        "a/../b",
        "./a",
        "a/%2e%2e/b",
        "a%00b",
        "a%0ab",
        "__ds/x",
        "x" * 1_025,
        "%ff",
        "%c0%af",
    ],
)
async def test_a_name_that_no_stream_can_have_is_not_there(place: str, path: str) -> None:
    # As it is: a client would make another path of it.
    host, port = place.split("/")[2].split(":")
    for method in (b"PUT", b"GET"):
        reader, writer = await asyncio.open_connection(host, int(port))
        line = b"%b /v1/stream/%b HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        writer.write(line % (method, path.encode()))
        assert (await reader.readline()).split()[1] == b"404"
        writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "nonsense"},
        {"Stream-TTL": "1.5"},
        {"Stream-TTL": "99999999999"},
        {"Stream-Expires-At": "tomorrow"},
        {"Stream-Expires-At": "2030-13-01T00:00:00Z"},
        {"Stream-Expires-At": "9999-12-31T23:59:59-23:59"},
        {"Content-Encoding": "gzip"},
        {"Stream-Fork-Offset": "0"},
        {"Stream-Forked-From": "/elsewhere/a"},
        {"Stream-Forked-From": "/v1/stream/a", "Stream-Fork-Sub-Offset": "x"},
    ],
)
async def test_a_header_that_means_nothing_is_refused(
    client: aiohttp.ClientSession, place: str, headers: dict[str, str]
) -> None:
    async with client.put(f"{place}/a", headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["detail"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_query_of_very_many_parameters_is_refused(
    client: aiohttp.ClientSession, place: str
) -> None:
    await client.put(f"{place}/a", headers=TEXT)
    many = "&".join(["a=1"] * 101)
    for method, name in (("GET", "a"), ("GET", "a/control"), ("POST", "a/stop")):
        async with client.request(method, f"{place}/{name}?{many}") as response:
            assert response.status == 400
            assert "100 parameters" in (await response.json())["detail"]


async def test_a_body_that_is_too_large_is_refused_before_it_ends(
    client: aiohttp.ClientSession,
) -> None:
    async with Service(streams_url="memory", max_append_bytes=10) as service:
        await client.put(f"{service.url}/v1/stream/a", headers=TEXT)
        host, port = service.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/stream/a HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\n"
            b"transfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n"
        )
        line = await asyncio.wait_for(reader.readline(), 10)
        assert line.split()[1] == b"413"
        writer.close()


async def test_what_a_browser_keeps_of_a_stream_it_asks_for_each_time(
    client: aiohttp.ClientSession,
) -> None:
    async with Service(api_keys=f"{KEY},{OTHER}", streams_url="memory") as service:
        url = f"{service.url}/v1/stream/a"
        closed = {**TEXT, **bearer(KEY), "Stream-Closed": "true"}
        await client.put(url, headers=closed, data=b"x")
        for more in ({}, {"offset": "now"}, {"offset": "-1", "live": "long-poll"}):
            async with client.get(url, headers=bearer(KEY), params=more) as response:
                assert response.headers["Cache-Control"] in {"private, no-cache", "no-store"}
                tag = response.headers.get("ETag", "*")
            again = {**bearer(OTHER), "If-None-Match": tag}
            assert (await client.get(url, headers=again, params=more)).status == 404


async def test_readers_of_a_stream_get_each_append_at_once_and_the_end(
    client: aiohttp.ClientSession, place: str
) -> None:
    url = f"{place}/日本"
    await client.put(url, headers=TEXT, data="é".encode()[:1])
    readers = [
        await client.get(url, params={"offset": "-1", "live": "sse"}, headers={"X-N": str(n)})
        for n in range(3)
    ]
    seen = [controls(reader) for reader in readers]
    first = [await anext(one) for one in seen]
    assert all(kind == "control" for kind, _ in first)  # half of a character waits
    await client.post(url, headers=TEXT, data="é".encode()[1:] + b"\n two\r\n\r\nthree")
    for one in seen:
        kind, data = await anext(one)
        assert (kind, data) == ("data", "é\n two\n\nthree")
        kind, data = await anext(one)
        assert json.loads(data)["upToDate"]
    await client.post(url, headers={**TEXT, "Stream-Closed": "true"}, data=b"!")
    for one in seen:
        rest = [event async for event in one]
        assert rest[0] == ("data", "!")
        assert json.loads(rest[1][1])["streamClosed"]
        assert len(rest) == 2


async def test_a_long_poll_ends_with_the_stream_or_its_client(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, waits = Follower.wait, asyncio.Event()

    async def told(follower: Follower, *arguments: Any) -> None:
        waits.set()
        await wait(follower, *arguments)

    monkeypatch.setattr(Follower, "wait", told)
    async with Service(upstream_url=upstream.url, long_poll_timeout=0.1) as service:
        url = f"{service.url}/v1/stream/a"
        await client.put(url, headers=TEXT)
        async with client.get(url, params={"offset": "now", "live": "long-poll"}) as response:
            assert response.status == 204
            assert response.headers["Stream-Up-To-Date"] == "true"
    async with Service(upstream_url=upstream.url) as service:
        url = f"{service.url}/v1/stream/a"
        waits.clear()
        waiting = asyncio.create_task(
            client.get(url, params={"offset": "now", "live": "long-poll"})
        )
        await waits.wait()
        await client.delete(url)
        response = await waiting
        assert response.status in {204, 404}
        if response.status == 204:
            pytest.fail("a stream that is gone is not up to date")


async def test_a_stop_reaches_the_producer_with_its_next_append_and_has_a_receipt(
    client: aiohttp.ClientSession, place: str
) -> None:
    url = f"{place}/job"
    await client.put(url, headers=JSON)
    async with client.post(url, headers=JSON, data=b"1") as response:
        assert "Stream-Stop-Requested" not in response.headers
    async with client.post(f"{url}/stop") as response:
        receipt = await response.json()
        assert receipt["asked"]
        assert receipt["acknowledged"] is None
    async with client.post(url, headers=JSON, data=b"2") as response:
        assert response.headers["Stream-Stop-Requested"] == "true"
    await client.post(url, headers={**JSON, "Stream-Closed": "true"}, data=b"3")
    async with client.post(f"{url}/stop") as response:
        receipt = await response.json()
        assert receipt["acknowledged"] >= receipt["asked"]
        assert receipt["appended"] == f"{6:016d}"
    assert (await client.put(f"{url}/stop", headers=JSON)).status == 405
    assert (await client.post(f"{place}/none/stop")).status == 404


async def test_a_producer_that_is_silent_for_longer_than_its_lease_ends_its_stream(
    client: aiohttp.ClientSession, place: str
) -> None:
    url = f"{place}/leased"
    await client.put(url, headers=JSON)
    await client.post(url, headers={**JSON, "Stream-Lease": "0.1"}, data=b'{"type":"log"}')

    async def is_closed() -> bool:
        return (await client.head(url)).headers.get("Stream-Lost") == "true"

    await until(is_closed)
    async with client.get(url) as response:
        assert (await response.json())[-1]["finishReason"] == "lost"
        assert response.headers["Stream-Closed"] == "true"


async def test_a_run_is_a_stream_of_its_events_that_nobody_else_writes(
    client: aiohttp.ClientSession, service: Service, place: str
) -> None:
    run_id = "run_0123456789abcdef0123"
    url = f"{place}/runs/{run_id}"
    assert (await client.get(url)).status == 404
    body = {"message": "a", "runId": run_id, "model": "answer?tokens=10&interval=0.02"}
    asked = await client.post(f"{service.url}/ai/chat/stream-sse", json=body)
    live = await client.get(url, params={"offset": "-1", "live": "sse"})
    events: list[Any] = []
    last: Any = {}
    async for kind, data in controls(live):
        if kind == "data":
            events += json.loads(data)
        else:
            last = json.loads(data)
    await asked.read()
    assert [one["type"] for one in events] == ["start", *["chunk"] * 10, "end"]
    assert "".join(one.get("content", "") for one in events) == ANSWER[:40]
    assert last["streamClosed"]
    async with client.get(url) as response:
        assert await response.json() == events
        assert response.headers["Stream-Closed"] == "true"
        assert response.headers["Stream-Next-Offset"] == last["streamNextOffset"]
        tag = response.headers["ETag"]
    assert (await client.get(url, headers={"If-None-Match": tag})).status == 304
    async with client.get(url, params={"offset": f"{11:016d}"}) as response:
        assert [one["type"] for one in await response.json()] == ["end"]
    async with client.get(
        url, params={"offset": last["streamNextOffset"], "live": "long-poll"}
    ) as response:
        assert response.status == 204
        assert response.headers["Stream-Closed"] == "true"
    async with client.head(url) as response:
        assert response.headers["Stream-Next-Offset"] == last["streamNextOffset"]
    for method in ("PUT", "POST", "DELETE"):
        assert (await client.request(method, url, headers=JSON)).status == 405
