"""A real PgBouncer for tests, in transaction mode, before a PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from support.missing import lack
from support.postgres import PATIENCE, USER, free_port

if TYPE_CHECKING:
    from support.postgres import Postgres

SEARCHED: Final = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"


class PgBouncer:
    """A pooler; `with PgBouncer(server) as pooler` starts and ends it.

    Each transaction gets one of two connections to the server, whichever is free.
    """

    def __init__(self, server: Postgres) -> None:
        found = shutil.which("pgbouncer", path=SEARCHED)
        if found is None:
            lack("PgBouncer is not installed")
        self._program = str(found)
        self._server = server
        self.folder = Path(tempfile.mkdtemp(prefix="stream-serve-pgbouncer-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PgBouncer:
        settings = self.folder / "pgbouncer.ini"
        server = self._server
        settings.write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={server.port} user={USER} password={server.password}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
            f"logfile = {self.folder}/log\n",
            encoding="ascii",
        )
        user = USER if os.geteuid() == 0 else None
        if user is not None:
            account = pwd.getpwnam(user)
            for path in (self.folder, settings):
                os.chown(path, account.pw_uid, account.pw_gid)
        self._process = subprocess.Popen(
            [self._program, "-q", settings], user=user, group=user, cwd=self.folder
        )
        self._wait(self._process)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, url: str) -> str:
        """Return the URL of a database of the server, through the pooler."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{url.rpartition('/')[2]}"

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert process.poll() is None, "PgBouncer did not start"
                assert time.monotonic() < end, "PgBouncer is not ready"
                time.sleep(0.02)
            else:
                return
