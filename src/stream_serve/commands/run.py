"""`stream-serve run`: wraps a program, whose output becomes a stream and whose end is its end.

How it works: a thread for each of its outputs passes on what it prints, and hands the lines to the
`Writer`. A terminal that is not read, or a service that is slow, holds up the program as a pipe does.
While the service is away it goes on: what it prints is kept up to a bound, and then dropped and counted.

The program has a process group of its own, which gets the signals: those that this process gets, SIGTERM
for a stop, and SIGKILL if that is not heard.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from msgspec import Struct

from stream_serve.commands.lines import Lines
from stream_serve.errors import StreamServeError
from stream_serve.events import plain
from stream_serve.jobs import messages
from stream_serve.jobs.patience import Patience
from stream_serve.jobs.writer import LEASE, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stream_serve.commands.lines import Line
    from stream_serve.jobs.base import Connect

    T = TypeVar("T")

GRACE: Final = 10.0
"""Seconds between SIGTERM and SIGKILL: what Docker gives."""
MAX_KEPT: Final = 8_388_608
"""Bytes of output that are kept while they cannot be sent."""

_OPENING: Final = 3.0
_LINGER: Final = 2.0
"""Seconds for its output after its end: what it has begun may hold that open for ever."""
_SENDING: Final = 10.0
_PARTIAL: Final = 1.0
_PIECE: Final = 65_536
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126
_BY_SIGNAL: Final = 128
_FORWARDED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PATIENCE: Final = Patience(attempts=1_000_000, longest=5.0)
"""The program decides how long it takes, and the service may come back."""


class Running:
    """A program that runs, in a group of its own. Signals for one that has ended are no error."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.interrupted = False
        # In a group of its own it may not read from the terminal: it would be held without a word.
        self._process = subprocess.Popen(  # noqa: S603 - this is what the command is for
            command,
            env=environment,
            stdin=subprocess.DEVNULL if os.isatty(0) else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )

    @property
    def outputs(self) -> list[tuple[int, int, str]]:
        """Each output: where it is read, where it is passed on to, and its name."""
        process = self._process
        assert process.stdout is not None  # noqa: S101 - they are pipes
        assert process.stderr is not None  # noqa: S101
        return [(process.stdout.fileno(), 1, "stdout"), (process.stderr.fileno(), 2, "stderr")]

    def wait(self) -> int:
        """Wait for its end; return the exit code as a shell does, 128 and the number of a signal."""
        code = self._process.wait()
        return code if code >= 0 else _BY_SIGNAL - code

    def send(self, number: int) -> None:
        """Send a signal to the group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def forward(self, number: int) -> None:
        """Send on a signal that this process got."""
        self.interrupted = True
        self.send(number)


class Wrapping(Struct, frozen=True, kw_only=True):
    """How a program becomes the stream `name`: see `stream-serve run --help`."""

    name: str
    again: bool = False
    grace: float = GRACE
    lease: float = LEASE
    explain: Callable[[StreamServeError], str] = str


async def run(
    connect: Connect, command: Sequence[str], environment: Mapping[str, str], how: Wrapping
) -> int:
    """Run a program, and return its exit code. Raises `StreamServeError` before it has begun."""
    async with connect() as place:
        writer = Writer(place, lease=how.lease, patience=_PATIENCE, most=MAX_KEPT)
        try:
            await _open(writer, how)
            _on_signals(
                lambda _: None
            )  # what comes while the program begins is sent on by `_follow`
            try:
                running = Running(command, environment)
            except OSError as error:
                code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
                words = f"{command[0]}: {error.strerror}"
                _say(words)
                await _finish(writer, messages.end("failed", exit_code=code, error=words), how)
                return code
            return await _follow(running, writer, how)
        finally:
            _on_signals(None)
            await writer.close()


def _on_signals(call: Callable[[int], None] | None) -> None:
    """Let something be called with the signals that are sent on; None: the process has them itself."""
    loop = asyncio.get_running_loop()
    for number in _FORWARDED:
        if call is None:
            loop.remove_signal_handler(number)
        else:
            loop.add_signal_handler(number, call, number)


async def _open(writer: Writer, how: Wrapping) -> None:
    """Open the stream; return without it while the service is away. Raises what it answers for good."""
    opening = writer.begin(again=how.again)
    await asyncio.wait({opening}, timeout=_OPENING)
    if opening.done():
        opening.result()
        return
    why = (
        f"no answer in {_OPENING:.0f} seconds" if writer.away is None else how.explain(writer.away)
    )
    _say(f"the command runs, and its output is kept until the service is there: {why}")


async def _follow(running: Running, writer: Writer, how: Wrapping) -> int:
    """Bring what the program prints to the stream until it has ended; return its exit code."""
    loop = asyncio.get_running_loop()
    _on_signals(running.forward)
    intake = _Intake(writer, loop)
    stopping = asyncio.create_task(_stop(running, writer, how.grace))
    try:
        pumps = [_in_thread(loop, intake.pump, *output) for output in running.outputs]
        code = await _in_thread(loop, running.wait)
        _, open_ = await asyncio.wait(pumps, timeout=_LINGER)
        stopped = writer.stopped.is_set() or running.interrupted
        if open_ and stopped:
            running.send(signal.SIGKILL)
        intake.over = True
        await _finish(writer, _end(code, stopped=stopped), how)
    finally:
        stopping.cancel()
    return code


async def _stop(running: Running, writer: Writer, grace: float) -> None:
    """End the program when somebody has asked for it."""
    await writer.stopped.wait()
    running.send(signal.SIGTERM)
    await asyncio.sleep(grace)
    running.send(signal.SIGKILL)


class _Intake:
    """Takes what a program prints, in threads, and hands it to the writer in the loop."""

    def __init__(self, writer: Writer, loop: asyncio.AbstractEventLoop) -> None:
        self._writer = writer
        self._loop = loop
        self._told = 0
        self.over = False

    def pump(self, source: int, target: int, name: str) -> None:
        """Read an output to its end, and pass it on."""
        lines = Lines()
        while not self.over:
            waits = _PARTIAL if lines.pending else None
            if not select.select([source], [], [], waits)[0]:
                self._hand(lines.rest(), name)
                continue
            data = os.read(source, _PIECE)
            if not data:
                break
            if target >= 0 and not _pass_on(target, data):
                target = -1  # nobody reads there any more; the stream goes on
            self._hand(lines.feed(data), name)
        self._hand(lines.feed(b"", last=True), name)

    def _hand(self, lines: Iterable[Line], name: str) -> None:
        said = list(lines)
        if said and not self.over:
            asyncio.run_coroutine_threadsafe(self._take(said, name), self._loop).result()

    async def _take(self, lines: list[Line], name: str) -> None:
        writer = self._writer
        for line in lines:
            missing = writer.dropped - self._told
            if missing and not writer.full:
                are = "line is" if missing == 1 else "lines are"
                words = f"[{missing} {are} missing here: the service was away]"
                if await writer.offer(messages.log(words, source="stream-serve")):
                    self._told += missing
            await writer.offer(messages.log(line.text, source=name, partial=line.partial))


async def _finish(writer: Writer, end: bytes, how: Wrapping) -> None:
    """Say the end, for as long as that may take, and tell whoever reads the terminal what is missing."""
    why = ""
    said = writer.failure is None
    try:
        async with asyncio.timeout(_SENDING):
            await writer.finish(end)
    except TimeoutError:
        why = f"the service took more than {_SENDING:.0f} seconds"
        if writer.away is not None:
            why = how.explain(writer.away)
    except StreamServeError as error:
        why = how.explain(error)
    if why:
        missing = writer.dropped + writer.unsent - (1 if said and writer.unsent else 0)
        also = f" and {_lines(missing)} of it were" if missing else " was"
        _say(f"the end of {how.name}{also} not written: {why}")
    elif writer.dropped:
        _say(f"not written of {how.name}: {_lines(writer.dropped)}; the service was away")


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _end(code: int, *, stopped: bool) -> bytes:
    if stopped:
        return messages.end("stopped", exit_code=code)
    if not code:
        return messages.end("completed", exit_code=0)
    words = f"the command ended with exit code {code}"
    with suppress(ValueError):
        words = f"the command was ended by {signal.Signals(code - _BY_SIGNAL).name}"
    return messages.end("failed", exit_code=code, error=words)


def _pass_on(target: int, data: bytes) -> bool:
    """Write all of it; return False if nobody reads it any more."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(target, rest) :]
    except OSError:
        return False
    return True


def _in_thread(
    loop: asyncio.AbstractEventLoop, call: Callable[..., T], *arguments: object
) -> asyncio.Future[T]:
    """Run a call in a thread that the end of this process does not wait for."""
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # pyright: ignore[reportArgumentType] - without an error it is one
        else:
            done.set_exception(error)

    def work() -> None:
        result, failure = None, None
        try:
            result = call(*arguments)
        except BaseException as error:  # noqa: BLE001 - it is handed on
            failure = error
        with suppress(RuntimeError):  # the loop is over: nobody waits
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=work, name="stream-serve run", daemon=True).start()
    return done


def _say(words: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"stream-serve: {plain.line(words)}\n")
        sys.stderr.flush()
