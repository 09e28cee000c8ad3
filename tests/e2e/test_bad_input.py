"""Attacks and bad input: each gets a clear answer, and the service lives."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER
from support.client import Json, ask, text
from support.service import Service

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream

CHAT = "/ai/chat/stream-sse"
KEY_A, KEY_B = "key-of-anna-0123456789", "key-of-bert-9876543210"


async def post(
    client: aiohttp.ClientSession,
    url: str,
    data: bytes | str,
    *,
    content_type: str = "application/json",
    **headers: str,
) -> tuple[int, Json]:
    """Post raw bytes; return the status and the problem."""
    async with client.post(
        url, data=data, headers={"Content-Type": content_type, **headers}
    ) as response:
        assert response.content_type == "application/problem+json"
        problem = await response.json(content_type=None)
        assert problem["status"] == response.status
        assert problem["detail"]
        return response.status, problem


FIELDS: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "message"),
    "both": ({"message": "a", "messages": [{"role": "user", "content": "b"}]}, "message"),
    "an empty message": ({"message": ""}, "message"),
    "a message that is no text": ({"message": 5}, "message"),
    "null": ({"message": None}, "message"),
    "a list": ([], "body"),
    "an unknown field": ({"message": "a", "temprature": 1}, "temprature"),
    "a temperature as text": ({"message": "a", "temperature": "1"}, "temperature"),
    "a temperature too high": ({"message": "a", "temperature": 3}, "temperature"),
    "a truth as number": ({"message": "a", "enableThinking": 1}, "enableThinking"),
    "no tokens": ({"message": "a", "maxTokens": 0}, "maxTokens"),
    "half a token": ({"message": "a", "maxTokens": 1.5}, "maxTokens"),
    "a stop that is no text": ({"message": "a", "stop": [1]}, "stop"),
    "no messages": ({"messages": []}, "messages"),
    "an unknown role": ({"messages": [{"role": "root", "content": "a"}]}, "messages[0].role"),
    "a message without content": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "a content that is no text": (
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": 5}]},
        "messages[1].content",
    ),
}


@pytest.mark.parametrize("case", FIELDS)
async def test_a_wrong_field_is_named(
    service: Service, client: aiohttp.ClientSession, case: str
) -> None:
    body, field = FIELDS[case]
    status, problem = await post(client, service.url + CHAT, json.dumps(body))
    assert (status, problem["code"]) == (422, "invalid_fields")
    assert field in [error["field"] for error in problem["errors"]]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_number_that_is_none_is_refused_inside_a_message_too(
    service: Service, client: aiohttp.ClientSession, value: str
) -> None:
    part = f'{{"type": "text", "text": "x", "n": {value}}}'
    body = f'{{"messages": [{{"role": "user", "content": [{part}]}}]}}'
    status, problem = await post(client, service.url + CHAT, body)
    assert status in {400, 422}
    assert "messages[0].content" in str(problem) or status == 400


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_number_that_is_none_is_named(
    service: Service, client: aiohttp.ClientSession, value: str
) -> None:
    body = f'{{"message": "a", "temperature": {value}}}'
    status, problem = await post(client, service.url + CHAT, body)
    assert status in {400, 422}
    assert "temperature" in str(problem) or status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"message=hello",
        b'{"message": "a",}',
        b'{"message": "\xff"}',
        b'{"message": "\\ud800"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"message": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
    ],
    ids=["empty", "cut", "form", "comma", "bytes", "surrogate", "lists", "objects"],
)
async def test_a_body_that_is_not_json_is_refused(
    service: Service, client: aiohttp.ClientSession, body: bytes
) -> None:
    status, problem = await post(client, service.url + CHAT, body)
    assert (status, problem["code"]) == (400, "bad_request")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_json_that_is_not_declared_as_json_is_refused(
    service: Service, client: aiohttp.ClientSession, content_type: str
) -> None:
    status, problem = await post(
        client, service.url + CHAT, b'{"message": "a"}', content_type=content_type
    )
    assert (status, problem["code"]) == (415, "not_json")


async def test_a_body_over_the_cap_is_refused_before_it_is_read(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with Service(upstream_url=upstream.url, max_body_bytes=1000) as service:
        status, problem = await post(client, service.url + CHAT, b" " * 1001)
        assert (status, problem["code"]) == (413, "body_too_large")
        assert "STREAM_SERVE_MAX_BODY_BYTES" in problem["detail"]

        sent = 0

        async def endless() -> Any:
            nonlocal sent
            while sent < 100_000_000:
                sent += 1000
                yield b" " * 1000

        async with client.post(
            service.url + CHAT, data=endless(), headers={"Content-Type": "application/json"}
        ) as response:
            assert response.status == 413
        assert sent < 50_000_000, "the rest was not asked for"


@pytest.mark.parametrize("framing", ["Content-Length: 30000000", "Transfer-Encoding: chunked"])
async def test_who_sends_a_whole_body_over_the_cap_before_it_reads_gets_the_answer_too(
    service: Service, framing: str
) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}"
    body = b" " * 1_000_000
    if "chunked" in framing:
        body = b"%x\r\n%b\r\n" % (len(body), body)
    writer.write(head.encode() + b"\r\n\r\n")
    for _ in range(30):
        writer.write(body)
        await writer.drain()
    writer.write(b"0\r\n\r\n" if "chunked" in framing else b"")
    # The next request on the same connection is understood: nothing of the body was left over.
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answers = await reader.read()
    writer.close()
    assert answers.startswith(b"HTTP/1.1 413 ")
    assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 ") + 1 == 2


async def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(
    service: Service, client: aiohttp.ClientSession
) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /ai/chat/stream-sse HTTP/1.1\r\nHost: localhost\r\n"
        b'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"mess'
    )
    await writer.drain()
    writer.close()
    async with ask(client, service.url) as stream:
        assert text(await stream.rest()) == ANSWER


async def test_an_unknown_path_or_method_is_a_problem_too(
    service: Service, client: aiohttp.ClientSession
) -> None:
    for method, path, status in (
        ("GET", "/nowhere", 404),
        ("GET", CHAT, 405),
        ("POST", "/health", 405),
        ("GET", "/ai/runs/unknown", 404),
        ("POST", "/ai/runs/unknown/stop", 404),
        ("POST", "/ai/runs/%00/stop", 404),
    ):
        async with client.request(method, service.url + path) as response:
            assert response.status == status
            assert response.content_type == "application/problem+json"


async def test_the_pages_and_health_answer_head(
    service: Service, client: aiohttp.ClientSession
) -> None:
    for path in ("/test-stream.html", "/health"):
        async with client.head(service.url + path) as response:
            assert response.status == 200
            assert await response.read() == b""


async def test_files_outside_the_pages_are_not_served(service: Service) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    for path in (
        "/../settings.py",
        "/..%2fsettings.py",
        "/%2e%2e/settings.py",
        "/test-stream/../../settings.py",
        "/docs/..%2f..%2fsettings.py",
        "//etc/passwd",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 404"), path


# Keys and owners


@pytest.fixture
async def keyed(upstream: ScriptedUpstream) -> Any:
    async with Service(upstream_url=upstream.url, api_keys=f"{KEY_A}, {KEY_B}") as running:
        yield running


async def test_without_a_key_or_with_a_wrong_one_the_answer_is_401(
    keyed: Service, client: aiohttp.ClientSession
) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEY_A}"},
        {"Authorization": f"Bearer {KEY_A}x"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer ключ".encode().decode("latin-1")},
    ):
        for method, path in (("POST", CHAT), ("GET", "/ai/runs/x"), ("POST", "/ai/runs/x/stop")):
            async with client.request(method, keyed.url + path, headers=headers) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
                assert KEY_A not in await response.text()


async def test_pages_health_and_info_need_no_key(
    keyed: Service, client: aiohttp.ClientSession
) -> None:
    for path in ("/", "/test-stream.html", "/health", "/docs", "/openapi.json", "/ai/info"):
        async with client.get(keyed.url + path) as response:
            assert response.status == 200
    async with client.get(keyed.url + "/ai/info") as response:
        assert (await response.json())["authRequired"] is True


async def test_somebody_elses_run_does_not_exist(
    keyed: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, keyed.url, key=KEY_A, model="hang-mid") as stream:
        await stream.until("chunk")
        answers: list[tuple[int, Json]] = []
        for run_id in (stream.run_id, "unknown"):
            for method, path in (("GET", ""), ("POST", "/stop")):
                async with client.request(
                    method,
                    f"{keyed.url}/ai/runs/{run_id}{path}",
                    headers={"Authorization": f"Bearer {KEY_B}"},
                ) as response:
                    answers.append((response.status, await response.json(content_type=None)))
        assert all(answer == answers[0] for answer in answers)
        assert answers[0][0] == 404
        async with client.post(
            f"{keyed.url}/ai/runs/{stream.run_id}/stop",
            headers={"Authorization": f"Bearer {KEY_A}"},
        ) as response:
            assert (await response.json())["outcome"] == "stopped"


@pytest.mark.parametrize("query", ["api_key=x", "token=x", "a=1&Authorization=x", f"q={KEY_A}"])
async def test_a_key_in_the_url_is_refused(
    keyed: Service, client: aiohttp.ClientSession, query: str
) -> None:
    async with client.get(
        f"{keyed.url}/ai/runs/x?{query}", headers={"Authorization": f"Bearer {KEY_A}"}
    ) as response:
        problem = await response.json(content_type=None)
        assert response.status == 400
        assert "Authorization: Bearer" in problem["detail"]


# Hosts and origins


async def test_a_foreign_host_is_refused_where_no_keys_are_set(
    service: Service, client: aiohttp.ClientSession
) -> None:
    for host, status in (
        ("localhost", 200),
        ("localhost:3000", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:3000", 200),
        ("LOCALHOST", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("[::1]evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.1", 421),
        ("", 421),
    ):
        async with client.get(f"{service.url}/health", headers={"Host": host}) as response:
            assert response.status == status, host


async def test_names_can_be_added_to_the_hosts(client: aiohttp.ClientSession) -> None:
    async with Service(allowed_hosts="chat.example, *.internal.example") as service:
        for host, status in (
            ("chat.example", 200),
            ("a.internal.example:3000", 200),
            ("b.chat.example", 421),
        ):
            async with client.get(f"{service.url}/health", headers={"Host": host}) as response:
                assert response.status == status, host


FOREIGN = {"Origin": "https://evil.example"}
PREFLIGHT = {"Access-Control-Request-Method": "POST"}


async def test_with_keys_any_page_may_ask_and_only_our_own_may_read_or_stop_a_run(
    keyed: Service, client: aiohttp.ClientSession
) -> None:
    key = {"Authorization": f"Bearer {KEY_A}"}
    async with client.options(keyed.url + CHAT, headers=FOREIGN | PREFLIGHT) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Content-Type" in response.headers["Access-Control-Allow-Headers"]
    async with client.post(
        keyed.url + CHAT, json={"message": ""}, headers=FOREIGN | key
    ) as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*", "errors are readable, too"
    async with ask(client, keyed.url, key=KEY_A, model="hang-mid") as stream:
        await stream.until("chunk")
        run = f"{keyed.url}/ai/runs/{stream.run_id}"
        for headers in (FOREIGN, {"Origin": "null"}):
            async with client.post(f"{run}/stop", headers=headers | key) as response:
                assert response.status == 403
                assert "Access-Control-Allow-Origin" not in response.headers
            async with client.get(run, headers=headers | key) as response:
                assert response.status == 403
        async with client.get(run, headers={"Origin": keyed.url} | key) as response:
            assert (await response.json())["state"] == "streaming"


async def test_without_keys_a_page_of_another_origin_starts_no_run(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with client.options(service.url + CHAT, headers=FOREIGN | PREFLIGHT) as response:
        assert response.status == 403
    async with client.post(
        service.url + CHAT, json={"message": "Hello"}, headers=FOREIGN
    ) as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["code"]) == (403, "foreign_origin")
        assert "STREAM_SERVE_CORS_ORIGINS" in problem["detail"]
    assert service.runs.running == 0
    assert not upstream.requests
    local = {"Origin": "http://localhost:5173"}
    async with client.post(
        service.url + CHAT, json={"message": "Hello"}, headers=local
    ) as response:
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == local["Origin"]
        await response.read()


@pytest.mark.parametrize(
    "more", [{"conversationId": "new"}, {"conversationId": "x"}, {"onDisconnect": "continue"}]
)
async def test_a_page_of_another_origin_makes_no_conversation_and_leaves_no_run_behind(
    keyed: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, more: Json
) -> None:
    key = {"Authorization": f"Bearer {KEY_A}"}
    body = {"message": "Hello", **more}
    async with client.post(keyed.url + CHAT, json=body, headers=FOREIGN | key) as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["code"]) == (403, "foreign_origin")
    async with Service(upstream_url=upstream.url, cors_origins="*") as open_service:
        async with client.post(open_service.url + CHAT, json=body, headers=FOREIGN) as response:
            assert response.status == 403
        assert open_service.runs.running == 0
    assert not upstream.requests


async def test_below_a_root_path_the_guard_is_the_same(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with Service(upstream_url=upstream.url, api_keys=KEY_A, root_path="/below") as service:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            async with client.post(
                service.url + CHAT, json={"message": "Hello"}, headers=headers
            ) as response:
                assert response.status == 401
        async with ask(client, service.url, key=KEY_A) as stream:
            assert (await stream.rest())[-1]["type"] == "end"
        assert len(upstream.requests) == 1


async def test_the_setting_for_origins_holds_for_every_endpoint(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with Service(upstream_url=upstream.url, cors_origins="https://app.example") as service:
        ours, foreign = {"Origin": "https://app.example"}, {"Origin": "https://evil.example"}
        for path in (CHAT, "/ai/runs/x/stop"):
            async with client.post(service.url + path, headers=ours) as response:
                assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
                assert response.headers["Vary"] == "Origin"
            async with client.post(service.url + path, headers=foreign) as response:
                assert response.status == 403


# Secrets


async def test_no_secret_is_in_an_answer_a_log_or_the_description(
    keyed: Service, client: aiohttp.ClientSession, capfd: pytest.CaptureFixture[str]
) -> None:
    seen = ""
    for model in ("unauthorized", "bad-request", "http-500", "echo"):
        async with ask(
            client, keyed.url, key=KEY_A, model=model, message="secret question"
        ) as stream:
            seen += str([e for e in await stream.rest() if e["type"] != "chunk"])
            seen += str(stream.response.headers)
    for path in ("/health", "/ai/info", "/openapi.json", "/docs", "/test-stream.html"):
        async with client.get(keyed.url + path) as response:
            seen += await response.text()
    out, err = capfd.readouterr()
    assert "run" in out + err
    for canary in (KEY_A, KEY_B, "sk-canary", "secret question"):
        assert canary not in seen + out + err
