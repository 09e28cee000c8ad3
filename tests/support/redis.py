"""A real Redis (or Valkey) server for tests: in a temporary folder, on a free port, gone afterwards."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Final

from support.missing import lack
from support.postgres import free_port

PATIENCE: Final = 30.0


def program(part: str) -> str | None:
    """Find Redis's or Valkey's `server` or `cli`."""
    return shutil.which(f"redis-{part}") or shutil.which(f"valkey-{part}")


class Redis:
    """A server; `with Redis() as server` starts and stops it, and removes what it kept.

    It listens on 127.0.0.1 and wants a password. It forgets everything at its end, unless it is
    `persistent`: then what it has answered is there again after a restart, and after a crash.
    """

    def __init__(self, *, persistent: bool = False) -> None:
        server, cli = program("server"), program("cli")
        assert server is not None, "Redis is not installed"
        assert cli is not None, "Redis's command-line client is not installed"
        self._server = server
        self._cli = cli
        self.folder = Path(tempfile.mkdtemp(prefix="stream-serve-redis-"))
        self.password = "canary-" + secrets.token_hex(8)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._configure(persistent=persistent)

    def __enter__(self) -> Redis:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Return the URL of its first database, with the password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def cli(self, *arguments: str) -> str:
        """Run a command; return what it answers, a value a line. An error of Redis fails the test."""
        done = self._command(*arguments)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def start(self) -> None:
        """Start, and wait until it answers."""
        assert self._process is None, "it runs already"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._server, self.folder / "redis.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self._wait(self._process)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it: in order, or (`SIGKILL`) as by a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.send_signal(how)
            process.wait(PATIENCE)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop and start, on the same port."""
        self.stop(how)
        self.start()

    def freeze(self) -> None:
        """Stop it where it is: connections stay open, new ones too, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Remove every key, and every script that it knows."""
        self.cli("FLUSHALL")
        self.cli("SCRIPT", "FLUSH")

    def maxmemory(self, size: int) -> None:
        """Refuse to hold more than so many bytes; 0 is no bound. Nothing is thrown out for it."""
        self.cli("CONFIG", "SET", "maxmemory", str(size))

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self, *, persistent: bool) -> None:
        # A file rather than arguments: everyone on the machine can read those of a process.
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "requirepass": self.password,
            "dir": self.folder,
            "save": '""',
            "appendonly": "yes" if persistent else "no",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        lines = [f"{name} {value}\n" for name, value in options.items()]
        (self.folder / "redis.conf").write_text("".join(lines), encoding="ascii")

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        while self._command("PING").stdout.strip() != "PONG":
            log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            assert process.poll() is None, f"Redis did not start: {log}"
            assert time.monotonic() < end, f"Redis is not ready: {log}"
            time.sleep(0.01)

    def _command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._cli, "-h", "127.0.0.1", "-p", str(self.port), "-e", "--raw", *arguments],
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE,
            env={**os.environ, "REDISCLI_AUTH": self.password},
        )


@cache
def shared_server() -> Redis:
    """Return the one server of this test run, started at its first use; skip, or fail in CI, without.

    Who uses it calls `flush()` before, and leaves it running, thawed and without a bound.
    """
    if program("server") is None or program("cli") is None:
        lack("Redis is not installed")
    server = Redis()
    atexit.register(server.close)
    server.start()
    return server
