"""A real PostgreSQL server for tests: in a temporary folder, on a free port, gone afterwards."""

from __future__ import annotations

import atexit
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from support.missing import lack

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE: Final = 30.0
USER: Final = "postgres"


def programs() -> Path | None:
    """Find the folder with PostgreSQL's programs: the newest of Debian's, or what is on the path."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda at: int(at.parts[4])
    )
    if debian:
        return debian[-1].parent
    there = shutil.which("postgres")
    return Path(there).resolve().parent if there else None


class Postgres:
    """A server; `with Postgres() as server` starts and stops it, and removes what it kept.

    It listens on 127.0.0.1 with a password, and on a socket in its folder without. What it is told
    to keep does not survive the machine, but does survive a restart.
    """

    def __init__(self) -> None:
        found = programs()
        assert found is not None, "PostgreSQL is not installed"
        self._programs = found
        self.folder = Path(tempfile.mkdtemp(prefix="stream-serve-postgres-"))
        self.password = "canary-" + secrets.token_hex(8)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root.
        self._user = USER if os.geteuid() == 0 else None
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, with the password."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def database(self, template: str = "template0") -> str:
        """Make a database, empty or a copy of another; return its URL."""
        name = "test_" + secrets.token_hex(8)
        self.sql(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.sql(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement; return what came of it, a row a line, with | between the columns."""
        arguments = ("-h", str(self.folder), "-p", str(self.port), "-U", USER, "-d", database)
        return self._command("psql", *arguments, "-X", "-q", "-A", "-t", "-c", statement).strip()

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        assert self._process is None, "it runs already"
        data = self.folder / "data"
        if not data.exists():
            self._make(data)
        options = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "full_page_writes": "off",
            "logging_collector": "off",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", data, *settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                group=self._user,
                cwd=self.folder,
            )
        self._wait(self._process)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: at once and in order, or (`SIGKILL`) as by a crash."""
        process, self._process = self._process, None
        if process is not None:
            _signal(process.pid, signal.SIGCONT)
            process.send_signal(how)
            process.wait(PATIENCE)

    def restart(self) -> None:
        """Stop and start, on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop all its processes where they are: connections stay open, and nothing answers."""
        assert self._process is not None
        _signal(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its processes go on."""
        assert self._process is not None
        _signal(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self, data: Path) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password, encoding="ascii")
        if self._user is not None:
            shutil.chown(secret, self._user)
        self._command(
            "initdb",
            *("-D", str(data), "-U", USER, "--encoding=UTF8", "--locale=C", "--no-sync"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"),
        )
        secret.unlink()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        ready = [self._programs / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode != 0:
            log = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            assert process.poll() is None, f"PostgreSQL did not start: {log}"
            assert time.monotonic() < end, f"PostgreSQL is not ready: {log}"
            time.sleep(0.02)

    def _command(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._programs / name, *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            user=self._user,
            group=self._user,
            cwd=self.folder,
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"
        return done.stdout


@cache
def shared_server() -> Postgres:
    """Return the one server of this test run, started at its first use; skip, or fail in CI, without."""
    if programs() is None:
        lack("PostgreSQL is not installed")
    server = Postgres()
    atexit.register(server.close)
    server.start()
    return server


def free_port() -> int:
    """Find a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _signal(parent: int, number: signal.Signals) -> None:
    """Send a signal to a process, and then to its children."""
    os.kill(parent, number)
    for pid in _children(parent):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _children(parent: int) -> Iterator[int]:
    for task in Path(f"/proc/{parent}/task").iterdir():
        yield from map(int, (task / "children").read_text(encoding="ascii").split())
