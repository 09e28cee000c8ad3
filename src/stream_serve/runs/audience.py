"""`Audience`: how many readers other processes' runs have here, as those processes are told.

How it works: what changes is collected for each process, and told in one round at a time, so that a newer
number never comes before an older one. The last statement of a round is asked as a question: when it is
replied to, the process has counted all of them. A round that Redis does not carry is told again later.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from stream_serve.errors import LogUnavailable, PeerUnreachable

if TYPE_CHECKING:
    from stream_serve.cluster.base import Peers

_log = structlog.stdlib.get_logger("stream_serve.runs")

READERS: Final = "readers"

_REPLY_SECONDS: Final = 1.0
_PAUSE: Final = 1.0


class _Round:
    """The runs whose numbers a process is told next; `over` when that was tried."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.over = asyncio.Event()


class Audience:
    """The readers that runs of other processes have here."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._readers: Counter[str] = Counter()
        self._due: dict[str, _Round] = {}
        self._tellers: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def enter(self, name: str, process: str | None) -> None:
        """Count a reader of a run, and wait until the run's process counts it, too.

        A process that does not reply within a second is not waited for any longer: it finds what it
        was told when it goes on. `process` is None for a run that is over. A cancelled call has counted
        the reader.
        """
        if (told := self._change(name, process, 1)) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_REPLY_SECONDS):
                    await told.over.wait()

    def leave(self, name: str, process: str | None) -> None:
        """Count a reader no more; with None for `process`, nobody is told."""
        self._change(name, process, -1)

    async def close(self) -> None:
        """Tell nobody any more."""
        self._closed = True
        tellers = list(self._tellers.values())
        for teller in tellers:
            teller.cancel()
        if tellers:
            await asyncio.wait(tellers)
        for due in self._due.values():
            due.over.set()

    def _change(self, name: str, process: str | None, change: int) -> _Round | None:
        """Change the number of a run's readers; return the round in which its process is told."""
        self._readers[name] += change
        if not self._readers[name]:
            del self._readers[name]
        return None if process is None or self._closed else self._tell_soon(process, {name})

    def _tell_soon(self, process: str, names: set[str]) -> _Round:
        due = self._due.setdefault(process, _Round())
        due.names |= names
        if process not in self._tellers:
            teller = asyncio.create_task(self._tell(process), name="tell readers")
            self._tellers[process] = teller
        return due

    async def _tell(self, process: str) -> None:
        """Tell a process how many readers its runs have here, until all is told."""
        try:
            while (due := self._due.pop(process, None)) is not None:
                await self._try(process, due)
        finally:
            del self._tellers[process]

    async def _try(self, process: str, due: _Round) -> None:
        try:
            await self._tell_round(process, due.names)
        except PeerUnreachable:
            # It is gone, or finds this when it goes on. A run without readers ends by its timeout.
            _log.debug("a process has not counted its readers here", process=process)
        except LogUnavailable:
            # A reader that is never counted would be cut when the others leave.
            self._tell_soon(process, due.names)
            due.over.set()
            await asyncio.sleep(_PAUSE)
        finally:
            due.over.set()

    async def _tell_round(self, process: str, names: set[str]) -> None:
        *first, last = names
        for name in first:
            await self._peers.tell(process, READERS, self._statement(name))
        await self._peers.ask(process, READERS, self._statement(last), timeout=_REPLY_SECONDS)

    def _statement(self, name: str) -> bytes:
        return msgspec.json.encode((name, self._readers[name]))
