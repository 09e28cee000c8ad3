"""The loop that runs the jobs of threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Never

import pytest

from stream_serve.errors import NotStarted
from stream_serve.jobs.portal import Portal, call


def test_where_no_loop_can_be_made_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Never:
        raise OSError("too many open files")

    portal = Portal()
    with monkeypatch.context() as broken:
        broken.setattr(asyncio, "Runner", fail)
        with pytest.raises(RuntimeError, match="no event loop"):
            portal.enter()
    portal.enter()
    assert portal.call(asyncio.sleep(0, "there")) == "there"
    portal.leave()


async def test_a_loop_that_has_stopped_or_is_closed_is_not_waited_for() -> None:
    for close in (False, True):
        loop = asyncio.new_event_loop()
        if close:
            loop.close()
        with pytest.raises(NotStarted, match="has ended"):
            await asyncio.to_thread(call, loop, asyncio.sleep(0))
        if not close:
            await asyncio.to_thread(loop.run_until_complete, asyncio.sleep(0))
            loop.close()


async def test_a_loop_that_stops_meanwhile_is_not_waited_for() -> None:
    loop = asyncio.new_event_loop()
    begun = threading.Event()

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    running = asyncio.create_task(asyncio.to_thread(loop.run_forever))
    waiting = asyncio.create_task(asyncio.to_thread(call, loop, work()))
    await asyncio.to_thread(begun.wait)
    loop.call_soon_threadsafe(loop.stop)
    await running
    with pytest.raises(NotStarted, match="has ended"):
        await waiting
    for task in asyncio.all_tasks(loop):
        task.cancel()
    await asyncio.to_thread(loop.run_until_complete, asyncio.sleep(0))
    loop.close()
