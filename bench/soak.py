"""Hours in small: runs start, stop and finish for minutes, and nothing may grow.

Finished runs are kept for a while, so that memory grows until the first ones are forgotten. The soak
shortens that time, and begins to compare when it has passed several times.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from typing import TYPE_CHECKING, Final

from bench.stop import stop_one
from bench.targets import OURS, Place, Running, Target, serve_ours
from bench.tools import ROOT, read_load

if TYPE_CHECKING:
    from contextlib import ExitStack

    from bench.measure import Sample, Stage
    from bench.processes import Server

_RETENTION: Final = "10"
_PATIENCE: Final = 10.0
_WARM: Final = 0.3
_TASKS: Final = "tasks"
_FIGURES: Final = ("memory_mb", "descriptors", "threads", "tasks")


def _start(place: Place, stack: ExitStack) -> Running:
    server = serve_ours(
        place,
        [ROOT / "counted.py"],
        STREAM_SERVE_RUN_RETENTION=_RETENTION,
        BENCH_TASKS=str(place.folder / _TASKS),
    )
    return Running(stack.enter_context(server))


SOAKED: Final = Target("ours", OURS.title, OURS.path, _start)


def soak(stage: Stage) -> Sample:
    """Start, stop and finish runs, and compare the first third's end with the last tenth."""
    begin = time.monotonic()
    length = stage.size.soak_minutes * 60
    history: list[tuple[float, ...]] = []
    runs = stops = failed = 0
    while (now := time.monotonic() - begin) < length:
        load = stage.load(streams=60, tokens=100, rate=50, arrival=30)
        running = stage.start(load)
        for number in range(60):
            # The readers of this load and the stopped ones come and go at the same time.
            if running.poll() is not None:
                break
            failed += stop_one(stage, by_request=number % 3 != 0) is None
            stops += 1
        report = read_load(running)
        runs += report.complete
        failed += report.failed
        # What is open is compared at rest: between two loads nothing runs.
        time.sleep(0.5)
        server = stage.server
        counts = server.descriptors(), server.threads(), _tasks(server)
        history.append((now, server.memory() / 1e6, *counts))
    warm = [one for one in history if one[0] >= length * _WARM] or history
    tenth = max(1, len(warm) // 10)
    first, last = warm[: max(1, tenth * 2)], warm[-tenth:]
    sample: Sample = {
        "minutes": length / 60,
        "runs": runs,
        "stops": stops,
        "failed_streams": failed,
    }
    for place, name in enumerate(_FIGURES, start=1):
        sample[f"{name}_begin"] = statistics.median(one[place] for one in first)
        sample[f"{name}_end"] = statistics.median(one[place] for one in last)
        sample[f"{name}_most"] = max(one[place] for one in warm)
    return sample


def _tasks(server: Server) -> int:
    """Ask the service for the number of its asyncio tasks. Raises `RuntimeError`."""
    answer = server.folder / _TASKS
    answer.unlink(missing_ok=True)
    os.kill(server.pid, signal.SIGUSR1)
    end = time.monotonic() + _PATIENCE
    while not answer.exists():
        if time.monotonic() > end:
            raise RuntimeError("the service does not tell the number of its tasks")
        time.sleep(0.01)
    return int(answer.read_text())
