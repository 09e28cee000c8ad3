"""A real forward proxy, tinyproxy, between a service and its provider."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from support.missing import lack
from support.postgres import free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator

PATIENCE: Final = 30.0
USER: Final = "caller"
PASSWORD: Final = "canary0123456789"

_CONFIG: Final = """
Listen 127.0.0.1
Port {port}
Allow 127.0.0.1
Timeout 600
MaxClients 100
LogFile "{folder}/log"
LogLevel Connect
"""


class ForwardProxy:
    """tinyproxy on a free port of 127.0.0.1; `with ForwardProxy() as proxy` starts and stops it.

    With `secret` it wants `USER` and `PASSWORD`. It skips the test, or fails in CI, where it is missing.
    """

    def __init__(self, *, secret: bool = False) -> None:
        found = shutil.which("tinyproxy") or shutil.which("tinyproxy", path="/usr/sbin:/usr/bin")
        if found is None:
            lack("tinyproxy is not installed")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._program = found
        self._folder = Path(tempfile.mkdtemp(prefix="stream-serve-tinyproxy-"))
        self._process: subprocess.Popen[bytes] | None = None
        config = _CONFIG.format(port=self.port, folder=self._folder)
        if secret:
            config += f"BasicAuth {USER} {PASSWORD}\n"
            self.url = f"http://{USER}:{PASSWORD}@127.0.0.1:{self.port}"
        (self._folder / "config").write_text(config, encoding="utf-8")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [self._program, "-d", "-c", str(self._folder / "config")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, f"tinyproxy did not start: {self.log()}"
            assert time.monotonic() < end, f"tinyproxy is not ready: {self.log()}"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(PATIENCE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self) -> str:
        """Return what it has logged: a line for each request, among others."""
        file = self._folder / "log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


@asynccontextmanager
async def with_tls(proxy: ForwardProxy, tls: ssl.SSLContext) -> AsyncGenerator[str]:
    """A way to a proxy by TLS, which tinyproxy itself has not; the value is its URL."""
    flows: set[asyncio.Task[object]] = set()

    async def passing(near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        flows.add(task)
        far, to_far = await asyncio.open_connection("127.0.0.1", proxy.port)
        await asyncio.gather(flow(near, to_far), flow(far, to_near))

    server = await asyncio.start_server(passing, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield proxy.url.replace("http://", "https://").replace(
            f"127.0.0.1:{proxy.port}", f"localhost:{port}"
        )
    finally:
        server.close()
        await asyncio.gather(*flows)
        await server.wait_closed()


async def flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, and its end."""
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()
