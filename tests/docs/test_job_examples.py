"""The examples of jobs: that of the page, and those in examples/, run as they stand."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI

from stream_serve import Streams
from support.host import serving
from support.jobs import contents, ended, messages
from support.pages import READMES, ROOT, blocks, pair
from support.process import running
from support.waiting import until

from .test_own_examples import example

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from support.service import Service

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", pair("streams"))
async def test_the_example_of_a_job_works(
    client: aiohttp.ClientSession, page: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(blocks(page, "python")[0], encoding="utf-8")
    async with running(sys.executable, script, cwd=tmp_path) as process:
        assert await process.wait() == 0
    streams = Streams.sqlite(tmp_path / "jobs.db", owner=lambda: "alice")
    app = FastAPI(lifespan=streams.lifespan)
    app.mount("/ai", streams.routes())
    async with serving(app) as url:
        said = await messages(client, f"{url}/ai/v1/stream/job-42")
    assert [one["type"] for one in said] == ["progress", "log", "data", "end"]


@pytest.mark.parametrize("readme", READMES)
async def test_the_command_of_the_first_page_makes_a_stream_of_a_programs_output(
    client: aiohttp.ClientSession, readme: str, tmp_path: Path
) -> None:
    (script,) = (block for block in blocks(readme, "bash") if " run --stream " in block)
    file = tmp_path / "streams.db"
    async with running(
        *("bash", "-euo", "pipefail", "-c", script),
        env={**os.environ, "STREAM_SERVE_STREAMS_URL": str(file)},
        cwd=ROOT,
    ) as process:
        assert await process.wait() == 0
    streams = Streams.memory(streams_url=str(file))
    app = FastAPI(lifespan=streams.lifespan)
    app.mount("/ai", streams.routes())
    async with serving(app) as url:
        said = await messages(client, f"{url}/ai/v1/stream/job-42")
    assert contents(said[:-1]) == [f"step {step} of 3" for step in (1, 2, 3)]
    assert said[-1]["finishReason"] == "completed"


async def test_a_worker_shows_its_progress_and_hears_a_stop(
    client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with example("worker-progress", tmp_path) as url:
        begun = await (await client.post(f"{url}/imports/7")).json()
        stream = url + begun["stream"]

        async def goes_on() -> bool:
            there = (await client.head(stream)).status == 200
            return there and "progress" in {one["type"] for one in await messages(client, stream)}

        await until(goes_on)
        await client.post(f"{stream}/stop")
        said = await ended(client, stream)
        assert said[0]["content"] == "rows"
        assert said[-1]["finishReason"] == "stopped"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: file, url, stream"),
        (["nothing.log", "http://127.0.0.1:1", "x"], "there is no file nothing.log"),
    ],
)
async def test_a_follower_of_a_log_file_says_what_it_is_called_with(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    script = ROOT / "examples" / "log-tail" / "tail.py"
    async with running(
        sys.executable, script, *arguments, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    ) as process:
        _, err = await process.communicate()
    assert process.returncode == 2
    assert said in err.decode()
    assert "Traceback" not in err.decode()


async def test_a_log_file_is_followed_until_a_stop(
    client: aiohttp.ClientSession, service: Service, tmp_path: Path
) -> None:
    file = tmp_path / "app.log"
    file.write_text("first\n")
    stream = f"{service.url}/v1/stream/app.log"
    async with running(
        *(sys.executable, str(ROOT / "examples" / "log-tail" / "tail.py")),
        *(str(file), service.url, "app.log"),
        stderr=asyncio.subprocess.PIPE,
    ) as process:

        async def has(lines: list[str]) -> bool:
            there = (await client.head(stream)).status == 200
            return there and contents(await messages(client, stream)) == lines

        await until(lambda: has(["first"]))
        with file.open("a") as log:
            log.write("second\nthird, not y")
        await until(lambda: has(["first", "second"]))
        with file.open("a") as log:
            log.write("et whole\n")
        await until(lambda: has(["first", "second", "third, not yet whole"]))
        await client.post(f"{stream}/stop")
        _, err = await process.communicate()
    assert err == b"stopped\n"
    assert (await ended(client, stream))[-1]["finishReason"] == "stopped"
