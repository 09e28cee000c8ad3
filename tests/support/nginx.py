"""A real nginx in front of services, with the site file that the project ships."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from support.missing import lack
from support.postgres import free_port

PATIENCE: Final = 30.0
SITE: Final = Path(__file__).parent.parent.parent / "deploy" / "nginx.conf"

_SERVERS: Final = re.compile(r"(?:^ *server \S+:\d+( [^;]*)?;\n)+", re.MULTILINE)
_LISTEN: Final = re.compile(r"^ *listen 80;$", re.MULTILINE)

_MAIN: Final = """
{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 4096; }}
http {{
    log_format served '$request_method $uri $status $upstream_addr';
    access_log access.log served;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include {site};
}}
"""


def program() -> str | None:
    """Find nginx; on Debian it is not on everybody's path."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def site(listen: str, *services: str) -> str:
    """Return the shipped site file with an address to listen on, and the `host:port` of services."""
    text = SITE.read_text(encoding="utf-8")

    def servers(found: re.Match[str]) -> str:
        return "".join(f"    server {service}{found[1] or ''};\n" for service in services)

    text, replaced = _SERVERS.subn(servers, text)
    assert replaced == 1, "the site file has no list of servers, or more than one"
    text, replaced = _LISTEN.subn(f"    listen {listen};", text)
    assert replaced == 1, "the site file does not listen on port 80, once"
    return text


class Nginx:
    """nginx in front of services; `with Nginx(service.url) as nginx` starts and stops it.

    It runs in a temporary folder, on a free port of 127.0.0.1, and skips the test, or fails in CI,
    where nginx is missing.
    """

    def __init__(self, *urls: str) -> None:
        found = program()
        if found is None:
            lack("nginx is not installed")
        self._program = found
        self.folder = Path(tempfile.mkdtemp(prefix="stream-serve-nginx-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.route(*urls)
        # Workers of root would change to a user who may not look into the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        main = _MAIN.format(user=user, site=self.folder / "site.conf")
        (self.folder / "nginx.conf").write_text(main, encoding="utf-8")

    def __enter__(self) -> Nginx:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Return the base URL under which it answers."""
        return f"http://127.0.0.1:{self.port}"

    def route(self, *urls: str) -> None:
        """Write the services' addresses into the site file; a running nginx needs `reload`, too."""
        text = site(f"127.0.0.1:{self.port}", *(urlsplit(url).netloc for url in urls))
        (self.folder / "site.conf").write_text(text, encoding="utf-8")

    def check(self) -> str:
        """Let nginx examine the configuration; return what it says. A wrong one fails the test."""
        done = subprocess.run(
            [*self._command(), "-t"], check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def served(self) -> list[str]:
        """Return a line for each request that is over: method, path, status, and who was asked."""
        return (self.folder / "access.log").read_text(encoding="utf-8").splitlines()

    def start(self) -> None:
        """Start, and wait until it takes connections."""
        assert self._process is None, "it runs already"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + PATIENCE
        while not self._answers():
            log_text = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            assert self._process.poll() is None, f"nginx did not start: {log_text}"
            assert time.monotonic() < end, f"nginx is not ready: {log_text}"
            time.sleep(0.01)

    def reload(self) -> None:
        """Let it read its configuration again; requests that are open go on with the old one."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it: at once, or (`SIGQUIT`) when the open requests are over."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE)

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _command(self) -> list[str]:
        return [self._program, "-p", str(self.folder), "-c", "nginx.conf"]

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False
