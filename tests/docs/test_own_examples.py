"""The applications in examples/, run as they stand, each in a process of its own."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from support.pages import ROOT
from support.process import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.slow


@asynccontextmanager
async def example(name: str, folder: Path) -> AsyncGenerator[str]:
    """Serve an example from a folder that it may write to, and yield its URL."""
    async with running(
        *(sys.executable, "-m", "uvicorn", "main:app", "--port", "0"),
        *("--app-dir", str(ROOT / "examples" / name)),
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            said = ""
            while (found := re.search(r"running on (http://\S+)", said)) is None:
                line = await process.stderr.readline()
                assert line, said
                said += line.decode()
        yield found[1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own-agent", '"content":"there "'),
        ("pydantic-ai", '"content":"success (no tool calls)"'),
        ("langgraph", '"content":"asked: "'),
    ],
)
async def test_an_agent_of_ones_own_answers_and_is_stopped(
    name: str, said: str, tmp_path: Path
) -> None:
    async with example(name, tmp_path) as url, aiohttp.ClientSession() as session:
        chat = f"{url}/ai/chat/stream-sse"
        answer = await (await session.post(chat, json={"message": "hello there"})).text()
        assert said in answer
        assert '"finishReason":"stop"' in answer
        long = await session.post(chat, json={"message": "word " * 500})
        run = f"{url}/ai/runs/{long.headers['X-Run-Id']}"
        receipt = await (await session.post(f"{run}/stop")).json()
        assert receipt["outcome"] in {"stopped", "already_finished"}
        if name != "pydantic-ai":  # whose model for tests answers at once
            assert '"finishReason":"stopped"' in await long.text()


async def test_an_application_with_its_own_login_keeps_its_users_apart(tmp_path: Path) -> None:
    async with example("own-login", tmp_path) as url:
        chat, asked = f"{url}/ai/chat/stream-sse", {"message": "hello", "conversationId": "new"}
        jars = [aiohttp.CookieJar(unsafe=True) for _ in range(3)]
        ann, bob, nobody = (aiohttp.ClientSession(cookie_jar=jar) for jar in jars)
        async with ann, bob, nobody:
            for session, name in ((ann, "ann"), (bob, "bob")):
                login = await session.post(f"{url}/login?name={name}")
                assert await login.json() == {"user": name}
                answer = await (await session.post(chat, json=asked)).text()
                assert f"Hello {name}, you have sent 1 messages." in answer
            assert (await nobody.post(chat, json=asked)).status == 401
            lists = [await (await one.get(f"{url}/ai/conversations")).json() for one in (ann, bob)]
            ids = [{one["id"] for one in page["conversations"]} for page in lists]
            assert [len(one) for one in ids] == [1, 1]
            assert ids[0].isdisjoint(ids[1])
    assert (tmp_path / "conversations.db").exists()
