"""Several worker processes that serve one socket, and the supervisor that keeps them running.

How it works: the supervisor binds the listener, starts the workers and serves no request itself. It has
a channel (a socket pair) to each worker. On it the worker sends a heartbeat every second, and says once
that it is ready. The supervisor sends nothing; it closes the channel to tell the worker to retire. So a
worker also retires when the supervisor dies, because the system closes the dead process's sockets.

- A worker that exits is replaced. One that sends no heartbeat for a long time is killed first.
- A worker that exits before it is ready would probably do so again. If no other worker is ready, the
  supervisor exits, too, with the worker's exit code. Otherwise it tries again after growing pauses.
- SIGTERM and SIGINT shut everything down: each worker drains, and the supervisor waits for it. A second
  signal kills the workers.
- SIGHUP replaces the workers one after the other, so that they read their settings again. A worker
  retires as soon as its replacement is ready.

A signal may reach the supervisor and the workers together (Ctrl+C in a terminal, a container that is
stopped). It still counts once: workers never see SIGINT and SIGHUP, and treat a second SIGTERM as the
first one.
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
    """The function that a worker runs; its arguments are the listener and the worker's channel."""

HEARTBEAT: Final = 1.0
"""Seconds between two heartbeats of a worker."""
MAX_MISSED_HEARTBEATS: Final = 45
"""Heartbeats in a row that a worker may miss before it is killed. Its lease has expired long before
that, and the other workers have recovered its runs."""
_EXIT_SLACK: Final = 5.0
_MAX_RESTART_PAUSE: Final = 30.0
_READY_MESSAGE: Final = b"s"
_HEARTBEAT_MESSAGE: Final = b"."
_EXIT_FAILURE: Final = 1
_BLOCKED_SIGNALS: Final = (signal.SIGINT, signal.SIGHUP)
_spawn: Final = multiprocessing.get_context("spawn")
_log = structlog.stdlib.get_logger("stream_serve.workers")


class SupervisorChannel:
    """The worker's end of its channel to the supervisor: sends heartbeats, waits for the retirement."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def open(self, on_retire: Callable[[], None]) -> None:
        """Start the heartbeats.

        `on_retire` is called once, when the supervisor retires this worker or dies.
        """
        self._channel.setblocking(False)
        self._loop.add_reader(self._channel, self._receive, on_retire)
        self._send_heartbeat()

    def send_ready(self) -> None:
        """Tell the supervisor that this worker is ready to serve."""
        self._send(_READY_MESSAGE)

    def _send_heartbeat(self) -> None:
        self._timer = self._loop.call_later(HEARTBEAT, self._send_heartbeat)
        self._send(_HEARTBEAT_MESSAGE)

    def _send(self, message: bytes) -> None:
        # A supervisor that does not read must not block its worker; `_receive` notices a dead one.
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._channel.send(message)

    def _receive(self, on_retire: Callable[[], None]) -> None:
        with suppress(BlockingIOError, ConnectionResetError):
            if self._channel.recv(64):
                return
        self._loop.remove_reader(self._channel)
        on_retire()


class Worker:
    """A worker process, seen from the supervisor; to construct one starts the process.

    `ready` is set when it serves, `exited` when its process has ended, `ready_or_exited` with either.
    Raises `OSError` if the system cannot start a process.
    """

    def __init__(
        self, target: Target, listener: socket.socket, *, on_ready: Callable[[Worker], None]
    ) -> None:
        self.ready = asyncio.Event()
        self.exited = asyncio.Event()
        self.ready_or_exited = asyncio.Event()
        self._on_ready = on_ready
        self._loop = asyncio.get_running_loop()
        self._missed_heartbeats = 0
        self._channel, worker_channel = socket.socketpair()
        self._channel.setblocking(False)
        # A daemon, so that multiprocessing does not join the worker when the supervisor fails.
        self._process = _spawn.Process(target=target, args=(listener, worker_channel), daemon=True)
        try:
            with worker_channel, _signals_blocked():
                self._process.start()
        except OSError:
            self._channel.close()
            raise
        self._loop.add_reader(self._channel, self._receive)
        self._loop.add_reader(self._process.sentinel, self._reap)
        self._timer = self._loop.call_later(HEARTBEAT, self._count_heartbeat)

    @property
    def pid(self) -> int | None:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, or minus the number of the signal that killed it; None while it runs."""
        return self._process.exitcode

    def retire(self) -> None:
        """Tell it to retire: it accepts no more connections, waits for its runs, and exits."""
        with suppress(OSError):  # it may have exited already
            self._channel.shutdown(socket.SHUT_WR)

    def drain(self) -> None:
        """Send it SIGTERM: it drains, still serves requests meanwhile, and exits."""
        if not self.exited.is_set():
            self._process.terminate()

    def kill(self) -> None:
        """Send it SIGKILL."""
        if not self.exited.is_set():
            self._process.kill()

    async def wait(self, seconds: float) -> bool:
        """Wait until it has exited, and kill it after `seconds`; return whether it exited by itself.

        Cancelled, it stops waiting and leaves the process as it is.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.exited.wait()
                return True
        _log.error("a worker does not end, so it is killed", pid=self.pid, seconds=seconds)
        self.kill()
        await self.exited.wait()
        return False

    def _receive(self) -> None:
        try:
            messages = self._channel.recv(4096)
        except BlockingIOError:
            return
        except ConnectionResetError:
            messages = b""
        if not messages:
            self._loop.remove_reader(self._channel)
            return
        self._missed_heartbeats = 0
        if _READY_MESSAGE in messages:
            self.ready.set()
            self.ready_or_exited.set()
            self._on_ready(self)

    def _count_heartbeat(self) -> None:
        """Count a heartbeat as missed, and kill the worker after too many; `_receive` resets the count.

        Ticks of the supervisor's own loop are counted, and not seconds: a worker must not be killed
        for a pause of the supervisor.
        """
        self._missed_heartbeats += 1
        if self._missed_heartbeats >= MAX_MISSED_HEARTBEATS:
            _log.error("a worker gives no sign of life, so it is killed", pid=self.pid)
            self.kill()
        else:
            self._timer = self._loop.call_later(HEARTBEAT, self._count_heartbeat)

    def _reap(self) -> None:
        """Release everything that belonged to the process, which has exited."""
        self._timer.cancel()
        self._loop.remove_reader(self._process.sentinel)
        self._loop.remove_reader(self._channel)
        self._channel.close()
        self._process.join()
        self.exited.set()
        self.ready_or_exited.set()


class Supervisor:
    """Keeps `count` workers running until a signal shuts them down.

    Each worker runs `target` with `listener`. `announce` is called when the first worker is ready.
    `grace` is how many seconds a worker may take to drain; a little later it is killed.
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
        self._exit_timeout = grace + _EXIT_SLACK
        self._announce: Callable[[], None] | None = announce
        self._shutdown = asyncio.Event()
        self._replacement = asyncio.Event()
        self._exit_code: int | None = None
        self._slots: list[Worker | None] = [None] * count
        self._workers: list[Worker] = []  # also those that retire and are in no slot any more

    async def run(self) -> int:
        """Run the workers until a signal comes or none can be started; return the exit code.

        The code is 0 when every worker exited by itself, 1 when one had to be killed, and that of
        the failed worker when none could be started. Cancelled, it kills the workers.
        """
        self._handle_signals()
        tasks = [asyncio.create_task(self._keep_running(slot)) for slot in range(len(self._slots))]
        tasks.append(asyncio.create_task(self._replace_workers()))
        shutdown = asyncio.create_task(self._shutdown.wait())
        try:
            await asyncio.wait([shutdown, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()  # raises what a defect in the task raised
                task.cancel()
            for worker in self._workers:
                worker.drain()
            exits = await asyncio.gather(*(w.wait(self._exit_timeout) for w in self._workers))
        finally:
            for worker in self._workers:
                worker.kill()
        if self._exit_code is not None:
            return self._exit_code
        return 0 if all(exits) else _EXIT_FAILURE

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin_shutdown, number)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
            loop.add_signal_handler(signal.SIGHUP, self._replacement.set)

    def _begin_shutdown(self, number: int) -> None:
        """Shut down at the first signal; at the second, kill the workers and exit at once."""
        if self._shutdown.is_set():
            for worker in self._workers:
                worker.kill()
            os._exit(128 + number)
        self._shutdown.set()

    async def _keep_running(self, slot: int) -> None:
        """Keep a worker running in this slot; return if a worker fails to start and none is ready."""
        pause = HEARTBEAT
        while True:
            worker = self._slots[slot]
            if worker is None or worker.exited.is_set():
                worker = self._slots[slot] = await self._start_worker()
            await worker.exited.wait()
            if self._slots[slot] is not worker:  # `_replace_workers` retired it
                continue
            if worker.ready.is_set():
                _log.warning(
                    "a worker has ended, so another one is started",
                    pid=worker.pid,
                    exit_code=worker.exit_code,
                )
                pause = HEARTBEAT
                continue
            if not self._any_ready() and worker.exit_code not in {0, -signal.SIGTERM}:
                _log.error("a worker does not start, and none serves", exit_code=worker.exit_code)
                self._exit_code = max(worker.exit_code or 0, _EXIT_FAILURE)
                return
            _log.error(
                "a worker does not start: it is tried again",
                exit_code=worker.exit_code,
                seconds=pause,
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_RESTART_PAUSE)

    async def _replace_workers(self) -> None:
        """Replace all workers, one after the other, each time that SIGHUP comes."""
        while True:
            await self._replacement.wait()
            self._replacement.clear()
            for slot in range(len(self._slots)):
                worker = await self._start_worker()
                await worker.ready_or_exited.wait()
                if not worker.ready.is_set():
                    _log.error(
                        "a new worker does not start, so the others stay",
                        exit_code=worker.exit_code,
                    )
                    break
                old, self._slots[slot] = self._slots[slot], worker
                if old is not None:
                    old.retire()
                    await old.wait(self._exit_timeout)

    async def _start_worker(self) -> Worker:
        """Start a worker, and try again until the system has the resources for a process."""
        while True:
            try:
                worker = Worker(self._target, self._listener, on_ready=self._on_ready)
            except OSError as error:
                _log.error("a worker cannot be started: it is tried again", error=str(error))
                await asyncio.sleep(HEARTBEAT)
            else:
                self._workers = [w for w in self._workers if not w.exited.is_set()]
                self._workers.append(worker)
                return worker

    def _any_ready(self) -> bool:
        return any(w.ready.is_set() and not w.exited.is_set() for w in self._workers)

    def _on_ready(self, worker: Worker) -> None:
        announce, self._announce = self._announce, None
        if announce is not None:
            announce()
        _log.info("a worker serves", pid=worker.pid)


@contextmanager
def _signals_blocked() -> Generator[None]:
    """Block the signals that only the supervisor handles: a process started meanwhile inherits that."""
    # The first start of the resource tracker unblocks signals, so it has to come before.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
