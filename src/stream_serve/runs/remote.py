"""The runs that other processes have: read from the shared log, stopped and described by asking.

How it works: a run's log says which process has it (its home) and, when it is over, what is to be
told of it. While it goes on, its home is asked. How many readers a run has here is told to its home,
which lets a run go on as long as anybody reads it, anywhere.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from stream_serve.errors import (
    CursorBeyondLog,
    LogLost,
    LogNotFound,
    LogUnavailable,
    PeerUnreachable,
    RunConflict,
    RunNotFound,
    RunUnreachable,
)
from stream_serve.runs import runid
from stream_serve.runs import view as report
from stream_serve.runs.run import name_of, parts_of
from stream_serve.runs.subscription import Attachment
from stream_serve.runs.view import Receipt, RunState

if TYPE_CHECKING:
    from stream_serve.cluster.base import Peers
    from stream_serve.eventlog.base import LogInfo, StreamLog

_log = structlog.stdlib.get_logger("stream_serve.runs")

STOP: Final = "stop"
STATE: Final = "state"
READERS: Final = "readers"

_ANSWER_SECONDS: Final = 6.0
_ATTEMPTS: Final = 3
_START_SECONDS: Final = 10.0
_CURSOR_SECONDS: Final = 1.0
_PAUSE: Final = 0.025


class Elsewhere:
    """Runs of other processes, by the names of their logs."""

    def __init__(self, log: StreamLog, peers: Peers, *, early_stop: float) -> None:
        self._stream_log = log
        self._peers = peers
        self._early_stop = early_stop
        self._attachments: set[Attachment] = set()
        self._readers: Counter[str] = Counter()
        self._untold: dict[str, str] = {}
        self._teller: asyncio.Task[None] | None = None
        self._moving = False

    async def join(self, name: str, fingerprint: bytes) -> Attachment | None:
        """Attach to a run that was started elsewhere; None when there is none after all.

        Waits for a start that is still going on there: it may fail. Raises `RunConflict`.
        """
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                info = await self._stream_log.look(name)
            except LogNotFound:
                return None
            if info.home is None:
                # What is left of a run that this process is forgetting in this moment.
                await self._stream_log.drop(name)
                return None
            check_same(info.about, fingerprint)
            if info.last or info.finished or time.monotonic() > until:
                break
            await asyncio.sleep(_PAUSE)
        try:
            return await self.attach(name, 0)
        except RunNotFound:
            return None

    async def attach(self, name: str, after: int) -> Attachment | None:
        """Attach a reader; None when the run is over and nothing comes after the cursor.

        Raises `RunNotFound`, `CursorBeyondLog`.
        """
        info = await self._look(name)
        if info.home is None:
            raise not_found()
        if after > info.last:
            await self._check_cursor(name, info, after)
        if info.finished and after == info.last:
            return None
        try:
            reader = await self._stream_log.read(name, after)
        except LogNotFound as error:
            raise not_found() from error
        home = None if info.finished else info.home
        _owner, run_id = parts_of(name)
        attachment = Attachment(
            run_id, reader, run=None, on_close=lambda: self._left(attachment, name, home)
        )
        self._attachments.add(attachment)
        self._count(name, home, 1)
        if self._moving:
            attachment.move()
        return attachment

    async def stop(self, name: str) -> Receipt:
        """Let the run's home stop it. Raises `RunNotFound`; then a start under this name is
        forbidden for a while."""
        began = time.monotonic()
        if await self._stream_log.forbid(name, self._early_stop):
            raise not_found()
        answer = await self._ask(name, STOP)
        if isinstance(answer, RunState):
            return answer.receipt(_since(began))
        if answer is None:
            _owner, run_id = parts_of(name)
            return Receipt(run_id, "unreachable", None, _since(began), None, None)
        return report.decode_receipt(answer)

    async def state(self, name: str) -> RunState:
        """Say how a run stands. Raises `RunNotFound`, `RunUnreachable`."""
        answer = await self._ask(name, STATE)
        if answer is None:
            raise RunUnreachable(
                "another process has this run and does not answer: try again in some seconds",
                headers=(("Retry-After", "2"),),
            )
        return answer if isinstance(answer, RunState) else report.decode_state(answer)

    def move(self) -> None:
        """End all readers here, and those that come; they are to go on at another process."""
        self._moving = True
        for attachment in list(self._attachments):
            attachment.move()

    async def close(self) -> None:
        """End the telling."""
        if self._teller is not None:
            self._teller.cancel()
            await asyncio.wait([self._teller])

    async def _ask(self, name: str, question: str) -> RunState | bytes | None:
        """Give what the run's home says, or the log of a run that is over; else None.

        Only its home gives the same receipt again for a stop that is repeated.
        """
        info = await self._look(name)
        for _ in range(_ATTEMPTS):
            if info.home is None:
                raise not_found()
            if info.finished and info.note and question == STATE:
                break
            try:
                answer = await self._peers.ask(
                    info.home, question, name.encode(), timeout=_ANSWER_SECONDS
                )
                if answer:
                    return answer
                before = None
            except PeerUnreachable:
                before = info
            # The run may have ended, or changed its home, in this moment.
            info = await self._look(name)
            if before is not None and (before.home, before.finished) == (info.home, info.finished):
                break
        if not info.finished:
            return None
        return report.decode_state(info.note) if info.note else await self._read_state(name)

    async def _read_state(self, name: str) -> RunState:
        """Read how a finished run ended from its events: nobody lives to tell it."""
        try:
            reader = await self._stream_log.read(name)
        except LogNotFound as error:
            raise not_found() from error
        frames: list[bytes] = []
        try:
            while (data := await reader.read()) is not None:
                frames.append(data)
        except LogLost as error:
            raise not_found() from error
        finally:
            reader.close()
        _owner, run_id = parts_of(name)
        return report.read_state(run_id, b"".join(frames))

    async def _look(self, name: str) -> LogInfo:
        try:
            return await self._stream_log.look(name)
        except LogNotFound as error:
            raise not_found() from error

    async def _check_cursor(self, name: str, info: LogInfo, after: int) -> None:
        """Refuse a cursor ahead of the log, unless the run has such an event that was not flushed
        yet, or its home does not answer: it may be gone, and then the run's end will have a number
        past the cursor. Raises `CursorBeyondLog`."""
        events = info.last
        if not info.finished and info.home is not None:
            try:
                answer = await self._peers.ask(
                    info.home, STATE, name.encode(), timeout=_CURSOR_SECONDS
                )
            except PeerUnreachable:
                return
            # No answer: the run has ended and was given up there in this moment.
            events = report.decode_state(answer).events if answer else (await self._look(name)).last
        if after > events:
            raise beyond(after, events)

    def _left(self, attachment: Attachment, name: str, home: str | None) -> None:
        self._attachments.discard(attachment)
        # One that was moved comes back by way of another process: until then it counts here.
        self._count(name, None if attachment.moved else home, -1)

    def _count(self, name: str, home: str | None, change: int) -> None:
        self._readers[name] += change
        if not self._readers[name]:
            del self._readers[name]
        if home is None:
            return
        self._untold[name] = home
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell(), name="tell readers")

    async def _tell(self) -> None:
        """Tell the homes how many readers their runs have here, until everything is told."""
        while self._untold:
            name, home = self._untold.popitem()
            count = msgspec.json.encode((name, self._readers[name]))
            try:
                await self._peers.tell(home, READERS, count)
            except LogUnavailable:
                # What keeps the processes together is away; a run without readers has its timeout.
                _log.debug("the readers of a run could not be told", run=name)


def check_same(about: bytes, fingerprint: bytes) -> None:
    """Refuse to join a run of another request. Raises `RunConflict`."""
    if about != fingerprint:
        raise RunConflict("a run with this id was started by another request: take a new id")


def name_for(owner: str | None, run_id: str) -> str:
    """Return the name of the log of a run that is asked for. Raises `RunNotFound` for an id that no
    run can have: then nobody has to be asked."""
    if not runid.fits(run_id):
        raise not_found()
    return name_of(owner, run_id)


def not_found() -> RunNotFound:
    """Give the error for a run that is unknown here and everywhere, or somebody else's."""
    return RunNotFound("there is no run with this id, or it was forgotten some time after its end")


def beyond(after: int, events: int) -> CursorBeyondLog:
    """Give the error for a cursor that a run does not have."""
    return CursorBeyondLog(
        f"the cursor says {after}, but this run has {events} events: read it from the beginning"
    )


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 3)
