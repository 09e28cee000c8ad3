"""Conversations that are longer than what the model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream
from support.client import Json, ask, text
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import Record


@pytest.fixture
async def service(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Service]:
    async with Service(
        upstream_url=upstream.url, database_url=str(tmp_path / "chat.db")
    ) as running:
        yield running


async def say(
    client: aiohttp.ClientSession, service: Service, conversation: str, model: str
) -> list[Json]:
    body = {"message": "and then?", "conversationId": conversation, "model": model}
    async with ask(client, service.url, **body) as stream:
        return await stream.rest()


def asked(upstream: ScriptedUpstream) -> list[Record]:
    """Return the questions that the provider got, and not that for its models."""
    return [one for one in upstream.requests if one.method == "POST"]


async def converse(client: aiohttp.ClientSession, service: Service, turns: int) -> str:
    conversation = "new"
    for _ in range(turns):
        events = await say(client, service, conversation, "answer")
        conversation = events[0]["conversationId"]
    return conversation


@pytest.mark.parametrize("how", ["refusal", "numeric", "stream"])
async def test_a_history_that_is_too_long_is_sent_once_more_by_half(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, how: str
) -> None:
    conversation = await converse(client, service, 4)
    events = await say(client, service, conversation, f"context?messages=6&how={how}")
    assert (events[-1]["type"], text(events)) == ("end", ANSWER)
    first, second = asked(upstream)[-2:]
    assert len(first.body["messages"]) == 10
    assert len(second.body["messages"]) <= 6
    assert second.body["messages"][0]["role"] == "system"
    assert second.body["messages"][-1] == first.body["messages"][-1]
    assert first.closed_by is not None


@pytest.mark.parametrize(("size", "kept"), [(2_000, True), (400_000, False)])
async def test_a_document_counts_in_the_history_that_is_sent(
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    tmp_path: Path,
    *,
    size: int,
    kept: bool,
) -> None:
    document = {"type": "file", "file": {"filename": "a.pdf", "file_data": "A" * size}}
    async with Service(
        upstream_url=upstream.url, database_url=str(tmp_path / "chat.db"), history_tokens=1_500
    ) as service:
        body: Json = {"message": [document], "conversationId": "new", "model": "answer"}
        async with ask(client, service.url, **body) as stream:
            conversation = (await stream.rest())[0]["conversationId"]
        await say(client, service, conversation, "answer")
    first, second = asked(upstream)
    assert first.body["messages"][-1]["content"] == [document], "what is asked now is sent whole"
    assert ([document] in [one["content"] for one in second.body["messages"]]) is kept


@pytest.mark.parametrize("by_file", [False, True])
async def test_the_servers_own_figure_is_the_budget_from_the_first_refusal_on(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, tmp_path: Path, by_file: bool
) -> None:
    upstream.context = 200
    upstream.models = ["context?messages=4", "answer"]
    if by_file:
        file = f'[[providers]]\nname = "here"\nkind = "generic"\nurl = "{upstream.url}"\n'
        (tmp_path / "stream-serve.toml").write_text(file, encoding="utf-8")
    settings = {} if by_file else {"upstream_url": upstream.url}
    async with Service(database_url=str(tmp_path / "chat.db"), **settings) as service:
        conversation = await converse(client, service, 8)
        for refusals in (1, 0):
            before = len(asked(upstream))
            events = await say(client, service, conversation, "context?messages=4")
            assert (events[-1]["type"], text(events)) == ("end", ANSWER)
            questions = asked(upstream)[before:]
            assert len(questions) == refusals + 1
            assert len(questions[-1].body["messages"]) <= 4


async def test_one_that_is_too_long_all_the_same_is_an_error_that_names_the_setting(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    conversation = await converse(client, service, 4)
    before = len(asked(upstream))
    error = (await say(client, service, conversation, "context?messages=1"))[-1]
    assert (error["code"], error["providerCode"]) == (
        "upstream_context_exceeded",
        "context_length_exceeded",
    )
    assert "STREAM_SERVE_HISTORY_TOKENS" in error["message"]
    assert len(asked(upstream)) == before + 2
    assert error["saved"] is True


async def test_a_question_alone_that_is_too_long_is_asked_once(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    error = (await say(client, service, "new", "context?messages=1"))[-1]
    assert error["code"] == "upstream_context_exceeded"
    assert len(asked(upstream)) == 1


async def test_the_budget_of_a_history_follows_the_context_of_the_model(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    (tmp_path / "stream-serve.toml").write_text(
        f"""
[[providers]]
name = "here"
kind = "generic"
url = "{upstream.url}"

[[models]]
name = "answer"
default = true
context = 120
targets = [{{ provider = "here", model = "answer" }}]
""",
        encoding="utf-8",
    )
    async with Service(database_url=str(tmp_path / "chat.db")) as service:
        await converse(client, service, 6)
    assert len(asked(upstream)) == 6
    assert len(asked(upstream)[-1].body["messages"]) < 12
