"""The examples of the pages, run as they stand, in both languages."""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.testing import ANSWER, unused_port
from support.browser import browser
from support.client import ask
from support.pages import READMES, ROOT, blocks, pair
from support.process import running
from support.proxy import Proxy
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

KEY: Final = "canary-key-of-a-caller"

pytestmark = pytest.mark.slow
on_readme = pytest.mark.parametrize("readme", READMES)
on_api = pytest.mark.parametrize("page", pair("api"))
on_testing = pytest.mark.parametrize("page", pair("testing"))


@pytest.fixture
async def keyed(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    """The service, with a key."""
    async with Service(upstream_url=upstream.url, api_keys=KEY) as running:
        yield running


def start(
    script: str, **environment: str
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return running(
        *("bash", "-euo", "pipefail", "-c", script),
        env={**os.environ, **environment},
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def shell(script: str, **environment: str) -> str:
    async with start(script, **environment) as process, asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def curls(page: str) -> list[str]:
    return [block for block in blocks(page, "bash") if "curl" in block]


# The first page


@on_readme
async def test_the_curl_examples_work(
    service: Service, client: aiohttp.ClientSession, readme: str
) -> None:
    examples = curls(readme)
    assert len(examples) == 4
    chat, stop, resume, converse = (
        example.replace("http://localhost:3000", service.url) for example in examples
    )
    answer = await shell(chat)
    assert 'data: {"type":"start"' in answer
    assert 'data: {"type":"end"' in answer
    async with ask(client, service.url, model="hang-mid") as stream:
        await stream.until("chunk")
        receipt = await shell(stop, RUN_ID=stream.run_id)
        assert '"outcome":"stopped","upstreamClosed":true' in receipt
    rest = await shell(resume, RUN_ID=stream.run_id)
    assert rest.startswith("id: 3\n")
    assert '"finishReason":"stopped"' in rest
    kept = await shell(converse)
    assert '"conversationId":"' in kept
    assert '"saved":true' in kept


@on_readme
async def test_the_question_in_the_terminal_is_answered(
    upstream: ScriptedUpstream, readme: str
) -> None:
    (example,) = re.findall(r"^\| `(.* chat .*)` \|", (ROOT / readme).read_text(), re.MULTILINE)
    said = await shell(
        example,
        STREAM_SERVE_UPSTREAM_URL=upstream.url,
        STREAM_SERVE_UPSTREAM_API_KEY="canary",
        STREAM_SERVE_MODEL="answer",
    )
    assert ANSWER in said


@on_readme
def test_the_event_example_is_what_the_service_sends(readme: str) -> None:
    (example,) = (block for block in blocks(readme, "text") if "data:" in block)
    kinds = re.findall(r'"type":"(\w+)"', example)
    assert kinds == ["start", "chunk", "chunk", "end"]


# The page on the API


@on_api
async def test_the_curl_example_with_a_key_works(keyed: Service, page: str) -> None:
    (example,) = curls(page)
    answer = await shell(example.replace("http://localhost:3000", keyed.url), API_KEY=KEY)
    assert 'data: {"type":"end"' in answer


@on_api
async def test_the_browser_example_works(service: Service, page: str) -> None:
    example = blocks(page, "js")[0]
    async with browser() as open_page:
        tab = await open_page()
        await tab.goto(f"{service.url}/test-stream.html")
        result = await tab.evaluate(
            f"""async () => {{
                {example}
                let text = "";
                const end = await chat("hi", (piece) => {{ text += piece; }});
                return [text, end.finishReason];
            }}"""
        )
    assert result == [ANSWER, "stop"]


@on_api
async def test_aborting_the_browser_example_stops_the_generation(
    upstream: ScriptedUpstream, service: Service, page: str
) -> None:
    example = blocks(page, "js")[0].replace("{ message }", '{ message, model: "hang-mid" }')
    async with browser() as open_page:
        tab = await open_page()
        await tab.goto(f"{service.url}/test-stream.html")
        name = await tab.evaluate(
            f"""async () => {{
                {example}
                const controller = new AbortController();
                try {{
                    await chat("hi", () => controller.abort(), controller.signal);
                }} catch (error) {{
                    return error.name;
                }}
            }}"""
        )
        assert name == "AbortError"
        await upstream.wait_for(lambda record: record.closed_by == "peer")


@on_api
async def test_following_with_an_eventsource_works(
    service: Service, client: aiohttp.ClientSession, page: str
) -> None:
    example = blocks(page, "js")[1]
    async with (
        ask(client, service.url, model="answer?interval=0.005") as stream,
        browser() as open_page,
    ):
        tab = await open_page()
        await tab.goto(f"{service.url}/test-stream.html")
        result = await tab.evaluate(
            f"""(runId) => new Promise((done) => {{
                {example}
                let text = "";
                follow(runId, (event) => {{
                    text += event.type === "chunk" ? event.content : "";
                    if (event.type === "end") done([text, event.finishReason]);
                }});
            }})""",
            stream.run_id,
        )
    assert result == [ANSWER, "stop"]


@on_api
async def test_following_with_a_key_gets_every_event_once_although_the_network_is_cut(
    keyed: Service, client: aiohttp.ClientSession, page: str
) -> None:
    example = blocks(page, "js")[2]
    slow = "answer?tokens=100&interval=0.02"
    async with (
        ask(client, keyed.url, key=KEY, model=slow) as stream,
        Proxy(keyed.url) as network,
        browser() as open_page,
    ):
        tab = await open_page()
        await tab.goto(f"{network.url}/test-stream.html")
        await tab.evaluate(
            f"""([runId, key]) => {{
                {example}
                window.events = [];
                window.some = new Promise((some) => {{
                    window.ended = followWithKey(runId, key, (event) => {{
                        if (window.events.push(event) > 10) some();
                    }});
                }});
            }}""",
            [stream.run_id, KEY],
        )
        await tab.evaluate("window.some")
        network.cut()
        followed: list[dict[str, Any]] = await tab.evaluate(
            "async () => { await window.ended; return window.events; }"
        )
        told = await stream.rest()
    assert followed == [{name: event[name] for name in event if name != "id"} for event in told]
    assert followed[-1]["finishReason"] == "stop"


@on_api
async def test_following_with_a_wrong_key_says_so(
    keyed: Service, client: aiohttp.ClientSession, page: str
) -> None:
    example = blocks(page, "js")[2]
    async with browser() as open_page:
        tab = await open_page()
        await tab.goto(f"{keyed.url}/test-stream.html")
        said = await tab.evaluate(
            f"""async () => {{
                {example}
                return followWithKey("0123456789abcdef", "wrong", () => {{}})
                    .catch((error) => error.message);
            }}"""
        )
    assert "API key" in said


@on_api
async def test_the_request_with_a_field_of_the_providers_own_reaches_it(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, page: str
) -> None:
    (example,) = (block for block in blocks(page, "json") if "extraBody" in block)
    body = json.loads(example)
    async with ask(client, service.url, **body) as stream:
        await stream.rest()
    assert body["extraBody"].items() <= upstream.requests[0].body.items()


# The page on tests


@on_testing
async def test_the_scripted_provider_starts_and_answers(page: str) -> None:
    command = blocks(page, "bash")[0]
    (question,) = curls(page)
    port = str(unused_port())
    async with start("exec " + command.replace("9000", port)) as process:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            url = (await process.stdout.readline()).decode().strip()
        assert url == f"http://127.0.0.1:{port}/v1"
        assert "data: [DONE]" in await shell(question.replace("9000", port))
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


@on_testing
async def test_the_test_in_python_passes(page: str) -> None:
    (example,) = blocks(page, "python")
    names: dict[str, Any] = {}
    exec(compile(example, page, "exec"), names)
    await names["test_breaking_off_closes_the_connection"]()
