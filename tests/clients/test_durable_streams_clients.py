"""The official clients of Durable Streams, in Python and in Node, on each kind of store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx2
import pytest

from clients.conftest import KEY
from stream_serve.testing import ANSWER
from support.clients import Program, node_program, python_program
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from stream_serve.testing import ScriptedUpstream

MOST: Final = 10_000
RUN: Final = "chat-0123456789abcdef"
LIVE: Final = ["long-poll", "sse"]
HEADERS: Final = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module", params=["python", "node"])
def client(request: pytest.FixtureRequest) -> Iterator[Program]:
    """The client of one language."""
    python = request.param == "python"
    made = python_program("durable_streams_client") if python else node_program("durable_streams")
    yield made
    made.close()


@pytest.fixture(scope="module")
def javascript() -> Iterator[Program]:
    """The client that has idempotent producers."""
    made = node_program("durable_streams")
    yield made
    made.close()


@pytest.fixture(params=["memory", "sqlite"])
async def service(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path: Path
) -> AsyncIterator[Service]:
    """The service with keys, and streams in one kind of store."""
    where = "memory" if request.param == "memory" else str(tmp_path / "streams.db")
    settings: dict[str, Any] = {"upstream_url": upstream.url, "api_keys": KEY}
    async with Service(
        **settings, streams_url=where, max_append_bytes=MOST, long_poll_timeout=3
    ) as running:
        yield running


def words(service: Service) -> dict[str, Any]:
    """What every case of a client is told."""
    return {"url": f"{service.url}/v1/stream/jobs/42", "key": KEY}


async def test_what_is_appended_is_read_from_the_beginning(
    client: Program, service: Service
) -> None:
    assert await client.run("write_and_read", **words(service)) == {
        "messages": [{"number": 0}, {"number": 1}, [2, "二"]],
        "at_end": True,
        "content_type": "application/json",
        "data": [*range(256), *b"end"],
    }


async def test_what_a_client_appends_at_once_is_there_once_each(
    client: Program, service: Service
) -> None:
    assert await client.run("write_at_once", **words(service)) == list(range(50))


@pytest.mark.parametrize("live", LIVE)
async def test_a_reader_gets_each_append_live_and_the_end(
    client: Program, service: Service, live: str
) -> None:
    seen = await client.run("follow", live=live, **words(service))
    assert seen == [0, 1, 2, 3, "last"]


async def test_a_text_that_is_cut_inside_characters_is_whole(
    client: Program, service: Service
) -> None:
    assert await client.run("follow_text", **words(service)) == "杭州 ✓last"


async def test_a_reader_goes_on_from_its_offset_in_each_mode(
    client: Program, service: Service
) -> None:
    found = await client.run("resume", **words(service))
    assert found["first"] == [{"number": 0}]
    assert found["rest"] == {mode: [1, "last"] for mode in ["false", *LIVE]}


async def test_a_fork_has_the_beginning_and_goes_its_own_way(
    client: Program, service: Service
) -> None:
    found = await client.run("fork", path="/v1/stream/jobs/42", **words(service))
    assert found == [[0, 1], [0, "fork"]]


async def test_a_deleted_stream_is_not_found(client: Program, service: Service) -> None:
    status, _ = await client.run("remove", **words(service))
    assert status == 404


async def test_each_refusal_is_an_error_with_its_status(client: Program, service: Service) -> None:
    found = await client.run("errors", size=MOST + 1, **words(service))
    assert None not in found.values(), found
    assert {what: status for what, (status, _) in found.items()} == {
        "missing": 404,
        "other": 409,
        "seq": 409,
        "closed": 409,
        "large": 413,
        "offset": 400,
        "key": 401,
    }
    # The one for JavaScript has a code only where it asks without trying again.
    if client.language == "python":
        assert {what: code for what, (_, code) in found.items()} == {
            "missing": "NOT_FOUND",
            "other": "CONFLICT_EXISTS",
            "seq": "CONFLICT_SEQ",
            "closed": "CONFLICT_SEQ",  # it is older than closing is
            "large": "HTTP_ERROR",
            "offset": "BAD_REQUEST",
            "key": "UNAUTHORIZED",
        }


async def test_idempotent_producers_write_in_batches_and_a_newer_one_takes_over(
    javascript: Program, service: Service
) -> None:
    found = await javascript.run("produce", **words(service))
    assert found["numbers"] == [*range(102), "last"]
    assert found["epochs"] == [1, 2]
    assert found["failures"] == ["StaleEpochError"]
    assert found["closed"]


async def test_an_append_that_arrives_twice_is_not_doubled(
    javascript: Program, service: Service
) -> None:
    found = await javascript.run("repeat", **words(service))
    assert found == {"numbers": [0, 1, 2, "last"], "statuses": [200] * 4}


@pytest.mark.parametrize("live", LIVE)
async def test_a_chat_run_is_read_live_to_its_end(
    client: Program, service: Service, live: str
) -> None:
    async with httpx2.AsyncClient(base_url=service.url, headers=HEADERS) as caller:
        asked = {"message": "Hello", "model": "answer?tokens=20&interval=0.05", "runId": RUN}
        async with caller.stream("POST", "/ai/chat/stream-sse", json=asked) as started:
            assert started.status_code == 200
            told = {"url": f"{service.url}/v1/stream/runs/{RUN}", "key": KEY}
            events = await client.run("run", live=live, **told)
    text = "".join(event["content"] for event in events if event["type"] == "chunk")
    assert text
    assert ANSWER.startswith(text)
    assert [event["type"] for event in events].count("end") == 1
    assert events[-1]["type"] == "end"
