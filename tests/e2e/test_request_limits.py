"""Requests that are larger, or ask for more, than a request may: refused at once, and cheaply."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from support.client import ask
from support.service import Service

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream

CHAT = "/ai/chat/stream-sse"
KEY = "key-of-anna-0123456789"
RIGHT = "a" * 16


# Ids of runs


@pytest.mark.parametrize(
    "run_id",
    [
        f"x/{RIGHT}",
        f"{RIGHT}/",
        f"{RIGHT}\n",
        f"{RIGHT}\r\nX-Injected: 1",
        f"{RIGHT}\0",
        f"{RIGHT}\u00e9",
        f"{RIGHT}\u4f60",
        "a" * 200_000,
        f"../{RIGHT}",
    ],
    ids=range(9),
)
async def test_a_run_id_with_anything_around_it_is_refused_and_asks_nobody(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, run_id: str
) -> None:
    body = {"message": "hi", "runId": run_id}
    async with client.post(service.url + CHAT, json=body) as response:
        problem = await response.json(content_type=None)
        assert response.status == 422
        assert [error["field"] for error in problem["errors"]] == ["runId"]
        assert "X-Injected" not in response.headers
    assert upstream.requests == []
    assert service.runs.running == 0


async def test_no_run_id_counts_for_another_owner(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with (
        Service(upstream_url=upstream.url, api_keys=KEY, max_runs_per_key=1) as service,
        ask(client, service.url, key=KEY, model="hang-mid") as first,
    ):
        await first.until("chunk")
        for run_id, status in ((f"x/{RIGHT}", 422), (f"y/{RIGHT}", 422), (RIGHT, 429)):
            async with client.post(
                service.url + CHAT,
                json={"message": "hi", "model": "hang-mid", "runId": run_id},
                headers={"Authorization": f"Bearer {KEY}"},
            ) as response:
                assert response.status == status


@pytest.mark.parametrize("run_id", ["short", "a" * 129, "a" * 10_000, f"{RIGHT}\n", f"{RIGHT}\0"])
async def test_an_id_that_no_run_can_have_is_unknown_on_every_route(
    service: Service, client: aiohttp.ClientSession, run_id: str
) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/stop")):
        url = f"{service.url}/ai/runs/{quote(run_id)}{path}"
        async with client.request(method, url) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (404, "run_not_found")


# Bodies in which everything is wrong


@pytest.mark.parametrize(
    ("start", "item", "end", "field"),
    [
        ('{"messages": [', "1", "]}", "messages[0]"),
        ('{"messages": [', "{}", "]}", "messages[0].role"),
        ('{"message": "a", "stop": [', "1", "]}", "stop"),
        ('{"messages": [{"role": "user", "content": [', "1", "]}]}", "messages[0].content"),
        ('{"message": "a", ', '"topp": 1', "}", "topp"),
    ],
)
async def test_a_body_in_which_everything_is_wrong_is_refused_over_http(
    service: Service, client: aiohttp.ClientSession, start: str, item: str, end: str, field: str
) -> None:
    body = start + ",".join([item] * (1_000_000 // (len(item) + 1))) + end
    for path in (CHAT, "/ai/conversations"):
        async with client.post(
            service.url + path, data=body, headers={"Content-Type": "application/json"}
        ) as response:
            problem = await response.json(content_type=None)
            assert (response.status, problem["code"]) == (422, "invalid_fields")
            assert 0 < len(problem["errors"]) <= 10
            assert path != CHAT or field == problem["errors"][0]["field"]
