"""The README's examples, run as they stand, in both languages."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic_core import PydanticUndefined

from stream_serve.settings import Settings
from stream_serve.testing import ANSWER
from support.browser import browser
from support.client import ask

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.service import Service

ROOT = Path(__file__).parent.parent.parent
READMES = ["README.md", "README.zh-CN.md"]

pytestmark = pytest.mark.parametrize("readme", READMES)


def blocks(readme: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / readme).read_text(), re.DOTALL)


async def shell(script: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_curl_examples_work(
    service: Service, client: aiohttp.ClientSession, readme: str
) -> None:
    examples = [block for block in blocks(readme, "bash") if "curl" in block]
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


async def test_the_browser_example_works(service: Service, readme: str) -> None:
    example = blocks(readme, "js")[0]
    async with browser() as open_page:
        page = await open_page()
        await page.goto(f"{service.url}/test-stream.html")
        result = await page.evaluate(
            f"""async () => {{
                {example}
                let text = "";
                const end = await chat("hi", (piece) => {{ text += piece; }});
                return [text, end.finishReason];
            }}"""
        )
    assert result == [ANSWER, "stop"]


async def test_aborting_the_browser_example_stops_the_generation(
    upstream: ScriptedUpstream, service: Service, readme: str
) -> None:
    example = blocks(readme, "js")[0].replace("{ message }", '{ message, model: "hang-mid" }')
    async with browser() as open_page:
        page = await open_page()
        await page.goto(f"{service.url}/test-stream.html")
        name = await page.evaluate(
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


async def test_following_with_an_eventsource_works(
    service: Service, client: aiohttp.ClientSession, readme: str
) -> None:
    example = blocks(readme, "js")[1]
    async with (
        ask(client, service.url, model="answer?interval=0.005") as stream,
        browser() as open_page,
    ):
        page = await open_page()
        await page.goto(f"{service.url}/test-stream.html")
        result = await page.evaluate(
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


def test_the_table_of_settings_has_every_setting_and_its_default(readme: str) -> None:
    rows = dict(
        re.findall(r"^\| `[^|]*?([A-Z_]{4,})` \|(.*?)\|", (ROOT / readme).read_text(), re.MULTILINE)
    )
    for name, field in Settings.model_fields.items():
        variable = f"STREAM_SERVE_{name.upper()}"
        if variable not in rows:
            variable = name.upper()
        shown = rows.pop(variable).strip("` ")
        default = field.default
        if default in (None, (), PydanticUndefined):
            expected = "qwen-plus" if name == "model" else ""
        elif isinstance(default, float):
            expected = f"{default:g}"
        else:
            expected = str(default).lower() if isinstance(default, bool) else str(default)
        assert shown == expected, variable
    assert rows == {}, "the table has settings that do not exist"


def test_the_event_example_is_what_the_service_sends(readme: str) -> None:
    (example,) = (block for block in blocks(readme, "text") if "data:" in block)
    kinds = re.findall(r'"type":"(\w+)"', example)
    assert kinds == ["start", "chunk", "chunk", "end"]


def test_files_that_are_named_exist(readme: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / readme).read_text()):
        assert (ROOT / target).exists(), target
