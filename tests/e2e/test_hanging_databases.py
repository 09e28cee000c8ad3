"""A database that hangs, a locked file or a frozen PostgreSQL: nobody waits for it for long."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.conversations.sql.migrate import migrate
from support.client import Json, ask, stop, text
from support.postgres import Postgres, shared_server
from support.process import serving
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

SAVING: Final = 0.5
GRACE: Final = 5.0
SLACK: Final = 2.5


class Locked:
    """A SQLite file that another process has locked."""

    def __init__(self, folder: Path) -> None:
        self.url = str(folder / "chat.db")

    @contextmanager
    def hanging(self) -> Generator[None]:
        lock = sqlite3.connect(self.url, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            lock.execute("ROLLBACK")
            lock.close()


class Frozen:
    """A PostgreSQL whose processes stand still."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.url = server.database()

    @contextmanager
    def hanging(self) -> Generator[None]:
        self.server.freeze()
        try:
            yield
        finally:
            self.server.thaw()


@pytest.fixture
def fragile_postgres() -> Iterator[Postgres]:
    shared_server()  # skips, or fails, where there is no PostgreSQL
    with Postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> Locked | Frozen:
    if request.param == "sqlite":
        made: Locked | Frozen = Locked(tmp_path)
    else:
        made = Frozen(request.getfixturevalue("fragile_postgres"))
    await migrate(made.url)
    return made


async def answer(client: aiohttp.ClientSession, url: str, conversation: str) -> Json:
    """The newest answer that is stored; an empty one while the database is away."""
    async with client.get(f"{url}/ai/conversations/{conversation}") as response:
        return (await response.json(content_type=None)).get("messages", [{}])[-1]


async def test_neither_the_end_nor_a_receipt_waits_for_a_hanging_database_and_it_gets_the_answer_later(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: Locked | Frozen
) -> None:
    async with (
        Service(
            upstream_url=upstream.url, database_url=database.url, save_timeout=SAVING
        ) as service,
        ask(
            client, service.url, conversationId="new", model="answer?tokens=60&interval=0.02"
        ) as ending,
        ask(client, service.url, conversationId="new", model="hang-mid") as hanging,
    ):
        conversations = [
            (await stream.until("start"))["conversationId"] for stream in (ending, hanging)
        ]
        await hanging.until("chunk")
        with database.hanging():
            events = await ending.rest()
            since = time.monotonic()
            receipt = await stop(client, service.url, hanging.run_id)
            assert time.monotonic() - since < SAVING + SLACK
            assert (receipt["outcome"], receipt["upstreamClosed"]) == ("stopped", True)
            assert (await hanging.rest())[-1]["saved"] is False
        said = (text(events), events[-1]["saved"])

        async def stored() -> bool:
            kept = [await answer(client, service.url, one) for one in conversations]
            return [one.get("status") for one in kept] == ["complete", "stopped"]

        await until(stored)
        assert said[0] == (await answer(client, service.url, conversations[0]))["content"]


async def test_a_hanging_database_does_not_hold_up_the_end_of_the_process(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: Locked | Frozen
) -> None:
    settings = {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "hang-mid",
        "STREAM_SERVE_DATABASE_URL": database.url,
        "STREAM_SERVE_GRACE_TIMEOUT": str(GRACE),
        "STREAM_SERVE_LEASE": "1",
        "STREAM_SERVE_SAVE_INTERVAL": "0.1",
    }
    async with (
        serving(**settings) as server,
        ask(client, server.url, conversationId="new") as stream,
    ):
        conversation: str = (await stream.until("start"))["conversationId"]
        said: str = (await stream.until("chunk"))["content"]

        async def stored() -> bool:
            return (await answer(client, server.url, conversation)).get("content", "") != ""

        await until(stored)
        with database.hanging():
            since = time.monotonic()
            server.process.terminate()
            last = (await stream.rest())[-1]
            assert (last["code"], last["saved"]) == ("run_interrupted", False)
            assert await server.finish() == 0
            assert time.monotonic() - since < GRACE + SLACK
    async with serving(**settings) as server:

        async def found() -> bool:
            return (await answer(client, server.url, conversation)).get("status") == "interrupted"

        await until(found)
        assert said in (await answer(client, server.url, conversation))["content"]


async def test_a_question_that_waits_for_a_hanging_database_does_not_hold_up_the_end_either(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: Locked | Frozen
) -> None:
    settings = {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "answer",
        "STREAM_SERVE_DATABASE_URL": database.url,
        "STREAM_SERVE_GRACE_TIMEOUT": str(GRACE),
    }
    async with serving(**settings) as server:
        url = f"{server.url}/ai/chat/stream-sse"
        async with client.get(f"{server.url}/ai/conversations") as response:
            assert response.status == 200, "it is open, which may come after the listening"
        with database.hanging():
            asking = asyncio.create_task(
                client.post(url, json={"message": "a", "conversationId": "new"})
            )
            await asyncio.sleep(0.2)
            since = time.monotonic()
            server.process.terminate()
            assert await server.finish() == 0
            assert time.monotonic() - since < GRACE + SLACK
            assert (await asking).status == 503
