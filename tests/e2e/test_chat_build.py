"""The chat page as a fresh checkout builds it: once, and not where nothing can be fetched."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from stream_serve.testing import unused_port
from support.page import Debugger, visit
from support.process import environment, running

if TYPE_CHECKING:
    from support.page import PageFactory, Service

ROOT = Path(__file__).parent.parent.parent
PARTS = ("tools", "web", "clients/js/src")
RUNNER = """#!/usr/bin/env bash
exec {python} {more} "$@"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout where nothing was installed or built."""
    for name in PARTS:
        nothing = shutil.ignore_patterns("node_modules", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=nothing)
    (tmp_path / "src" / "stream_serve" / "pages").mkdir(parents=True)
    return tmp_path


def build(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, checkout / "tools" / "page.py", "--missing"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def offline(folder: Path) -> dict[str, str]:
    """Return the environment of a machine that reaches no registry and has kept nothing of one."""
    registry = f"http://127.0.0.1:{unused_port()}/"
    return {"npm_config_registry": registry, "npm_config_cache": str(folder / "empty")}


def test_a_checkout_builds_the_page_once_and_again_when_a_source_changed(checkout: Path) -> None:
    built = checkout / "src" / "stream_serve" / "pages" / "chat"
    assert build(checkout).returncode == 0
    page = (built / "page.html").read_text(encoding="utf-8")
    (script,) = (one for one in built.glob("main-*.js"))
    assert f'src="/chat-page/{script.name}"' in page
    # Nothing can be fetched or built any more, and nothing has to be.
    shutil.rmtree(checkout / "web" / "node_modules")
    unchanged = build(checkout, **offline(checkout))
    assert (unchanged.returncode, unchanged.stderr) == (0, "")
    (checkout / "web" / "src" / "main.ts").write_text("document.title = 'new';", encoding="utf-8")
    assert build(checkout, **offline(checkout)).returncode == 1


def test_without_a_registry_there_is_a_sentence_and_no_page(checkout: Path) -> None:
    told = build(checkout, **offline(checkout))
    assert told.returncode == 1
    assert "The chat page was not built: " in told.stderr
    assert "Traceback" not in told.stderr
    assert not (checkout / "src" / "stream_serve" / "pages" / "chat").exists()


def serveable(checkout: Path) -> None:
    """Add to a checkout what serves it, and an environment that is set up."""
    for name in ("scripts", "requirements", "src/stream_serve"):
        nothing = shutil.ignore_patterns("chat", "__pycache__")
        shutil.copytree(ROOT / name, checkout / name, ignore=nothing, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", checkout)
    commands = checkout / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name, more in (("python", ""), ("stream-serve", "-m stream_serve")):
        (commands / name).write_text(RUNNER.format(python=sys.executable, more=more))
        (commands / name).chmod(0o755)
    ready = 'echo "serve $(cat requirements/serve.txt pyproject.toml scripts/setup | cksum)"'
    made = subprocess.run(["bash", "-c", f"{ready} >.venv/.ready"], cwd=checkout, check=False)
    assert made.returncode == 0


async def test_without_a_registry_the_service_starts_and_its_first_page_says_what_is_missing(
    checkout: Path, page_context: PageFactory
) -> None:
    serveable(checkout)
    port = str(unused_port())
    url = f"http://127.0.0.1:{port}"
    where = environment(**offline(checkout), PYTHONPATH=str(checkout / "src"))
    told = asyncio.subprocess.PIPE
    serve = checkout / "scripts" / "serve"
    async with running(serve, "--port", port, env=where, stderr=told) as process:
        assert process.stderr is not None
        printed = ""
        while "listening" not in printed:
            line = (await process.stderr.readline()).decode()
            assert line, printed
            printed += line
        assert "The chat page was not built: " in printed
        assert "Serving the debug page in its place" in printed
        listening = json.loads(printed.splitlines()[-1])
        assert listening["page"] == f"{url}/"
        assert listening["debugger"] == f"{url}/test-stream.html"
        page = await page_context(locale="en-US")
        await page.goto(listening["page"])
        await expect(page.locator("#unbuilt")).to_contain_text("The chat page was not built")
        debugger = Debugger(page)
        await debugger.send("", "Hello")
        await expect(debugger.answer).not_to_be_empty()
        await expect(page.locator("#unrendered")).to_be_visible()
        await debugger.stop.click()
        await debugger.reaches("stopped")


@pytest.mark.parametrize(
    ("locale", "words"), [("en-US", "The chat page was not built"), ("zh-CN", "聊天页面尚未构建")]
)
async def test_the_debug_page_says_that_the_chat_page_was_not_built(
    service: Service, page_context: PageFactory, locale: str, words: str
) -> None:
    debugger = await visit(page_context, service, locale=locale)
    note = debugger.page.locator("#unbuilt")
    await expect(note).to_be_hidden()
    await debugger.page.goto("about:blank")
    await debugger.page.goto(f"{service.url}/test-stream.html#unbuilt")
    await expect(note).to_contain_text(words)
    await expect(note).to_contain_text("scripts/web")
