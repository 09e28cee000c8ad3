"""A real engine for tests: llama.cpp's server with a tiny model, on a free port, gone afterwards."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import aiohttp

from support.missing import lack
from support.postgres import free_port
from support.waiting import until

if TYPE_CHECKING:
    from types import TracebackType

PROGRAM: Final = Path(__file__).with_name("llama_server.py")


def need_engine() -> None:
    """Skip the test where the engine's package is missing; fail in CI."""
    if importlib.util.find_spec("xllamacpp") is None:
        lack("llama.cpp's server (the package xllamacpp) is not installed")


class Engine:
    """A server of a model; `async with` starts it, and kills it at the end.

    It makes one answer at a time. After a restart it is on the same port.
    """

    def __init__(self, model: Path) -> None:
        self._origin: Final = f"http://127.0.0.1:{(port := free_port())}"
        self._command = [sys.executable, str(PROGRAM), str(model), str(port)]
        self._log = model.with_name(f"engine-{port}.log")
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Return its base URL as a provider."""
        return f"{self._origin}/v1"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start, and wait until the model is loaded."""
        assert self._process is None, "it runs already"
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        await until(self._healthy)

    async def kill(self) -> None:
        """End it as by a crash, and wait for the end."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.wait()

    async def tokens(self) -> int:
        """Return how many tokens it has made, in all answers that are over."""
        return int(await self._figure("tokens_predicted_total"))

    async def idle(self) -> bool:
        """Tell whether it makes no answer and none waits."""
        return (
            await self._figure("requests_processing") + await self._figure("requests_deferred") == 0
        )

    async def _figure(self, name: str) -> float:
        status, text = await self._get("/metrics")
        found = re.search(rf"^llamacpp:{name} (\S+)$", text, re.MULTILINE)
        assert found is not None, f"{status}: {text}"
        return float(found[1])

    async def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text(errors="replace")
        try:
            return (await self._get("/health"))[0] == 200
        except aiohttp.ClientConnectionError:
            return False

    async def _get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self._origin}{path}") as response,
        ):
            return response.status, await response.text()
