"""The benchmark's own tools: the upstream and the load generator, which are C programs."""

from __future__ import annotations

import http.client
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from bench.processes import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Collection

ROOT: Final = Path(__file__).resolve().parent
BUILD: Final = ROOT / ".build"


class Times(Struct):
    """A distribution of times in milliseconds."""

    count: int
    min: float
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: float


class LoadReport(Struct):
    """What the load generator measured; see `load/load.c`. `cpu` and `seconds` are its own."""

    streams: int
    opened: int
    complete: int
    incomplete: int
    refused: int
    wrong_status: int
    status: int
    reset: int
    malformed: int
    most_open: int
    tokens: int
    bytes: int
    seconds: float
    cpu: float
    first: Times
    first_added: Times
    added: Times
    duration: Times

    @property
    def failed(self) -> int:
        """Count the streams that did not bring what they should."""
        return self.streams - self.complete


class Load(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """What to ask of a server: so many streams, `arrival` of them a second (0: all at once).

    A stream is complete when it has brought `tokens` tokens (0: any number). `seconds` is the most
    that it may take. The latency is that of the tokens sent between the seconds `from_` and `to`. Each
    stream asks `again` times, one request after the other, on the same connection unless `fresh`.
    """

    port: int
    path: str
    method: str = "POST"
    body: str = ""
    streams: int = 1
    arrival: float = 0
    tokens: int = 0
    seconds: float = 120
    from_: float = 0
    to: float = 86_400
    again: int = 1
    fresh: bool = False


class Upstream(Server):
    """The provider."""

    def __init__(self, folder: Path, cpus: Collection[int]) -> None:
        port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        command = [BUILD / "bin" / "upstream", str(port)]
        super().__init__(command, port, folder=folder, environment={}, cpus=cpus)

    @property
    def url(self) -> str:
        """Return the base URL, as an OpenAI client wants it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def stats(self) -> dict[str, float]:
        """Return the counts so far, and how late a token was since the last question."""
        return msgspec.json.decode(self._get("/stats"), type=dict[str, float])

    def streaming(self) -> float:
        """Count the answers that are on the way."""
        stats = self.stats()
        return stats["requests"] - stats["finished"] - stats["closed_early"]

    def closed(self, mark: str) -> int | None:
        """Say when the peer closed the connection of a marked run, in monotonic nanoseconds."""
        answer = msgspec.json.decode(self._get(f"/closed?mark={mark}"), type=dict[str, int | None])
        return answer["at"]

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


def build() -> None:
    """Compile the tools. Raises `CalledProcessError`."""
    subprocess.run([ROOT / "load" / "build", BUILD / "bin"], check=True)


def ask(*, tokens: int, rate: float, mark: str = "") -> str:
    """Return the words which tell the upstream what to send."""
    return f"bench?tokens={tokens}&rate={rate:g}" + (f"&mark={mark}" if mark else "")


def start_load(load: Load, cpus: Collection[int]) -> subprocess.Popen[bytes]:
    """Start the load generator; `read_load` gives its report."""
    command = [str(BUILD / "bin" / "load")]
    options: dict[str, object] = msgspec.to_builtins(load)
    for name, value in options.items():
        if value is True:
            command.append(f"--{name}")
        elif value is not False:
            command += [f"--{name}", str(value)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    os.sched_setaffinity(process.pid, cpus)
    return process


def read_load(process: subprocess.Popen[bytes]) -> LoadReport:
    """Wait for the load generator's end and give its report. Raises `RuntimeError`."""
    output, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with code {process.returncode}")
    return msgspec.json.decode(output, type=LoadReport)
