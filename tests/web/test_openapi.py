"""The description of the API is whole: every reference resolves, every event is in it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.app import create_app
from stream_serve.settings import Settings
from stream_serve.web.openapi import describe
from support.browser import browser
from support.client import ask

if TYPE_CHECKING:
    import aiohttp

    from support.service import Service


def document() -> dict[str, Any]:
    return describe(create_app(Settings.load()))


def test_every_reference_resolves() -> None:
    whole = document()
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(whole)))
    assert names
    assert names <= set(whole["components"]["schemas"])


def test_every_operation_is_there_and_says_what_it_answers() -> None:
    paths = document()["paths"]
    assert set(paths) == {
        "/ai/chat/stream-sse",
        "/ai/runs/{run_id}",
        "/ai/runs/{run_id}/events",
        "/ai/runs/{run_id}/stop",
        "/ai/live",
        "/ai/streams/{name}/events",
        "/ai/streams/{name}/stop",
        "/ai/conversations",
        "/ai/conversations/{conversation_id}",
        "/ai/conversations/{conversation_id}/messages",
        "/ai/conversations/{conversation_id}/messages/{message_id}",
        "/ai/conversations/{conversation_id}/export",
        "/ai/info",
        "/ai/models",
        "/health",
        "/health/live",
        "/health/ready",
    }
    chat = paths["/ai/chat/stream-sse"]["post"]
    assert "text/event-stream" in chat["responses"]["200"]["content"]
    assert set(chat["responses"]["200"]["headers"]) == {
        "X-Run-Id",
        "X-Heartbeat-Interval",
        "X-Ignored-Fields",
    }
    assert {"400", "401", "413", "415", "421", "422", "503"} <= set(chat["responses"])
    for responses in (chat["responses"], paths["/ai/runs/{run_id}/stop"]["post"]["responses"]):
        for status, response in responses.items():
            assert status == "200" or "application/problem+json" in response["content"]


def test_a_probe_is_told_what_not_ready_looks_like() -> None:
    responses = document()["paths"]["/health/ready"]["get"]["responses"]
    assert set(responses) == {"200", "503"}
    for response in responses.values():
        schema = response["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Readiness"}


def test_the_events_are_described_with_the_names_that_are_sent() -> None:
    schemas = document()["components"]["schemas"]
    mapping = schemas["StreamEvent"]["discriminator"]["mapping"]
    assert set(mapping) == {
        "start",
        "chunk",
        "reasoning",
        "tool_call",
        "tool_arguments",
        "source",
        "extra",
        "end",
        "error",
    }
    assert set(schemas["Usage"]["properties"]) == {
        "promptTokens",
        "completionTokens",
        "totalTokens",
        "reasoningTokens",
        "cachedTokens",
        "source",
    }
    assert set(schemas["ChatBody"]["properties"]) == {
        "tools",
        "toolChoice",
        "parallelToolCalls",
        "message",
        "systemPrompt",
        "messages",
        "model",
        "temperature",
        "topP",
        "maxTokens",
        "stop",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseFormat",
        "reasoningEffort",
        "enableThinking",
        "thinkingBudget",
        "enableSearch",
        "extraBody",
        "runId",
        "onDisconnect",
        "conversationId",
        "parentId",
        "regenerate",
        "toolResults",
    }


async def test_what_is_sent_has_only_described_fields(
    service: Service, client: aiohttp.ClientSession
) -> None:
    schemas = document()["components"]["schemas"]
    mapping = schemas["StreamEvent"]["discriminator"]["mapping"]
    for model in ("thinking", "rate-limited"):
        async with ask(client, service.url, model=model) as stream:
            for event in await stream.rest():
                schema = schemas[mapping[event["type"]].rsplit("/", 1)[1]]
                assert set(event) - {"id"} <= set(schema["properties"])
                assert set(schema["required"]) <= set(event)


@pytest.mark.slow
async def test_the_docs_page_shows_the_api_without_any_other_host(service: Service) -> None:
    async with browser() as open_page:
        page = await open_page()
        await page.goto(f"{service.url}/docs")
        await page.get_by_text("/ai/chat/stream-sse").first.wait_for()
        await page.get_by_text("StreamEvent").first.wait_for()
