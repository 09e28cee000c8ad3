"""Server processes: start them, read from /proc what they and their children cost, end them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from types import TracebackType

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_PATIENCE: Final = 90.0
_GRACE: Final = 10.0


class ServerFailedError(Exception):
    """A server that did not start, or ended too early; the message holds its last words."""


def free_port() -> int:
    """Find a free port of this machine."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """A server process on a port of 127.0.0.1; `with` starts and ends it.

    `log` takes what it prints, `cpus` are the processors that it may use.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        port: int,
        *,
        folder: Path,
        environment: Mapping[str, str],
        cpus: Collection[int],
    ) -> None:
        self.port: Final = port
        self._command = [str(part) for part in command]
        self.folder: Final = folder
        self._environment = environment
        self._cpus = cpus
        self._log = folder / "output.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.ready_cpu = 0.0
        """The CPU time in seconds until it listened; looked at every 50 ms."""

    @property
    def pid(self) -> int:
        """Return the id of the first process."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process.pid

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            os.sched_setaffinity(self._process.pid, self._cpus)
            self._wait_until_ready(self._process)
        except BaseException:
            self._end(self._process)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._end(self._process)

    def processes(self) -> list[int]:
        """Return the ids of the process and all its children."""
        children: dict[int, list[int]] = {}
        for entry in _PROC.iterdir():
            if entry.name.isdigit() and (fields := _stat(int(entry.name))):
                children.setdefault(int(fields[1]), []).append(int(entry.name))
        found = [self.pid]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    def cpu(self) -> float:
        """Return the CPU time so far in seconds, user and system, of all its processes."""
        ticks = 0
        for pid in self.processes():
            fields = _stat(pid)
            ticks += sum(int(field) for field in fields[11:15])
        return ticks / _TICKS

    def memory(self) -> int:
        """Return the memory of all its processes in bytes; what they share is counted once."""
        return sum(_memory(pid) for pid in self.processes())

    def descriptors(self) -> int:
        """Count the open file descriptors of all its processes."""
        return sum(len(list((_PROC / str(pid) / "fd").iterdir())) for pid in self.processes())

    def threads(self) -> int:
        """Count the threads of all its processes."""
        return sum(len(list((_PROC / str(pid) / "task").iterdir())) for pid in self.processes())

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if process.poll() is not None:
                break
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                self.ready_cpu = self.cpu()
                return
            time.sleep(0.05)
        words = " ".join(self._log.read_text(errors="replace").split())[-400:]
        raise ServerFailedError(f"{Path(self._command[0]).name} did not start: {words}")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End the process and what it started: they are a session of their own."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on, none when the process is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _memory(pid: int) -> int:
    for name, field in (("smaps_rollup", "Pss"), ("status", "VmRSS")):
        with suppress(OSError):
            text = (_PROC / str(pid) / name).read_text()
            if found := re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE):
                return int(found[1]) * 1024
    return 0
