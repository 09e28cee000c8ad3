"""Commands as real processes, with an environment of their own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

PATIENCE = 30.0
_GRACE = 2.0


@asynccontextmanager
async def running(
    *command: str | os.PathLike[str], **options: Any
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a program until the block ends, and no longer, whatever it and its children do.

    The options are those of `asyncio.create_subprocess_exec`. What the program still writes is read, so
    that no full pipe holds up its end.
    """
    process = await asyncio.create_subprocess_exec(*command, start_new_session=True, **options)
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask the process to end, ask again, and kill all that it has started."""
    for grace in (_GRACE, PATIENCE):  # runs that a test has left go on: a second signal ends them
        with suppress(ProcessLookupError, TimeoutError):
            process.terminate()
            async with asyncio.timeout(grace):
                await process.communicate()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        async with asyncio.timeout(_GRACE):
            await process.communicate()
    finally:  # uvloop waits at its own end, for ever, for a pipe that is still open somewhere
        cast("Any", process)._transport.close()


def environment(**settings: str) -> dict[str, str]:
    """Return the environment for a command: this one's, and some settings."""
    return {**os.environ, "STREAM_SERVE_LOG_FORMAT": "json", **settings}


async def command(
    *arguments: str, stdin: str | None = None, errors: str = "strict", **settings: str
) -> tuple[int, str, str]:
    """Run `stream-serve` to its end; return the exit code and what it printed."""
    async with running(
        *(sys.executable, "-m", "stream_serve", *arguments),
        env=environment(**settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    ) as process:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate((stdin or "").encode())
    assert process.returncode is not None
    return process.returncode, out.decode(errors=errors), err.decode(errors=errors)


class Server:
    """A running `stream-serve serve`; `lines` are its log lines so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.raw = ""
        self.url = ""

    async def line(self, event: str) -> dict[str, Any]:
        """Wait for a log line."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while raw := await self.process.stderr.readline():
                self.raw += raw.decode()
                entry = json.loads(raw)
                self.lines.append(entry)
                if entry["event"].startswith(event):
                    return entry
        raise AssertionError(f"the server ended without saying {event!r}: {self.raw}")

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code."""
        self.process.send_signal(number)
        return await self.finish()

    async def finish(self) -> int:
        """Wait for the end, and give the exit code."""
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            self.raw += (await self.process.stderr.read()).decode()
            return await self.process.wait()


@asynccontextmanager
async def serving(
    *arguments: str, command: Sequence[str] = (), **settings: str
) -> AsyncGenerator[Server]:
    """Run `stream-serve serve` on a free port until the block ends, under a command if given."""
    async with running(
        *command,
        *(sys.executable, "-m", "stream_serve", "serve", "--port", "0", *arguments),
        env=environment(**settings),
        stderr=asyncio.subprocess.PIPE,
    ) as process:
        server = Server(process)
        server.url = (await server.line("listening"))["url"]
        yield server
