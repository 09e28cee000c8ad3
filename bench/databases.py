"""Our service with conversations in a SQLite file, or in a PostgreSQL on the tools' processors."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.processes import Server, ServerFailedError, free_port
from bench.targets import (
    CHAT_PATH,
    MissingError,
    Place,
    Running,
    Target,
    clean_environment,
    serve_ours,
)

if TYPE_CHECKING:
    from contextlib import ExitStack

_USER: Final = "postgres"
_PATIENCE: Final = 30.0
_EACH: Final = {"conversationId": "new"}


def _sqlite(place: Place, stack: ExitStack) -> Running:
    url = f"sqlite:///{place.folder / 'conversations.db'}"
    return Running(stack.enter_context(serve_ours(place, STREAM_SERVE_DATABASE_URL=url)))


def _postgres(place: Place, stack: ExitStack) -> Running:
    """Run PostgreSQL as it comes: a commit waits for the disk."""
    port, data = free_port(), place.folder / "data"
    programs = _programs()
    data.mkdir()
    become: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam(_USER)
        os.chown(data, account.pw_uid, account.pw_gid)
        for folder in (place.folder, place.folder.parent):
            folder.chmod(0o755)
        become = ["setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups"]
    made = [*become, programs / "initdb", "-D", data, "-U", _USER, "--auth=trust", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd=data)
    options = ("listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=")
    words = [word for option in options for word in ("-c", option)]
    command = [*become, programs / "postgres", "-D", data, *words]
    folder = place.folder / "postgres"
    folder.mkdir()
    stack.enter_context(
        Server(command, port, folder=folder, environment=os.environ, cpus=place.tool_cpus)
    )
    _wait(programs / "pg_isready", port)
    url = f"postgresql://{_USER}@127.0.0.1:{port}/postgres"
    migrate = [sys.executable, "-m", "stream_serve", "migrate"]
    environment = {**clean_environment(), "STREAM_SERVE_DATABASE_URL": url}
    subprocess.run(migrate, check=True, capture_output=True, cwd=place.folder, env=environment)
    return Running(stack.enter_context(serve_ours(place, STREAM_SERVE_DATABASE_URL=url)))


def _wait(ready: Path, port: int) -> None:
    """Wait until PostgreSQL, which listens before that, takes connections."""
    end = time.monotonic() + _PATIENCE
    command = [ready, "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(command, check=False).returncode != 0:
        if time.monotonic() > end:
            raise ServerFailedError("PostgreSQL takes no connections")
        time.sleep(0.1)


def _programs() -> Path:
    """Find the folder with PostgreSQL's programs. Raises `MissingError`."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    found = sorted(debian, key=lambda path: int(path.parts[4]))
    there = str(found[-1]) if found else shutil.which("postgres")
    if there is None:
        raise MissingError("PostgreSQL is not installed")
    return Path(there).resolve().parent


SQLITE: Final = Target(
    "ours-sqlite", "stream-serve, a conversation each, SQLite", CHAT_PATH, _sqlite, fields=_EACH
)
POSTGRES: Final = Target(
    "ours-postgres",
    "stream-serve, a conversation each, PostgreSQL",
    CHAT_PATH,
    _postgres,
    prepare=_programs,
    fields=_EACH,
)
