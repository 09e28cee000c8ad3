"""The built wheel, in an empty environment: it carries the pages, and it answers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.client import ask, text
from support.process import running

if TYPE_CHECKING:
    import aiohttp

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str | Path, cwd: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [str(argument) for argument in arguments], cwd=cwd, env=environment, check=True, timeout=300
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    run(*build, folder, ROOT, cwd=folder)
    (found,) = folder.glob("*.whl")
    return found


def environment(folder: Path, *wanted: str) -> Path:
    """Make an environment with these packages alone, and return where its commands are."""
    venv.create(folder, with_pip=True)
    run(folder / "bin" / "pip", "install", "--quiet", *wanted, cwd=folder)
    return folder / "bin"


async def files_of_the_chat(client: aiohttp.ClientSession, url: str) -> list[str]:
    async with client.get(f"{url}/") as response:
        found = re.findall(r'"(chat-page/[^"]+)"', await response.text())
    assert len(found) >= 2
    return [f"/{name}" for name in found]


@pytest.mark.timeout(600)
async def test_the_wheel_installs_into_an_empty_environment_and_answers(
    tmp_path: Path, client: aiohttp.ClientSession, wheel: Path
) -> None:
    binaries = environment(tmp_path / "env", f"{wheel}[server,database]")
    async with running(
        binaries / "stream-serve",
        "serve",
        "--port",
        "0",
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "STREAM_SERVE_LOG_FORMAT": "json"},
    ) as server:
        assert server.stderr is not None
        async with asyncio.timeout(60):
            url = json.loads(await server.stderr.readline())["url"]
        async with ask(client, url, message="Hello", maxTokens=20) as stream:
            assert "demo model" in text(await stream.rest())
        pages = ("/test-stream.html", "/test-stream/main.js", "/docs", "/docs/swagger-ui.css")
        for path in (*pages, "/client.js", "/widget.js", *await files_of_the_chat(client, url)):
            async with client.get(url + path) as response:
                assert response.status == 200
                assert len(await response.read()) > 50


SMALL = """
import asyncio, importlib.util
from stream_serve import ChatRequest, Streams

missing = "uvicorn", "typer", "rich", "httptools", "sqlalchemy", "alembic", "redis", "asyncpg"
assert not any(map(importlib.util.find_spec, missing))
streams = Streams.memory()

@streams.chat
async def answer(request: ChatRequest):
    yield f"You said: {request.question}"

async def ask(path, body):
    sent, got = iter([{"type": "http.request", "body": body}]), []
    async def receive():
        for message in sent:
            return message
        await asyncio.Event().wait()
    async def send(message):
        got.append(message.get("body", b"").decode())
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    await streams.routes()(scope, receive, send)
    return "".join(got)

async def main():
    async with streams.lifespan():
        print(await ask("/chat/stream-sse", b'{"message": "hello"}'))
        print(await ask("/chat/stream-sse", b'{"message": "hello", "conversationId": "new"}'))

asyncio.run(main())
"""


@pytest.mark.timeout(600)
def test_the_core_has_neither_a_server_nor_a_command_nor_a_database(
    tmp_path: Path, wheel: Path
) -> None:
    binaries = environment(tmp_path / "env", str(wheel))
    asked = subprocess.run(
        [binaries / "python", "-c", SMALL], capture_output=True, text=True, check=True, timeout=60
    )
    assert '"content":"You said: hello"' in asked.stdout
    assert "install stream-serve[database]" in asked.stdout
    command = subprocess.run(
        [binaries / "stream-serve", "--version"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert command.returncode == 2
    assert "install stream-serve[server]" in command.stderr
    assert "Traceback" not in command.stderr
