"""A provider that calls tools, and sends more than text: what readers get, over real sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from openai import AsyncOpenAI

from stream_serve.testing import ANSWER
from stream_serve.testing.scenarios.tools import CITIES, NAMES, PAGES
from support.client import Json, ask, stop, text
from support.ended import run
from support.waiting import until

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.service import Service

SCENARIOS = [
    "tool-call",
    "tool-call?calls=3&size=1",
    "tool-calls-interleaved?calls=3",
    "tool-call-whole?calls=2",
    "tool-call-no-id?calls=2",
    "tool-call-object-arguments?calls=2",
    "tool-call-index-zero?calls=3",
    "tool-call-late-name?calls=2",
    "tool-call-null-arguments?calls=2",
    "tool-call-then-text?calls=2",
    "tool-call-stop-word?calls=2",
    "tool-call-legacy",
    "tool-call-message?calls=2",
]


def calls(events: list[Json]) -> list[tuple[str, object]]:
    """The names and arguments of the calls, by their index."""
    begun = [event for event in events if event["type"] == "tool_call"]
    assert [event["index"] for event in begun] == list(range(len(begun)))
    assert len({event["callId"] for event in begun}) == len(begun)
    pieces = {event["index"]: "" for event in begun}
    for event in events:
        if event["type"] == "tool_arguments":
            pieces[event["index"]] += event["content"]
    return [(event["name"], json.loads(pieces[event["index"]])) for event in begun]


@pytest.mark.parametrize("model", SCENARIOS)
async def test_in_every_form_the_calls_are_those_that_the_provider_means(
    service: Service, client: aiohttp.ClientSession, model: str
) -> None:
    events = await run(client, service, model)
    found = calls(events)
    count = int(model.partition("calls=")[2][:1] or 1)
    assert found == [
        (NAMES[at % 2], {"city": CITIES[at], "unit": "celsius"}) for at in range(count)
    ]
    assert events[-1]["finishReason"] == "tool_calls"
    assert events[-1]["usage"]["completionTokens"] > 0
    stops = "index-zero" in model or "stop-word" in model
    assert (events[-1].get("providerFinishReason") == "stop") is stops
    assert text(events) == ("I will look that up." if "then-text" in model else "")


async def test_a_connection_that_is_cut_inside_a_call_is_an_error_and_never_an_end(
    service: Service, client: aiohttp.ClientSession
) -> None:
    events = await run(client, service, "tool-call-cut")
    assert [event["type"] for event in events[:3]] == ["start", "tool_call", "tool_arguments"]
    assert events[-1]["code"] == "upstream_disconnected"


async def test_a_call_that_ran_out_of_tokens_ends_with_the_length(
    service: Service, client: aiohttp.ClientSession
) -> None:
    events = await run(client, service, "tool-call-length")
    assert events[-1]["finishReason"] == "length"


async def test_a_stop_inside_a_call_closes_the_providers_connection(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, model="tool-call?interval=0.05&calls=50") as stream:
        await stream.until("tool_arguments")
        receipt = await stop(client, service.url, stream.run_id)
        last = (await stream.rest())[-1]
    assert (receipt["upstreamClosed"], last["finishReason"]) == (True, "stopped")
    await until(lambda: upstream.requests[0].closed_by == "peer")


@pytest.mark.parametrize(
    ("model", "place", "name"),
    [
        ("logprobs", "choice", "logprobs"),
        ("annotations", "delta", "annotations"),
        ("citations", "chunk", "citations"),
        ("search-info", "chunk", "search_info"),
        ("unknown-delta-field", "delta", "mood"),
    ],
)
async def test_what_comes_beside_the_text_comes_as_it_is_and_pages_once(
    service: Service, client: aiohttp.ClientSession, model: str, place: str, name: str
) -> None:
    events = await run(client, service, model)
    beside = [event for event in events if event["type"] == "extra"]
    assert {event["place"] for event in beside} == {place}
    assert all(name in event["fields"] for event in beside)
    pieces = sum(event["type"] == "chunk" for event in events)
    assert len(beside) == {"choice": pieces, "chunk": 1}.get(place, len(beside))
    assert (text(events), events[-1]["finishReason"]) == (ANSWER, "stop")
    sources = [(one["url"], one["title"]) for one in events if one["type"] == "source"]
    named = model in {"annotations", "citations", "search-info"}
    assert sources == ([(page["url"], page["title"]) for page in PAGES] if named else [])


async def test_openais_helper_joins_lists_that_come_in_pieces_by_an_index_of_ours(
    service: Service,
) -> None:
    async with (
        AsyncOpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as openai,
        openai.chat.completions.stream(
            model="annotations", messages=[{"role": "user", "content": "hi"}]
        ) as stream,
    ):
        message = (await stream.get_final_completion()).choices[0].message
    cited = [one.url_citation.url for one in message.annotations or []]
    assert (message.content, cited) == (ANSWER, [page["url"] for page in PAGES])
