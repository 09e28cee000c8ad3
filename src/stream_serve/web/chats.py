"""`Chats`: the runs of a caller's chats, found by the chat's id from any process.

How it works: some clients know only the id of a chat, which is theirs to choose, and any text. The id of
each run is recorded under the chat and its owner before the run is started, so that a stop which comes at
the same time finds it, too. Whether a run goes on is then asked of the runs.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

from stream_serve.errors import LogUnavailable, RunNotFound

if TYPE_CHECKING:
    from stream_serve.cluster.index import Index
    from stream_serve.runs.service import Runs
    from stream_serve.runs.view import Receipt


class Chats:
    """The runs of each chat."""

    def __init__(self, index: Index, runs: Runs) -> None:
        self._index = index
        self._runs = runs

    async def begin(self, chat: str, run_id: str, *, owner: str | None) -> None:
        """Record that a chat has a new run, before it is started. Raises `LogUnavailable`."""
        await self._index.record(_name(chat, owner), run_id)

    async def refuse(self, chat: str, run_id: str, *, owner: str | None) -> None:
        """Record that the run of the newest `begin` was not started. Never raises `LogUnavailable`.

        A chat has only its newest runs, so that many refused ones would hide one that goes on.
        """
        with suppress(LogUnavailable):
            await self._index.remove(_name(chat, owner), run_id)

    async def live(self, chat: str, *, owner: str | None) -> str | None:
        """Return the newest run that goes on in a chat; None for none. Raises `LogUnavailable`."""
        for run_id in await self._index.newest(_name(chat, owner)):
            if await self._runs.live(run_id, owner=owner):
                return run_id
        return None

    async def stop(
        self, chat: str, *, owner: str | None, only: str | None = None
    ) -> Receipt | None:
        """Stop what goes on in a chat, and return what that did to the newest run; None for no run.

        `only` is the one run to stop, if it is one of the chat's. A run that is being started is not
        started any more. Raises `LogUnavailable`.
        """
        runs = await self._index.newest(_name(chat, owner))
        stopped = await asyncio.gather(
            *(self._stop(run_id, owner) for run_id in runs if only in {None, run_id})
        )
        receipts = [receipt for receipt in stopped if receipt is not None]
        return next((one for one in receipts if one.outcome != "already_finished"), None) or next(
            iter(receipts), None
        )

    async def _stop(self, run_id: str, owner: str | None) -> Receipt | None:
        try:
            return await self._runs.stop(run_id, owner=owner)
        except RunNotFound:
            return None


def _name(chat: str, owner: str | None) -> str:
    """Return the name of a chat in the index: of one size, whatever the id is."""
    text = chat.encode("utf-8", "surrogatepass")
    return hashlib.sha256(b"%b\0%b" % ((owner or "").encode(), text)).hexdigest()
