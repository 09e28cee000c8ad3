"""A process that ends, however it does, with a database open or busy."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from support.history import all_messages

if TYPE_CHECKING:
    from support.history import Place

LEAVING: Final = """
import asyncio, os, sys
from stream_serve.conversations.base import NewAnswer, NewMessage
from stream_serve.conversations.sql.history import SQLHistory

async def main():
    history = SQLHistory(sys.argv[1])
    await history.open()
    asks = [
        history.ask("", None, [NewMessage(role="user", content="x")], NewAnswer(run_id="r", model="m"))
        for _ in range(20)
    ]
    if sys.argv[2] == "closed":
        await asyncio.gather(*asks)
        await history.close()
    elif sys.argv[2] == "open":
        await asyncio.gather(*asks)
    else:
        tasks = [asyncio.create_task(work) for work in asks]
        await asyncio.sleep(0.01)
        if sys.argv[2] == "killed":
            os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.mark.parametrize(("how", "code"), [("closed", 0), ("open", 0), ("busy", 0), ("killed", -9)])
async def test_a_process_that_ends_does_not_hang(place: Place, how: str, code: int) -> None:
    await (await place.history()).close()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", LEAVING, place.url, how],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == code, done.stderr
    if how == "closed":
        assert done.stderr == ""
    history = await place.history()
    page = await history.list("", limit=100)
    for conversation in page.conversations:
        assert len(await all_messages(history, "", conversation.id)) == 2
    if how in {"closed", "open"}:
        assert len(page.conversations) == 20
