"""One measurement: a load on a server that runs, and what it cost."""

from __future__ import annotations

import itertools
import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bench.targets import Place, Running, Target
from bench.tools import Load, LoadReport, Upstream, ask, read_load, start_load

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator
    from pathlib import Path

    from bench.processes import Server

Sample = dict[str, float]
"""What one measurement brought, by name; the units are in the names."""

MICRO: Final = 1e6
_BUSY: Final = 0.9


@dataclass(frozen=True)
class Size:
    """How much is done: `--quick` does less."""

    tokens: int = 800
    runs: int = 4_000
    victims: int = 200
    soak_minutes: float = 30


@dataclass
class Cost:
    """The CPU seconds that processes spend from its making on."""

    server: Server
    begin: float = field(init=False)

    def __post_init__(self) -> None:
        self.begin = self.server.cpu()

    @property
    def seconds(self) -> float:
        """Return what was spent so far."""
        return self.server.cpu() - self.begin


class Stage:
    """A target that runs, with the upstream behind it and the load generator in front."""

    def __init__(self, target: Target, running: Running, place: Place, size: Size) -> None:
        self.target: Final = target
        self.server: Final = running.server
        self.store: Final = running.store
        self.upstream: Final = place.upstream
        self.port: Final = place.upstream.port if target.start is None else place.port
        self.size: Final = size
        self.tool_cpus: Final = place.tool_cpus

    def load(
        self,
        *,
        streams: int,
        tokens: int,
        rate: float,
        arrival: float,
        seconds: float = 120,
        whole: bool = True,
    ) -> Load:
        """Describe streams of so many tokens, at a rate for each; `whole`: each must bring all."""
        return Load(
            port=self.port,
            path=self.target.path,
            body=self.target.body(ask(tokens=tokens, rate=rate)),
            streams=streams,
            arrival=arrival,
            tokens=tokens if whole else 0,
            seconds=seconds,
        )

    def start(self, load: Load) -> subprocess.Popen[bytes]:
        """Start a load; `read_load` waits for its end."""
        return start_load(load, self.tool_cpus)

    def run(self, load: Load) -> tuple[LoadReport, Sample]:
        """Run a load to its end; the sample holds what every scenario tells."""
        costs = Cost(self.server), Cost(self.upstream)
        store = Cost(self.store) if self.store is not None else None
        self.upstream.stats()
        report = read_load(self.start(load))
        server, upstream = (cost.seconds for cost in costs)
        tokens = max(report.tokens, 1)
        sample: Sample = {
            "tokens": report.tokens,
            "failed_streams": report.failed,
            "seconds": report.seconds,
            "server_cpu_seconds": server,
            "server_cpu_share": server / report.seconds,
            "upstream_cpu_share": upstream / report.seconds,
            "load_cpu_share": report.cpu / report.seconds,
            "upstream_most_late_ms": self.upstream.stats()["most_late_ms"],
            "cpu_us_a_token": server / tokens * MICRO,
            "added_p50_ms": report.added.p50,
            "added_p90_ms": report.added.p90,
            "added_p99_ms": report.added.p99,
            "added_max_ms": report.added.max,
            "first_p50_ms": report.first_added.p50,
            "first_p99_ms": report.first_added.p99,
            "status": report.status,
        }
        if self.target.start is None:
            for name in ("server_cpu_seconds", "server_cpu_share", "cpu_us_a_token"):
                del sample[name]
        if store is not None:
            sample["redis_cpu_us_a_token"] = store.seconds / tokens * MICRO
        return report, sample

    def tools_busy(self, sample: Sample) -> bool:
        """Say whether the upstream or the load generator had no CPU left in a measurement."""
        shares = sample["upstream_cpu_share"], sample["load_cpu_share"]
        return max(shares) > _BUSY or sum(shares) > _BUSY * len(self.tool_cpus)

    def warm_up(self) -> None:
        """Let the server do its work for a moment: what it makes once is not measured."""
        load = self.load(streams=60, tokens=50, rate=50, arrival=100, seconds=30, whole=False)
        read_load(self.start(load))


class Bench:
    """Where the measurements happen: a folder, the upstream, and who has which processors.

    With more than one processor, the servers have the first half and the tools the rest.
    """

    def __init__(self, folder: Path, *, size: Size, pinned: bool) -> None:
        everyone = sorted(os.sched_getaffinity(0))
        half = len(everyone) // 2
        split = pinned and half > 0
        self.cpus: Final = frozenset(everyone[:half] if split else everyone)
        self.tool_cpus: Final = frozenset(everyone[half:] if split else everyone)
        self.size: Final = size
        self._folder = folder
        self._numbers = itertools.count(1)

    @contextmanager
    def stage(self, target: Target, port: int) -> Generator[Stage]:
        """Run a target and an upstream of its own until the block ends."""
        folder = self._folder / f"{target.name}-{next(self._numbers)}"
        with ExitStack() as stack:
            upstream = stack.enter_context(Upstream(folder / "upstream", self.tool_cpus))
            place = Place(folder, port, upstream, self.cpus, self.tool_cpus)
            running = stack.enter_context(target.serve(place))
            yield Stage(target, running, place, self.size)
        shutil.rmtree(folder)
