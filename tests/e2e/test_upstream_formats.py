"""A provider that writes its stream in its own way: what readers get is the whole answer, or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream
from stream_serve.testing.chunks import THOUGHT
from support.client import Json, ask, text
from support.ended import run
from support.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp


def thinking(events: list[Json]) -> str:
    return "".join(event["content"] for event in events if event["type"] == "reasoning")


WHOLE = [
    *(f"message-last?repeats={how}" for how in ("whole", "prefix", "suffix", "more", "alone")),
    *(
        f"label?type={kind}"
        for kind in ("text/plain", "application/json", "application/octet-stream", "text/html")
    ),
    "one-line-end",
    "one-line-end?hang=1",
    "one-line-end?bare=1",
    "odd-fields",
    "pings",
]


@pytest.mark.parametrize("model", WHOLE)
async def test_however_it_is_written_the_text_comes_whole_and_once(
    service: Service, client: aiohttp.ClientSession, model: str
) -> None:
    events = await run(client, service, model)
    assert text(events) == ANSWER
    assert (events[-1]["type"], events[-1].get("finishReason")) == ("end", "stop")


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
@pytest.mark.parametrize("pretty", [0, 1])
async def test_a_whole_completion_is_thinking_one_chunk_usage_and_an_end(
    service: Service, client: aiohttp.ClientSession, kind: str, pretty: int
) -> None:
    events = await run(client, service, f"whole?type={kind}&pretty={pretty}&finish=length")
    assert [event["type"] for event in events] == ["start", "reasoning", "chunk", "end"]
    assert (thinking(events), text(events)) == (THOUGHT, ANSWER)
    assert (events[-1]["finishReason"], events[-1]["usage"]["source"]) == ("length", "provider")
    events = await run(client, service, f"whole?type={kind}&pretty={pretty}&cut=1")
    assert events[-1]["code"] == "upstream_incomplete"


async def test_a_whole_completion_has_the_bound_of_an_event(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url, max_event_bytes=1000) as service:
        for pretty in (0, 1):
            events = await run(client, service, f"whole?tokens=5000&pretty={pretty}")
            assert events[-1]["code"] == "upstream_too_large"
            assert "STREAM_SERVE_MAX_EVENT_BYTES" in events[-1]["message"]


@pytest.mark.parametrize("form", ["parts", "object", "list", "details", "both"])
async def test_thinking_in_any_form_is_reasoning_once(
    service: Service, client: aiohttp.ClientSession, form: str
) -> None:
    events = await run(client, service, f"odd-thinking?form={form}")
    assert (thinking(events), text(events)) == (THOUGHT, ANSWER)
    assert events[-1]["finishReason"] == "stop"


@pytest.mark.parametrize("size", [1, 3, 4, 1000])
@pytest.mark.parametrize("tag", ["think", "thinking"])
async def test_thinking_in_tags_is_reasoning_however_it_is_cut(
    service: Service, client: aiohttp.ClientSession, tag: str, size: int
) -> None:
    events = await run(client, service, f"think-tags?tag={tag}&size={size}")
    assert (thinking(events), text(events)) == (THOUGHT, ANSWER)
    assert events[-1]["finishReason"] == "stop"


async def test_thinking_whose_tag_is_never_closed_is_reasoning(
    service: Service, client: aiohttp.ClientSession
) -> None:
    events = await run(client, service, "think-tags?closed=0")
    assert (thinking(events), text(events)) == (THOUGHT, "")
    assert events[-1]["type"] == "end"


async def test_thinking_in_tags_does_not_go_back_to_the_provider_as_history(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with Service(
        upstream_url=upstream.url, database_url=f"sqlite:///{tmp_path}/chat.db"
    ) as service:
        conversation = "new"
        for model in ("think-tags?text=yes", "answer"):
            async with ask(client, service.url, model=model, conversationId=conversation) as stream:
                conversation = (await stream.rest())[0]["conversationId"]
    sent = upstream.requests[-1].body["messages"]
    assert [message["content"] for message in sent if message["role"] == "assistant"] == ["yes"]


async def test_words_that_cannot_be_read_are_an_error_and_all_other_text_comes(
    service: Service, client: aiohttp.ClientSession
) -> None:
    for model in ("lost-part", "not-json", "unknown-shape"):
        events = await run(client, service, model)
        assert events[-1]["code"] == "upstream_protocol"
        assert "cannot be read" in events[-1]["message"]
        assert text(events).startswith(ANSWER[:12])
        assert text(events).endswith(ANSWER[:12])
    events = await run(client, service, "deep-json")
    assert (text(events), events[-1]["code"]) == ("before after", "upstream_protocol")


async def test_what_was_left_out_is_logged_once_a_run_with_its_count(
    service: Service, client: aiohttp.ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    async with ask(client, service.url, model="pings?tokens=8") as stream:
        await stream.rest()
    lines = [line for line in capsys.readouterr().out.splitlines() if "could not be read" in line]
    assert len(lines) == 1
    assert stream.run_id in lines[0]
    assert "parts" in lines[0]


@pytest.mark.parametrize(
    "model", ["error-line", "error-event", "error-event?named=response.failed"]
)
async def test_an_error_that_is_no_usual_event_is_an_error_with_its_words(
    service: Service, client: aiohttp.ClientSession, model: str
) -> None:
    events = await run(client, service, model)
    assert events[-1]["code"] == "upstream_error"
    assert "engine is gone" in events[-1]["message"]
    assert text(events) == ANSWER[:12]


async def test_comments_are_life_until_the_first_token_and_not_after_it(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(
        upstream_url=upstream.url, first_token_timeout=0.5, idle_timeout=0.5
    ) as service:
        events = await run(client, service, "life?beats=10&pause=0.125")
        assert (text(events), events[-1]["type"]) == (ANSWER[:12], "end")
        events = await run(client, service, "life?beats=100&pause=0.125&mid=1")
        assert (text(events), events[-1]["code"]) == (ANSWER[:12], "upstream_timeout")


@pytest.mark.parametrize("kind", ["empty", "tools"])
@pytest.mark.parametrize("mid", [0, 1])
async def test_chunks_without_text_are_always_life(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, kind: str, mid: int
) -> None:
    async with Service(
        upstream_url=upstream.url, first_token_timeout=0.5, idle_timeout=0.5
    ) as service:
        events = await run(client, service, f"life?beats=10&pause=0.125&kind={kind}&mid={mid}")
    assert (text(events), events[-1]["type"]) == (ANSWER[:12] * (1 + mid), "end")


async def test_comments_for_ever_are_cut_by_the_time_of_a_run(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(
        upstream_url=upstream.url, first_token_timeout=0.25, run_timeout=1
    ) as service:
        events = await run(client, service, "comments-forever")
    assert events[-1]["code"] == "run_timeout"
    await upstream.until(lambda: upstream.open_connections == 0)
