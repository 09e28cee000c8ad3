"""Several providers by a file: who answers, what goes to whom, and the list of models."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream, unused_port
from support.client import ask
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

KEY = "sk-canary-0123456789abcdef"
SECRET = "canary-header-0123456789"


@pytest.fixture
async def other() -> AsyncIterator[ScriptedUpstream]:
    """A second provider."""
    async with ScriptedUpstream() as server:
        yield server


def configure(text: str) -> None:
    Path("stream-serve.toml").write_text(text, encoding="utf-8")


def two(upstream: ScriptedUpstream, other: ScriptedUpstream, *, more: str = "") -> str:
    return f'''{more}
[[providers]]
name = "one"
kind = "azure"
url = "{upstream.url}?api-version=2024-10-21"
key = "{KEY}"
headers = {{ X-Team = "{SECRET}" }}

[[providers]]
name = "two"
url = "{other.url}"

[[models]]
name = "first"
targets = [{{ provider = "one", model = "answer" }}, {{ provider = "two", model = "answer" }}]
context = 32768
thinks = true
default = true

[[models]]
name = "second"
targets = [{{ provider = "two", model = "thinking" }}]
tools = false
'''


async def listed(client: aiohttp.ClientSession, url: str) -> Any:
    async with client.get(f"{url}/ai/models") as response:
        assert response.status == 200
        return await response.json()


def view(name: str, **known: Any) -> dict[str, Any]:
    unknown = dict.fromkeys(("context", "thinks", "sees", "tools", "temperature"))
    return {"name": name, "default": False, **unknown, **known}


async def refused(client: aiohttp.ClientSession, url: str, **body: Any) -> tuple[int, Any]:
    async with client.post(f"{url}/ai/chat/stream-sse", json={"message": "a", **body}) as response:
        return response.status, await response.json()


async def test_a_model_is_answered_by_its_first_target_under_the_name_that_was_asked(
    upstream: ScriptedUpstream, other: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    configure(two(upstream, other))
    async with Service() as service:
        async with ask(client, service.url) as stream:
            events = await stream.rest()
        assert (events[0]["model"], events[-1]["finishReason"]) == ("first", "stop")
        async with ask(client, service.url, model="second") as stream:
            events = await stream.rest()
        assert events[0]["model"] == "second"
    (record,) = upstream.requests
    assert record.model == "answer"
    assert (record.path, record.query) == ("/v1/chat/completions", "api-version=2024-10-21")
    headers = {name.lower(): value for name, value in record.headers.items()}
    assert headers["x-team"] == SECRET
    assert (headers["api-key"], headers.get("authorization")) == ("***", None)
    (record,) = other.requests
    assert record.model == "thinking"
    assert "authorization" not in {name.lower() for name in record.headers}


async def test_a_model_that_is_not_listed_goes_to_the_default_models_provider(
    upstream: ScriptedUpstream, other: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    configure(two(upstream, other))
    async with Service() as service, ask(client, service.url, model="answer?tokens=3") as stream:
        events = await stream.rest()
        assert events[0]["model"] == "answer?tokens=3"
    assert [record.model for record in upstream.requests] == ["answer?tokens=3"]


async def test_with_only_listed_another_model_is_refused_and_the_listed_are_named(
    upstream: ScriptedUpstream, other: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    configure(two(upstream, other, more="only_listed = true"))
    async with Service() as service:
        status, problem = await refused(client, service.url, model="answer")
        assert (status, problem["code"]) == (422, "unknown_model")
        assert "first, second" in problem["detail"]
        assert (await listed(client, service.url))["onlyListed"] is True
        assert service.runs.running == 0
    assert upstream.requests == other.requests == []


async def test_the_models_are_listed_with_what_is_known_of_them(
    upstream: ScriptedUpstream, other: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    configure(two(upstream, other))
    async with Service() as service:
        assert await listed(client, service.url) == {
            "models": [
                view("first", default=True, context=32768, thinks=True),
                view("second", tools=False),
            ],
            "onlyListed": False,
        }
        async with client.get(f"{service.url}/ai/info") as response:
            info = await response.json()
        assert (info["model"], info["demo"]) == ("first", False)
    async with Service(model="second") as service:
        names = [one["name"] for one in (await listed(client, service.url))["models"]]
        assert names == ["second", "first"]


async def test_where_the_operator_allows_some_models_the_list_has_only_these(
    upstream: ScriptedUpstream, other: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    configure(two(upstream, other))
    async with Service(allowed_models="third") as service:
        shown = await listed(client, service.url)
        assert [one["name"] for one in shown["models"]] == ["first", "third"]
        assert shown["onlyListed"] is True
        status, problem = await refused(client, service.url, model="second")
        assert (status, problem["code"]) == (422, "invalid_fields")


async def test_a_switch_of_the_file_reaches_the_request(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    configure(
        f'[[providers]]\nname = "p"\nurl = "{upstream.url}"\nkind = "vllm"\n'
        'stream_options = false\nmax_tokens = "max_completion_tokens"\nsystem_role = "developer"\n'
        'body = { user = "u", chat_template_kwargs = { x = 1 } }\n'
        '[[models]]\nname = "m"\ntargets = [{ model = "answer" }]\n'
    )
    async with (
        Service() as service,
        ask(client, service.url, maxTokens=5, enableThinking=False, systemPrompt="s") as stream,
    ):
        await stream.rest()
    body = upstream.requests[0].body
    assert "stream_options" not in body
    assert (body["max_completion_tokens"], body.get("max_tokens")) == (5, None)
    assert body["chat_template_kwargs"] == {"x": 1, "enable_thinking": False}
    assert body["messages"][0] == {"role": "developer", "content": "s"}
    assert (body["user"], body["model"]) == ("u", "answer")


async def test_the_list_needs_a_key_where_keys_are_set(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with Service(upstream_url=upstream.url, api_keys="key-of-a-caller") as service:
        async with client.get(f"{service.url}/ai/models") as response:
            assert response.status == 401
        headers = {"Authorization": "Bearer key-of-a-caller"}
        async with client.get(f"{service.url}/ai/models", headers=headers) as response:
            assert (await response.json())["models"][0]["name"] == "answer"


async def test_an_error_names_the_key_of_the_file_and_nothing_secret(
    other: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    configure(
        f'[[providers]]\nname = "away"\nurl = "http://127.0.0.1:{unused_port()}/v1?token={SECRET}"\n'
        f'timeouts = {{ connect = 0.5 }}\n[[providers]]\nname = "wrong"\nkey = "{KEY}"\n'
        f'url = "{other.origin}"\n[[models]]\nname = "a"\n'
        '[[models]]\nname = "b"\ntargets = [{ provider = "wrong" }]\n'
    )
    async with Service() as service:
        async with ask(client, service.url, model="a") as stream:
            away = (await stream.rest())[-1]
        async with ask(client, service.url, model="b") as stream:
            wrong = (await stream.rest())[-1]
    assert away["code"] == "upstream_unreachable"
    assert wrong["code"] == "upstream_protocol"
    assert "url of the provider wrong" in wrong["message"]
    assert KEY not in str(wrong)
    assert SECRET not in str(away)


async def test_a_stop_closes_the_connection_of_the_provider_that_answers(
    upstream: ScriptedUpstream, other: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    configure(two(upstream, other).replace('"thinking"', '"hang-mid"'))
    async with Service() as service, ask(client, service.url, model="second") as stream:
        await stream.until("chunk")
        stop = f"{service.url}/ai/runs/{stream.run_id}/stop"
        async with client.post(stop) as response:
            assert (await response.json())["upstreamClosed"] is True
        await other.wait_for(lambda record: record.closed_by == "peer")


# No model configured


async def test_the_only_model_of_a_server_is_used_where_none_is_configured(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    upstream.models = ["answer"]
    async with Service(upstream_url=upstream.url, model="") as service:
        assert upstream.requests == []
        async with ask(client, service.url) as stream:
            events = await stream.rest()
        assert events[0]["model"] == "answer"
        assert "".join(e.get("content", "") for e in events) == ANSWER
        assert (await listed(client, service.url))["models"][0]["default"] is True
        async with ask(client, service.url) as stream:
            await stream.rest()
    paths = [record.path for record in upstream.requests]
    assert paths == ["/v1/models", "/v1/chat/completions", "/v1/chat/completions"]


async def test_where_a_server_has_several_models_the_refusal_names_them(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    upstream.models = ["answer", "thinking"]
    async with Service(upstream_url=upstream.url, model="") as service:
        status, problem = await refused(client, service.url)
        assert (status, problem["code"]) == (422, "unknown_model")
        assert "answer, thinking" in problem["detail"]
        assert "STREAM_SERVE_MODEL" in problem["detail"]
        models = (await listed(client, service.url))["models"]
        assert [(one["name"], one["default"]) for one in models] == [
            ("answer", False),
            ("thinking", False),
        ]
        async with ask(client, service.url, model="answer") as stream:
            assert (await stream.rest())[-1]["finishReason"] == "stop"
        upstream.models = ["answer"]
        async with ask(client, service.url) as stream:
            assert (await stream.rest())[0]["model"] == "answer"


async def test_where_the_server_cannot_be_asked_the_start_is_refused_and_can_be_tried_again(
    client: aiohttp.ClientSession,
) -> None:
    port = unused_port()
    async with AsyncExitStack() as last:
        url = f"http://127.0.0.1:{port}/v1"
        service = await last.enter_async_context(Service(upstream_url=url, model=""))
        status, problem = await refused(client, service.url)
        assert (status, problem["code"]) == (503, "models_unavailable")
        assert (await listed(client, service.url))["models"] == []
        upstream = ScriptedUpstream()
        upstream.models = ["answer"]
        await upstream.start(port=port)
        last.push_async_callback(upstream.stop)
        async with ask(client, service.url) as stream:
            assert (await stream.rest())[0]["model"] == "answer"


REFUSES = {
    "stream_options = false": "Unrecognized request argument supplied",
    'max_tokens = "max_completion_tokens"': "Use 'max_completion_tokens' instead",
    'system_role = "user"': "System role not supported",
}


@pytest.mark.parametrize("missing", [None, *REFUSES])
async def test_a_server_that_refuses_what_others_want_answers_with_its_switches(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, missing: str | None
) -> None:
    switches = "\n".join(one for one in REFUSES if one != missing)
    configure(f'[[providers]]\nname = "picky"\nurl = "{upstream.url}"\n{switches}\n')
    body: dict[str, Any] = {"model": "picky", "systemPrompt": "be brief", "maxTokens": 50}
    async with Service() as service, ask(client, service.url, **body) as stream:
        last = (await stream.rest())[-1]
    if missing is None:
        assert (last["type"], last["finishReason"]) == ("end", "stop")
    else:
        assert (last["type"], last["code"]) == ("error", "upstream_rejected")
        assert REFUSES[missing] in last["message"]
