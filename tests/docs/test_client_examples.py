"""The examples that ask the service: pages in a real Chromium, and LangChain in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import pytest
from aiohttp import web
from playwright.async_api import expect

from stream_serve.testing import ANSWER, pieces
from support.browser import browser
from support.clients import NODE_MODULES, ROOT, environment, node, python
from support.process import running
from support.proxy import Proxy
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from playwright.async_api import Page

    from stream_serve.testing import ScriptedUpstream

pytestmark = pytest.mark.slow

EXAMPLES: Final = ROOT / "examples"
TOKENS: Final = 60
HELD: Final = f"answer?tokens={TOKENS}&hold=20"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))


def build(folder: Path) -> None:
    """Build the React example as its own script does, with the client's source and locked packages."""
    example = EXAMPLES / "react-chat"
    shutil.copytree(example / "public", folder, dirs_exist_ok=True)
    script = json.loads((example / "package.json").read_text(encoding="utf-8"))["scripts"]["build"]
    name, *words = script.split()
    assert name == "esbuild"
    words[-1] = f"--outfile={folder / 'main.js'}"
    client = ROOT / "clients" / "js" / "src" / "index.ts"
    subprocess.run(
        [
            *(node(), NODE_MODULES / "esbuild" / "bin" / "esbuild", *words),
            *(f"--alias:stream-serve-client={client}", "--log-level=warning"),
        ],
        cwd=example,
        env={**os.environ, "NODE_PATH": str(NODE_MODULES)},
        check=True,
        timeout=60,
    )


@asynccontextmanager
async def site(folder: Path) -> AsyncGenerator[str]:
    """Serve the files of a folder, and yield the origin."""

    async def serve(request: web.Request) -> web.FileResponse:
        return web.FileResponse(folder / (request.match_info["name"] or "index.html"))

    app = web.Application()
    app.router.add_get("/{name:[a-z.]*}", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(name: str, folder: Path, upstream: ScriptedUpstream) -> AsyncGenerator[Chat]:
    """Open an example's page, on a network to the service that can be cut."""
    if name == "react-chat":
        build(folder)
    else:
        folder = EXAMPLES / name
    async with site(folder) as origin:
        service = Service(upstream_url=upstream.url, model=HELD, cors_origins=origin)
        async with service, Proxy(service.url) as network, browser() as open_page:
            page = await open_page()
            await page.goto(f"{origin}/?service={network.url}")
            yield Chat(page, network)
            await page.close()


class Chat:
    """A page with a chat."""

    def __init__(self, page: Page, network: Proxy) -> None:
        self.page = page
        self.network = network
        self.answers = page.locator("p.assistant")

    async def ask(self, message: str) -> None:
        await self.page.get_by_label("Message").fill(message)
        await self.page.get_by_role("button", name="Send").click()

    async def stop(self) -> None:
        await self.page.get_by_role("button", name="Stop").click()
        await self.ends()

    async def ends(self) -> None:
        """Wait until no answer is on its way: all its text is there before that."""
        await expect(self.page.get_by_role("button", name="Stop")).to_be_disabled()


@pytest.fixture(params=["html-chat", "react-chat"])
async def chat(
    request: pytest.FixtureRequest, tmp_path: Path, upstream: ScriptedUpstream
) -> AsyncGenerator[Chat]:
    """Each of the pages."""
    async with opened(str(request.param), tmp_path, upstream) as made:
        yield made


async def test_a_page_of_the_examples_goes_on_after_a_cut_and_a_reload_and_asks_once(
    chat: Chat, upstream: ScriptedUpstream
) -> None:
    await chat.ask("one")
    await expect(chat.answers).to_contain_text(ANSWER[:16])
    chat.network.cut()
    upstream.release(upstream.requests[0])
    await expect(chat.answers).to_have_text(TEXT, timeout=30_000)
    await chat.ends()
    await chat.ask("two")
    await expect(chat.answers).to_have_count(2)
    await expect(chat.answers.last).to_contain_text(ANSWER[:16])
    await chat.page.reload()
    await expect(chat.page.locator("p.user")).to_have_text("two")
    upstream.release(upstream.requests[1])
    await expect(chat.answers).to_have_text(TEXT, timeout=30_000)
    assert len(upstream.requests) == 2
    asked = [one["content"] for one in upstream.requests[1].body["messages"]]
    assert asked[-3:] == ["one", TEXT, "two"], "it is one conversation"


async def test_a_page_of_the_examples_really_stops(chat: Chat, upstream: ScriptedUpstream) -> None:
    await chat.ask("<b>one</b>")
    await expect(chat.page.locator("p.user")).to_have_text("<b>one</b>")
    await expect(chat.answers).to_contain_text(ANSWER[:16])
    await chat.stop()
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    text = await chat.answers.text_content()
    assert text
    assert TEXT.startswith(text)
    await chat.ask("two")
    await expect(chat.answers).to_have_count(2)


def test_the_react_example_wants_the_packages_that_it_is_tested_with() -> None:
    theirs, ours = (
        json.loads((folder / "package.json").read_text(encoding="utf-8"))
        for folder in (EXAMPLES / "react-chat", ROOT / "tests" / "clients" / "node")
    )
    wanted = {**theirs["dependencies"], **theirs["devDependencies"]}
    assert wanted.pop("stream-serve-client") == "file:../../clients/js"
    assert wanted == {name: ours["dependencies"][name] for name in wanted}


def test_the_react_example_locks_the_versions_that_it_is_tested_with() -> None:
    theirs, ours = (
        json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))["packages"]
        for folder in (EXAMPLES / "react-chat", ROOT / "tests" / "clients" / "node")
    )
    wanted = json.loads((EXAMPLES / "react-chat" / "package.json").read_text(encoding="utf-8"))
    named = {name: wanted[name] for name in ("dependencies", "devDependencies")}
    assert {name: theirs[""][name] for name in named} == named
    assert theirs.pop("node_modules/stream-serve-client")["resolved"] == "../../clients/js"
    locked = {name: one["integrity"] for name, one in theirs.items() if "integrity" in one}
    assert locked
    assert locked == {name: ours[name]["integrity"] for name in locked}


async def test_the_langchain_example_prints_the_answer(upstream: ScriptedUpstream) -> None:
    async with (
        Service(upstream_url=upstream.url) as service,
        running(
            *(python(), EXAMPLES / "langchain" / "main.py", "Why", "is it?"),
            env=environment(SERVICE=service.url, MODEL="answer"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        ) as process,
    ):
        out, err = await process.communicate()
    assert (process.returncode, out.decode()) == (0, ANSWER + "\n"), err.decode()
    sent = [one["content"] for one in upstream.requests[0].body["messages"]]
    assert sent[-1] == "Why is it?"
