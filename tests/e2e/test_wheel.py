"""The built wheel, in an empty environment: it carries the pages, and it answers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.client import ask, text

if TYPE_CHECKING:
    import aiohttp

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str | Path, cwd: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [str(argument) for argument in arguments], cwd=cwd, env=environment, check=True, timeout=300
    )


@pytest.mark.timeout(600)
async def test_the_wheel_installs_into_an_empty_environment_and_answers(
    tmp_path: Path, client: aiohttp.ClientSession
) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    run(*build, tmp_path / "dist", ROOT, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    binaries = tmp_path / "env" / "bin"
    run(binaries / "pip", "install", "--quiet", wheel, cwd=tmp_path)
    server = await asyncio.create_subprocess_exec(
        binaries / "stream-serve",
        "serve",
        "--port",
        "0",
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "STREAM_SERVE_LOG_FORMAT": "json"},
    )
    try:
        assert server.stderr is not None
        async with asyncio.timeout(60):
            url = json.loads(await server.stderr.readline())["url"]
        async with ask(client, url, message="Hello", maxTokens=20) as stream:
            assert "demo model" in text(await stream.rest())
        for path in ("/test-stream.html", "/test-stream/main.js", "/docs", "/docs/swagger-ui.css"):
            async with client.get(url + path) as response:
                assert response.status == 200
                assert len(await response.read()) > 200
    finally:
        server.terminate()
        await server.communicate()
