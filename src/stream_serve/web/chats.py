"""`Chats`: the runs of a caller's chats, found by the chat's id from any process.

How it works: some clients know only the id of a chat, which is theirs to choose, and any text. The id of
each run is recorded under the chat and its owner before the run is started, so that a stop which comes at
the same time finds it, too. Whether a run goes on is then asked of the runs.

A chat has its newest runs, and of the older ones those that go on: each new run looks at some of the
older ones and drops those that are over. So it has hardly more than go on at once, and none is hidden.
A run that is not known may be one that another process has yet to start: it is dropped some time later.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter, OrderedDict
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from stream_serve.cluster.index import KEPT
from stream_serve.errors import LogUnavailable, RunNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.cluster.index import Index
    from stream_serve.runs.service import Runs
    from stream_serve.runs.view import Receipt

_LOOKS: Final = 8
"""How many older runs a new one looks at. With one, a chat with many runs would never lose those that are
over; with all, each of a thousand runs at once in a chat would ask for a thousand."""
_AT_ONCE: Final = 2 * KEPT
"""How many runs are asked for together."""
_STARTING_SECONDS: Final = 60.0
"""How long a run that is not known may still be started: longer than any start takes."""
_MOST_UNKNOWN: Final = 10_000
"""Runs that are not known and remembered as such. Of more, the first are met as if for the first time."""


class Chats:
    """The runs of each chat."""

    def __init__(self, index: Index, runs: Runs) -> None:
        self._index = index
        self._runs = runs
        self._unknown: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def begin(self, chat: str, run_id: str, *, owner: str | None) -> None:
        """Record that a chat has a new run, before it is started. Raises `LogUnavailable`."""
        name = _name(chat, owner)
        lasts = partial(self._any_here, owner)
        older = Counter(await self._index.record(name, run_id, lasts=lasts))
        looked_at = random.sample(list(older), min(_LOOKS, len(older)))
        await asyncio.gather(*(self._drop(name, one, owner, times=older[one]) for one in looked_at))

    async def refuse(self, chat: str, run_id: str, *, owner: str | None) -> None:
        """Record that the run of the newest `begin` was not started. Never raises `LogUnavailable`."""
        with suppress(LogUnavailable):
            await self._index.remove(_name(chat, owner), run_id)

    async def live(self, chat: str, *, owner: str | None) -> str | None:
        """Return the newest run that goes on in a chat; None for none. Raises `LogUnavailable`."""
        runs = list(dict.fromkeys(await self._index.newest(_name(chat, owner))))
        for at in range(0, len(runs), _AT_ONCE):
            some = runs[at : at + _AT_ONCE]
            going = await asyncio.gather(*(self._live(run_id, owner) for run_id in some))
            if any(going):
                return some[going.index(True)]
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

    async def _drop(self, name: str, run_id: str, owner: str | None, *, times: int) -> None:
        """Drop a run of a chat that is over, or one record of a run that has too many of them: each
        request that joins a run has recorded it."""
        if times > KEPT or await self._is_over(name, run_id, owner):
            await self._index.remove(name, run_id)

    async def _is_over(self, name: str, run_id: str, owner: str | None) -> bool:
        """Return whether a run is over, or was not known here for so long that nobody starts it."""
        record = name, run_id
        try:
            over = not await self._runs.live(run_id, owner=owner)
        except RunNotFound:
            now = time.monotonic()
            if now - self._unknown.setdefault(record, now) < _STARTING_SECONDS:
                if len(self._unknown) > _MOST_UNKNOWN:
                    self._unknown.popitem(last=False)
                return False
            over = True
        self._unknown.pop(record, None)
        return over

    async def _live(self, run_id: str, owner: str | None) -> bool:
        try:
            return await self._runs.live(run_id, owner=owner)
        except RunNotFound:
            return False

    def _any_here(self, owner: str | None, runs: Sequence[str]) -> bool:
        return any(self._runs.here(run_id, owner=owner) for run_id in runs)

    async def _stop(self, run_id: str, owner: str | None) -> Receipt | None:
        try:
            return await self._runs.stop(run_id, owner=owner)
        except RunNotFound:
            return None


def _name(chat: str, owner: str | None) -> str:
    """Return the name of a chat in the index: of one size, whatever the id is."""
    text = chat.encode("utf-8", "surrogatepass")
    return hashlib.sha256(b"%b\0%b" % ((owner or "").encode(), text)).hexdigest()
