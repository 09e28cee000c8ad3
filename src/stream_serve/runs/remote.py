"""Runs that other processes have: read from the shared log, stopped and described by asking.

How it works: a run's log says which process has it and, when the run is done, leaves a summary of it.
While the run goes on, its process is asked. That process counts each reader that a run has here before
the reader begins, and lets the run go on as long as anybody reads it, anywhere.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from stream_serve.errors import (
    CursorBeyondLog,
    LogLost,
    LogNotFound,
    PeerUnreachable,
    RunConflict,
    RunNotFound,
    RunUnreachable,
)
from stream_serve.runs import view
from stream_serve.runs.audience import Audience
from stream_serve.runs.names import not_found, parts_of
from stream_serve.runs.subscription import Subscription
from stream_serve.runs.view import Receipt, RunState

if TYPE_CHECKING:
    from stream_serve.cluster.base import Peers
    from stream_serve.eventlog.base import EventLog, LogInfo

STOP: Final = "stop"
STATE: Final = "state"
FORGET: Final = "forget"
FORGOTTEN: Final = b"forgotten"

_REPLY_SECONDS: Final = 6.0
_ATTEMPTS: Final = 3
_START_SECONDS: Final = 10.0
_CURSOR_SECONDS: Final = 1.0
_PAUSE: Final = 0.025


class RemoteRuns:
    """Runs of other processes, by the names of their logs."""

    def __init__(self, log: EventLog, peers: Peers, *, early_stop: float) -> None:
        self._log = log
        self._peers = peers
        self._early_stop = early_stop
        self._subscriptions: set[Subscription] = set()
        self._audience = Audience(peers)
        self._redirecting = False

    async def join(self, name: str, fingerprint: bytes) -> Subscription | None:
        """Subscribe to a run that another process started; None when there is none after all.

        Waits for a start that is still going on there: it may fail. Raises `RunConflict`.
        """
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                info = await self._log.look(name)
            except LogNotFound:
                return None
            if info.process is None:
                # This process is just forgetting a run of this name.
                await self._log.drop(name)
                return None
            check_same(info.fingerprint, fingerprint)
            if info.last or info.finished or time.monotonic() > until:
                break
            await asyncio.sleep(_PAUSE)
        try:
            return await self.subscribe(name, 0)
        except RunNotFound:
            return None

    async def subscribe(self, name: str, after: int) -> Subscription | None:
        """Add a reader; return None when the run is over and nothing comes after the cursor.

        Returns as soon as the run's process counts the reader, or has not replied within a second.
        Raises `RunNotFound`, `CursorBeyondLog`.
        """
        info = await self._look(name)
        if info.process is None:
            raise not_found()
        if after > info.last:
            await self._check_cursor(name, info, after)
        if info.finished and after == info.last:
            return None
        try:
            reader = await self._log.read(name, after)
        except LogNotFound as error:
            raise not_found() from error
        process = None if info.finished else info.process
        _owner, run_id = parts_of(name)
        subscription = Subscription(
            run_id,
            reader,
            on_close=lambda: self._left(subscription, name, process),
            newest=info.last,
        )
        self._subscriptions.add(subscription)
        try:
            await self._audience.enter(name, process)
        except BaseException:
            subscription.close()
            raise
        if self._redirecting:
            subscription.redirect()
        return subscription

    async def live(self, name: str) -> bool:
        """Return whether another process has a run of this name that has not ended. Raises
        `RunNotFound`."""
        info = await self._look(name)
        return info.process is not None and not info.finished

    async def stop(self, name: str) -> Receipt:
        """Have the run's process stop it. Raises `RunNotFound`; then a start under this name is
        forbidden for a while."""
        began = time.monotonic()
        if await self._log.forbid(name, self._early_stop):
            raise not_found()
        reply = await self._ask(name, STOP)
        if isinstance(reply, RunState):
            return reply.receipt(_since(began))
        if reply is None:
            _owner, run_id = parts_of(name)
            return Receipt(run_id, "unreachable", None, _since(began), None, None)
        return view.decode_receipt(reply)

    async def state(self, name: str) -> RunState:
        """Return how a run stands. Raises `RunNotFound`, `RunUnreachable`."""
        reply = await self._ask(name, STATE)
        if reply is None:
            raise _unreachable()
        return reply if isinstance(reply, RunState) else view.decode_state(reply)

    async def forget(self, name: str) -> None:
        """Have the run's process stop it and forget it. Raises `RunNotFound`, `RunUnreachable`."""
        for _ in range(_ATTEMPTS):
            info = await self._look(name)
            if info.process is None:
                raise not_found()
            with suppress(PeerUnreachable):
                if await self._peers.ask(
                    info.process, FORGET, name.encode(), timeout=_REPLY_SECONDS
                ):
                    return
            if await self._log.erase(name):
                return
        raise _unreachable()

    def redirect(self) -> None:
        """End all readers here, and those that come: their clients go on at another process."""
        self._redirecting = True
        for subscription in list(self._subscriptions):
            subscription.redirect()

    async def close(self) -> None:
        """Tell the other processes no more of readers."""
        await self._audience.close()

    async def _ask(self, name: str, question: str) -> RunState | bytes | None:
        """Return what the run's process says, or what the log of a run that is over says; else None.

        Only its process gives the same receipt again for a stop that is repeated.
        """
        info = await self._look(name)
        for _ in range(_ATTEMPTS):
            if info.process is None:
                raise not_found()
            if info.finished and info.summary and question == STATE:
                break
            try:
                reply = await self._peers.ask(
                    info.process, question, name.encode(), timeout=_REPLY_SECONDS
                )
                if reply:
                    return reply
                before = None
            except PeerUnreachable:
                before = info
            # The run may just have ended, or may have another process now.
            info = await self._look(name)
            if before is not None and (before.process, before.finished) == (
                info.process,
                info.finished,
            ):
                break
        if not info.finished:
            return None
        return view.decode_state(info.summary) if info.summary else await self._read_state(name)

    async def _read_state(self, name: str) -> RunState:
        """Return how a finished run ended, by its events: the process that had it is gone."""
        try:
            reader = await self._log.read(name)
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
        return view.read_state(run_id, b"".join(frames))

    async def _look(self, name: str) -> LogInfo:
        try:
            return await self._log.look(name)
        except LogNotFound as error:
            raise not_found() from error

    async def _check_cursor(self, name: str, info: LogInfo, after: int) -> None:
        """Refuse a cursor ahead of the log, unless the run has such an event that was not flushed
        yet, or its process does not reply: it may be gone, and then the run's end will have a number
        past the cursor. Raises `CursorBeyondLog`."""
        newest = info.last
        if not info.finished and info.process is not None:
            try:
                reply = await self._peers.ask(
                    info.process, STATE, name.encode(), timeout=_CURSOR_SECONDS
                )
            except PeerUnreachable:
                return
            # An empty reply: the run has just ended there, and was given up.
            newest = view.decode_state(reply).newest if reply else (await self._look(name)).last
        if after > newest:
            raise beyond(after, newest)

    def _left(self, subscription: Subscription, name: str, process: str | None) -> None:
        self._subscriptions.discard(subscription)
        # One that was redirected comes back through another process: until then it counts here.
        self._audience.leave(name, None if subscription.redirected else process)


def check_same(known: bytes, fingerprint: bytes) -> None:
    """Refuse to join a run of another request. Raises `RunConflict`."""
    if known != fingerprint:
        raise RunConflict("a run with this id was started by another request: take a new id")


def beyond(after: int, newest: int) -> CursorBeyondLog:
    """Return the error for a cursor that a run does not have."""
    return CursorBeyondLog(
        f"the cursor says {after}, but the newest event of this run is {newest}: read it from the "
        "beginning"
    )


def _unreachable() -> RunUnreachable:
    return RunUnreachable(
        "another process has this run and does not answer: try again in some seconds"
    )


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 3)
