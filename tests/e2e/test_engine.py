"""A real engine as the provider: llama.cpp's server, whose own counters tell whether a stop is one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.client import Json, Stream, ask, show, stop, text
from support.engine import Engine, need_engine
from support.gguf import CONTEXT, LOOP, LOOP_TOKENS, WHOLE, WHOLE_TOKENS, write_model
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

ENDLESS = "Tell me about water."
SHORT = "Say something short!"
FEW = 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the model."""
    need_engine()
    path = tmp_path_factory.mktemp("engine") / "known.gguf"
    write_model(path)
    return path


@pytest.fixture
async def engine(model: Path) -> AsyncIterator[Engine]:
    """An engine that has not answered yet."""
    async with Engine(model) as running:
        yield running


@pytest.fixture
async def service(engine: Engine, tmp_path: Path) -> AsyncIterator[Service]:
    """The service in front of the engine, with conversations."""
    database = f"sqlite:///{tmp_path / 'conversations.db'}"
    async with Service(upstream_url=engine.url, model="known", database_url=database) as running:
        yield running


async def answer(
    client: aiohttp.ClientSession, service: Service, message: str, **fields: Any
) -> list[Json]:
    async with ask(client, service.url, message=message, **fields) as stream:
        return await stream.rest()


async def some(stream: Stream) -> str:
    """Read the first tokens of an answer that has no end."""
    return "".join([(await stream.until("chunk"))["content"] for _ in range(FEW)])


async def stands_still(engine: Engine, client: aiohttp.ClientSession, service: Service) -> None:
    """Wait until the engine does nothing, long before its context is full; then it makes no token more
    than those of the next answer."""
    await until(engine.idle)
    made = await engine.tokens()
    assert FEW <= made < CONTEXT // 2
    assert text(await answer(client, service, SHORT)) == WHOLE
    assert await engine.tokens() == made + WHOLE_TOKENS


async def test_an_answer_comes_whole_and_with_the_engines_own_figures(
    service: Service, client: aiohttp.ClientSession, engine: Engine
) -> None:
    events = await answer(client, service, SHORT)
    assert text(events) == WHOLE
    assert (events[-1]["type"], events[-1]["finishReason"]) == ("end", "stop")
    usage = events[-1]["usage"]
    assert usage["source"] == "provider"
    assert usage["completionTokens"] == WHOLE_TOKENS == await engine.tokens()


async def test_an_answer_of_the_longest_allowed_length_says_so(
    service: Service, client: aiohttp.ClientSession
) -> None:
    events = await answer(client, service, ENDLESS, maxTokens=4 * LOOP_TOKENS)
    assert text(events) == (LOOP * 4).strip()
    assert (events[-1]["type"], events[-1]["finishReason"]) == ("end", "length")
    assert events[-1]["usage"]["completionTokens"] == 4 * LOOP_TOKENS


async def test_after_a_stop_the_engine_makes_no_further_token(
    service: Service, client: aiohttp.ClientSession, engine: Engine
) -> None:
    async with ask(client, service.url, message=ENDLESS) as stream:
        await some(stream)
        receipt = await stop(client, service.url, stream.run_id)
        rest = await stream.rest()
    assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
    assert (rest[-1]["type"], rest[-1]["finishReason"]) == ("end", "stopped")
    await stands_still(engine, client, service)


async def test_after_the_client_has_left_the_engine_makes_no_further_token(
    service: Service, client: aiohttp.ClientSession, engine: Engine
) -> None:
    async with ask(client, service.url, message=ENDLESS) as stream:
        await some(stream)
        stream.drop()
    await stands_still(engine, client, service)
    assert (await show(client, service.url, stream.run_id))["state"] == "stopped"


async def test_a_prompt_that_is_too_long_brings_the_engines_words(
    service: Service, client: aiohttp.ClientSession
) -> None:
    (*_, error) = await answer(client, service, "long " * CONTEXT)
    assert (error["type"], error["code"]) == ("error", "upstream_context_exceeded")
    assert "exceeds the available context size (32768 tokens)" in error["message"]
    assert text(await answer(client, service, SHORT)) == WHOLE


async def test_an_engine_that_is_killed_costs_one_answer_whose_text_stays(
    service: Service, client: aiohttp.ClientSession, engine: Engine
) -> None:
    async with ask(client, service.url, message=ENDLESS, conversationId="new") as stream:
        start = await stream.until("start")
        said = await some(stream)
        await engine.kill()
        rest = await stream.rest()
    said += text(rest)
    assert (rest[-1]["type"], rest[-1]["code"]) == ("error", "upstream_disconnected")
    assert (LOOP * len(said)).strip().startswith(said)
    kept = f"{service.url}/ai/conversations/{start['conversationId']}"
    async with client.get(kept) as response:
        message = (await response.json())["messages"][-1]
    assert (message["status"], message["content"]) == ("failed", said)


async def test_an_engine_that_is_away_is_said_to_be_and_works_again_after_its_restart(
    service: Service, client: aiohttp.ClientSession, engine: Engine
) -> None:
    assert text(await answer(client, service, SHORT)) == WHOLE
    await engine.kill()
    (*_, error) = await answer(client, service, SHORT)
    assert (error["type"], error["code"]) == ("error", "upstream_unreachable")
    await engine.start()
    assert text(await answer(client, service, SHORT)) == WHOLE


async def test_as_a_provider_of_its_kind_it_is_asked_for_its_model_and_takes_every_switch(
    engine: Engine, client: aiohttp.ClientSession
) -> None:
    async with Service(upstream_url=engine.url, model="", upstream_kind="llamacpp") as service:
        async with client.get(f"{service.url}/ai/models") as response:
            (shown,) = (await response.json())["models"]
        assert shown["default"] is True
        assert shown["context"] == CONTEXT
        for thinking in (True, False):
            events = await answer(client, service, SHORT, enableThinking=thinking, maxTokens=100)
            assert text(events) == WHOLE
            assert events[0]["model"] == shown["name"]
            assert events[-1]["usage"]["completionTokens"] == WHOLE_TOKENS


async def test_by_a_file_its_only_model_is_found_and_thinking_is_switched_in_its_own_way(
    client: aiohttp.ClientSession, engine: Engine, model: Path
) -> None:
    provider = f'[[providers]]\nname = "here"\nkind = "llamacpp"\nurl = "{engine.url}"\n'
    Path("stream-serve.toml").write_text(provider, encoding="utf-8")
    async with Service() as service:
        events = await answer(client, service, ENDLESS, enableThinking=False)
        assert events[0]["model"] == str(model)
        assert text(events) == WHOLE
        events = await answer(client, service, ENDLESS, enableThinking=True, maxTokens=LOOP_TOKENS)
        assert text(events) == LOOP.strip()
