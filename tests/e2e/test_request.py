"""What callers may ask for, and what of it reaches the provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.client import Json, ask, text
from support.service import Service

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream

CHAT = "/ai/chat/stream-sse"
PICTURE: Json = {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}


async def refused(
    client: aiohttp.ClientSession, service: Service, **fields: Any
) -> list[tuple[str, str]]:
    """Post a body that is refused; return its wrong fields, each with what is said of it."""
    if "messages" not in fields:
        fields.setdefault("message", "hi")
    async with client.post(service.url + CHAT, json=fields) as response:
        problem = await response.json(content_type=None)
        assert (response.status, problem["code"]) == (422, "invalid_fields")
        return [(error["field"], error["message"]) for error in problem["errors"]]


# Options


async def test_the_options_of_a_request_reach_the_provider_under_its_own_names(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(
        client,
        service.url,
        systemPrompt=None,
        message="hi",
        seed=7,
        responseFormat={"type": "json_object"},
        presencePenalty=0.5,
        frequencyPenalty=-0.5,
        reasoningEffort="low",
        extraBody={"top_k": 20, "chat_template_kwargs": {"a": [1, None]}},
    ) as stream:
        await stream.rest()
    assert upstream.requests[0].body == {
        "model": "answer",
        "messages": [{"role": "user", "content": "hi"}],
        "seed": 7,
        "response_format": {"type": "json_object"},
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "reasoning_effort": "low",
        "top_k": 20,
        "chat_template_kwargs": {"a": [1, None]},
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_conversation_takes_the_same_options_and_may_have_no_system_prompt(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(
        client,
        service.url,
        message="hi",
        conversationId="new",
        systemPrompt=None,
        seed=7,
        extraBody={"top_k": 20},
    ) as stream:
        await stream.rest()
    body = upstream.requests[0].body
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert (body["seed"], body["top_k"]) == (7, 20)


@pytest.mark.parametrize(
    "name", ["model", "messages", "stream", "stream_options", "max_tokens", "n", "Model"]
)
async def test_extra_body_cannot_replace_what_the_request_says_itself(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, name: str
) -> None:
    ((field, said),) = await refused(client, service, extraBody={"top_k": 1, name: 1})
    assert field == "extraBody"
    assert name in said
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("dashscope", {"enable_thinking": False}),
        ("vllm", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("llamacpp", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("openai", None),
    ],
)
async def test_thinking_is_told_in_the_providers_way_or_refused_before_anything_is_sent(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, kind: str, sent: Json | None
) -> None:
    async with Service(upstream_url=upstream.url, upstream_kind=kind) as service:
        if sent is None:
            for more in ({}, {"conversationId": "new"}):
                ((field, said),) = await refused(client, service, enableThinking=False, **more)
                assert field == "enableThinking"
                assert "cannot be told" in said
            async with client.get(f"{service.url}/ai/conversations") as response:
                assert (await response.json())["conversations"] == [], "nothing was stored"
            assert (service.runs.running, upstream.requests) == (0, [])
            return
        async with ask(client, service.url, enableThinking=False) as stream:
            await stream.rest()
        assert sent.items() <= upstream.requests[0].body.items()
        assert ("enable_thinking" in upstream.requests[0].body) is ("enable_thinking" in sent)


async def test_a_limit_has_the_name_that_the_provider_knows(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    for kind, name in (("openai", "max_completion_tokens"), ("vllm", "max_tokens")):
        async with (
            Service(upstream_url=upstream.url, upstream_kind=kind, max_tokens=100) as service,
            ask(client, service.url) as stream,
        ):
            await stream.rest()
        body = upstream.requests[-1].body
        assert {key: value for key, value in body.items() if key.startswith("max")} == {name: 100}


async def test_the_stream_says_that_it_is_utf_8(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        run = f"{service.url}/ai/runs/{stream.run_id}/events"
        await stream.rest()
    async with client.get(run) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"


# Unknown fields


async def test_an_unknown_field_is_ignored_and_named_in_a_header(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(
        client, service.url, message="hi", user="anna", metadata={"a": 1}, stream=False, n=2
    ) as stream:
        headers = stream.response.headers
        assert headers["X-Ignored-Fields"] == "user, metadata, stream, n"
        assert "X-Ignored-Fields" in headers["Access-Control-Expose-Headers"]
        assert (await stream.rest())[-1]["type"] == "end"
    body = upstream.requests[0].body
    assert body["stream"] is True
    assert set(body) == {"model", "messages", "stream", "stream_options"}
    async with ask(client, service.url) as stream:
        assert "X-Ignored-Fields" not in stream.response.headers
        await stream.rest()


async def test_no_name_of_an_unknown_field_breaks_the_header(
    service: Service, client: aiohttp.ClientSession
) -> None:
    names = ["a\r\nX-Injected: 1", "你好", "", "b" * 5_000, 'c", d', "\x00", "ok", "x-y_z.1"]
    fields: Json = dict.fromkeys(names, 1)
    async with ask(client, service.url, **fields) as stream:
        headers = stream.response.headers
        assert "X-Injected" not in headers
        said = headers["X-Ignored-Fields"]
        assert said.split(", ") == [
            *("a??X-Injected??1", "??", "?", "b" * 40, "c???d", "?", "ok", "x-y_z.1")
        ]
        await stream.rest()
    many: Json = {f"x{n}": n for n in range(50)}
    async with ask(client, service.url, **many) as stream:
        shown = stream.response.headers["X-Ignored-Fields"].split(", ")
        assert shown == [*(f"x{n}" for n in range(10)), "..."]
        await stream.rest()


@pytest.mark.parametrize(
    ("name", "meant"),
    [("max_tokens", "maxTokens"), ("temprature", "temperature"), ("Message", "message")],
)
async def test_a_near_miss_of_a_known_field_is_refused_and_named(
    service: Service, client: aiohttp.ClientSession, name: str, meant: str
) -> None:
    ((field, said),) = await refused(client, service, **{name: 1, "user": "anna"})
    assert field == name
    assert f"did you mean {meant}?" in said


async def test_elsewhere_an_unknown_field_is_refused(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with client.post(
        f"{service.url}/ai/conversations", json={"title": "a", "user": "anna"}
    ) as response:
        problem = await response.json(content_type=None)
        assert response.status == 422
        assert problem["errors"] == [{"field": "user", "message": "there is no such field"}]
    async with client.post(f"{service.url}/ai/conversations", json={"titel": "a"}) as response:
        problem = await response.json(content_type=None)
        assert "did you mean title?" in problem["errors"][0]["message"]


# The operator's terms


async def test_the_operators_limits_hold_for_every_caller(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with Service(
        upstream_url=upstream.url,
        system_prompt="ours",
        fixed_system_prompt=True,
        allowed_models="echo, thinking",
        max_tokens=100,
        max_thinking_budget=50,
    ) as service:
        beyond: dict[str, tuple[Json, str]] = {
            "systemPrompt": ({"systemPrompt": "theirs"}, "FIXED_SYSTEM_PROMPT"),
            "messages[0].role": (
                {"messages": [{"role": "system", "content": "theirs"}]},
                "FIXED_SYSTEM_PROMPT",
            ),
            "model": ({"model": "flood"}, "ALLOWED_MODELS"),
            "maxTokens": ({"maxTokens": 101}, "MAX_TOKENS"),
            "thinkingBudget": ({"thinkingBudget": 51}, "MAX_THINKING_BUDGET"),
            "extraBody": ({"extraBody": {"top_k": 1}}, "ALLOWED_EXTRA_BODY"),
            "messages[0].content": (
                {"messages": [{"role": "user", "content": [PICTURE]}]},
                "ALLOW_CONTENT_URLS",
            ),
        }
        async with client.get(f"{service.url}/ai/models") as response:
            listed = await response.json()
        assert [one["name"] for one in listed["models"]] == ["answer", "echo", "thinking"]
        assert listed["onlyListed"] is True
        for name, (fields, setting) in beyond.items():
            ((field, said),) = await refused(client, service, **fields)
            assert field == name
            assert f"STREAM_SERVE_{setting}" in said
        assert upstream.requests == []
        question = [{"role": "user", "content": "hi"}]
        hi: Json = {"message": "hi"}
        for fields in (hi, {"messages": question}, {**hi, "conversationId": "new"}):
            async with ask(client, service.url, **fields) as stream:
                assert (await stream.rest())[-1]["type"] == "end"
        for record in upstream.requests:
            assert record.body["messages"] == [{"role": "system", "content": "ours"}, *question]
            assert (record.body["max_tokens"], record.body["thinking_budget"]) == (100, 50)
            assert record.body["model"] == "answer"
        assert len(upstream.requests) == 3


async def test_the_operator_may_let_callers_name_addresses_and_list_fields_of_extra_body(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with Service(
        upstream_url=upstream.url,
        allow_content_urls=True,
        allowed_extra_body="top_k",
        max_tokens=100,
    ) as service:
        messages = [{"role": "user", "content": [PICTURE]}]
        async with ask(
            client, service.url, messages=messages, extraBody={"top_k": 5}, maxTokens=10
        ) as stream:
            assert text(await stream.rest())
        body = upstream.requests[0].body
        assert body["messages"] == messages
        assert (body["top_k"], body["max_tokens"]) == (5, 10)
        ((field, _),) = await refused(client, service, extraBody={"min_p": 5})
        assert field == "extraBody"


async def test_the_same_request_with_another_option_is_another_request(
    service: Service, client: aiohttp.ClientSession
) -> None:
    run_id = "a" * 20
    for more, status in (
        ({"extraBody": {"top_k": 1}}, 200),
        ({"extraBody": {"top_k": 1}, "user": "anna"}, 200),
        ({"extraBody": {"top_k": 2}}, 409),
        ({"extraBody": {"top_k": 1}, "seed": 1}, 409),
        ({"extraBody": {"top_k": 1}, "systemPrompt": None}, 409),
    ):
        body = {"message": "hi", "runId": run_id, **more}
        async with client.post(service.url + CHAT, json=body) as response:
            assert response.status == status
            await response.read()
