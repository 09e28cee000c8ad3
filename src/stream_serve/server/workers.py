"""Several processes that serve one socket, and the supervisor that keeps them running.

How it works: the supervisor binds the socket, starts the workers and serves nothing itself. It holds a
channel to each worker. A worker says on it that it lives, once a second, and that it serves; what the
supervisor says is the end of the channel: the worker is to retire, since another one takes its place
or since the supervisor is gone (killed, perhaps: the system closes what it held).

- A worker that ends is replaced. One that is silent for a long time is frozen: it is killed first.
- A worker that ends before it serves would do so again: with no other that serves, the supervisor
  ends too, with the worker's exit code; otherwise it is tried again after pauses that grow.
- SIGTERM and SIGINT end all workers: each drains and is waited for. A second signal kills them.
- SIGHUP replaces the workers one after the other, so that they read their settings again. A worker
  retires when its successor serves.

A signal that reaches supervisor and workers together (Ctrl+C in a terminal, a container that is
stopped) counts once: workers do not see SIGINT and SIGHUP, and take each SIGTERM for the same one.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    Target = Callable[[socket.socket, socket.socket], None]
    """What a worker runs: it is given the socket to serve and its channel to the supervisor."""

BEAT: Final = 1.0
"""Seconds between two signs of life."""
FROZEN: Final = 45
"""Beats without a sign of life after which a worker is killed. Long before, the others have taken over
what it had: its lease has run out."""
_SLACK: Final = 5.0
_MOST_PAUSE: Final = 30.0
_SERVES: Final = b"s"
_LIVES: Final = b"."
_FAILED: Final = 1
_PASSED_ON: Final = (signal.SIGINT, signal.SIGHUP)
_spawn: Final = multiprocessing.get_context("spawn")
_log = structlog.stdlib.get_logger("stream_serve.workers")


class Channel:
    """A worker's end of the channel: it says that the worker lives, and hears that it is to retire."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._beat: asyncio.TimerHandle | None = None

    def open(self, retire: Callable[[], None]) -> None:
        """Begin; `retire` is called once, when the supervisor lets go of this worker or is gone."""
        self._end.setblocking(False)
        self._loop.add_reader(self._end, self._hear, retire)
        self._live()

    def serve(self) -> None:
        """Say that this worker serves now."""
        self._say(_SERVES)

    def _live(self) -> None:
        self._beat = self._loop.call_later(BEAT, self._live)
        self._say(_LIVES)

    def _say(self, word: bytes) -> None:
        # A supervisor that reads nothing does not hold us; one that is gone is heard of by `_hear`.
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._end.send(word)

    def _hear(self, retire: Callable[[], None]) -> None:
        with suppress(BlockingIOError, ConnectionResetError):
            if self._end.recv(64):
                return
        self._loop.remove_reader(self._end)
        retire()


class Worker:
    """A process that serves, seen from the supervisor.

    `serving` is set when it serves, `ended` when it is no more, and `changed` with both.
    """

    def __init__(
        self, target: Target, listener: socket.socket, *, on_serving: Callable[[Worker], None]
    ) -> None:
        self.serving = asyncio.Event()
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        self._on_serving = on_serving
        self._loop = asyncio.get_running_loop()
        self._silent = 0
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        # A daemon, in multiprocessing's sense: should the supervisor fail, it does not wait for it.
        self._process = _spawn.Process(target=target, args=(listener, theirs), daemon=True)
        try:
            with theirs, _blocked():
                self._process.start()
        except OSError:
            self._channel.close()
            raise
        self._loop.add_reader(self._channel, self._hear)
        self._loop.add_reader(self._process.sentinel, self._bury)
        self._watch = self._loop.call_later(BEAT, self._look)

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """How it ended: its exit code, or the negative number of the signal that killed it."""
        return self._process.exitcode

    def retire(self) -> None:
        """Let it go: it takes no more connections, lets its runs finish, and ends."""
        with suppress(OSError):  # it may have ended on its own
            self._channel.shutdown(socket.SHUT_WR)

    def drain(self) -> None:
        """End it with the whole service: it drains, and goes on to answer until it ends."""
        if not self.ended.is_set():
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        if not self.ended.is_set():
            self._process.kill()

    async def wait(self, seconds: float) -> bool:
        """Wait for its end, and kill it after so many seconds; True when that was not needed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended.wait()
                return True
        _log.error("a worker does not end, so it is killed", pid=self.pid, seconds=seconds)
        self.kill()
        await self.ended.wait()
        return False

    def _hear(self) -> None:
        try:
            words = self._channel.recv(4096)
        except BlockingIOError:
            return
        except ConnectionResetError:
            words = b""
        if not words:
            self._loop.remove_reader(self._channel)
            return
        self._silent = 0
        if _SERVES in words:
            self.serving.set()
            self.changed.set()
            self._on_serving(self)

    def _look(self) -> None:
        """Count the beats that were not heard: our own, so that no pause of ours is held against it."""
        self._silent += 1
        if self._silent >= FROZEN:
            _log.error("a worker gives no sign of life, so it is killed", pid=self.pid)
            self.kill()
        else:
            self._watch = self._loop.call_later(BEAT, self._look)

    def _bury(self) -> None:
        self._watch.cancel()
        self._loop.remove_reader(self._process.sentinel)
        self._loop.remove_reader(self._channel)
        self._channel.close()
        self._process.join()
        self.ended.set()
        self.changed.set()


class Supervisor:
    """Keeps `count` workers running until a signal ends them.

    `target` is what each runs, `announce` is called when the first serves, `grace` is how many
    seconds a worker may take to end.
    """

    def __init__(
        self,
        target: Target,
        listener: socket.socket,
        count: int,
        *,
        grace: float,
        announce: Callable[[], None],
    ) -> None:
        self._target = target
        self._listener = listener
        self._patience = grace + _SLACK
        self._announce: Callable[[], None] | None = announce
        self._ending = asyncio.Event()
        self._renewing = asyncio.Event()
        self._code: int | None = None
        self._places: list[Worker | None] = [None] * count
        self._workers: list[Worker] = []

    async def run(self) -> int:
        """Run the workers until a signal comes, or until none can be started; give the exit code."""
        self._listen()
        tasks = [asyncio.create_task(self._keep(place)) for place in range(len(self._places))]
        tasks.append(asyncio.create_task(self._renew()))
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait([ending, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # a defect is raised here
                task.cancel()
            for worker in self._workers:
                worker.drain()
            ends = await asyncio.gather(*(worker.wait(self._patience) for worker in self._workers))
        finally:
            for worker in self._workers:
                worker.kill()
        if self._code is not None:
            return self._code
        return 0 if all(ends) else _FAILED

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
            loop.add_signal_handler(signal.SIGHUP, self._renewing.set)

    def _end(self, number: int) -> None:
        """End all workers; at the second signal, at once."""
        if self._ending.is_set():
            for worker in self._workers:
                worker.kill()
            os._exit(128 + number)
        self._ending.set()

    async def _keep(self, place: int) -> None:
        """See to it that there is a worker in this place."""
        pause = BEAT
        while True:
            worker = self._places[place]
            if worker is None or worker.ended.is_set():
                worker = self._places[place] = await self._start()
            await worker.ended.wait()
            if self._places[place] is not worker:
                continue
            if worker.serving.is_set():
                _log.warning(
                    "a worker has ended, so another one is started",
                    pid=worker.pid,
                    exit_code=worker.code,
                )
                pause = BEAT
                continue
            if not self._serving() and worker.code not in {0, -signal.SIGTERM}:
                _log.error("a worker does not start, and none serves", exit_code=worker.code)
                self._code = max(worker.code or 0, _FAILED)
                return
            _log.error(
                "a worker does not start: it is tried again", exit_code=worker.code, seconds=pause
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MOST_PAUSE)

    async def _renew(self) -> None:
        """Replace all workers, one after the other, whenever that is asked for."""
        while True:
            await self._renewing.wait()
            self._renewing.clear()
            for place in range(len(self._places)):
                worker = await self._start()
                await worker.changed.wait()
                if not worker.serving.is_set():
                    _log.error(
                        "a new worker does not start, so the others stay", exit_code=worker.code
                    )
                    break
                old, self._places[place] = self._places[place], worker
                if old is not None:
                    old.retire()
                    await old.wait(self._patience)

    async def _start(self) -> Worker:
        """Start a worker; where the system has no room for a process, wait until it has."""
        while True:
            try:
                worker = Worker(self._target, self._listener, on_serving=self._serves)
            except OSError as error:
                _log.error("a worker cannot be started: it is tried again", error=str(error))
                await asyncio.sleep(BEAT)
            else:
                self._workers = [w for w in self._workers if not w.ended.is_set()]
                self._workers.append(worker)
                return worker

    def _serving(self) -> bool:
        return any(w.serving.is_set() and not w.ended.is_set() for w in self._workers)

    def _serves(self, worker: Worker) -> None:
        announce, self._announce = self._announce, None
        if announce is not None:
            announce()
        _log.info("a worker serves", pid=worker.pid)


@contextmanager
def _blocked() -> Generator[None]:
    """Block the signals that the supervisor passes on: a process started meanwhile never sees them."""
    # Its first start unblocks signals: it has to be before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
