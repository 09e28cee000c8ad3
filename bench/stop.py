"""How long a stop takes, until the provider sees its connection closed.

Ours has an endpoint for it. The others, and ours once more, are stopped as the article's page does it:
by closing the connection.
"""

from __future__ import annotations

import secrets
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from bench.http_client import Caller, Request
from bench.targets import OURS
from bench.tools import ask, read_load

if TYPE_CHECKING:
    from collections.abc import Generator

    from bench.measure import Sample, Stage

_STREAMS: Final = 100
_PATIENCE: Final = 2.0
_STARTING: Final = 20.0
_PAUSE: Final = 0.003
_NEVER: Final = 5
_LONG: Final = 100_000


def stop(stage: Stage) -> Sample:
    """Stop runs one after the other while 100 others go on.

    They go on at 50 tokens a second where our endpoint is measured. The disconnects are measured at
    10, which every target can relay: one that is overloaded would be late with everything.
    """
    sample: Sample = {}
    victims = stage.size.victims
    if stage.target.name == OURS.name:
        with _running(stage, rate=50):
            times = [stop_one(stage, by_request=True) for _ in range(victims)]
        sample |= _times("stop", times)
    with _running(stage, rate=10):
        times = _disconnect(stage, max(10, victims // 4))
    return sample | _times("disconnect", times)


@contextmanager
def _running(stage: Stage, *, rate: float) -> Generator[None]:
    """Let 100 streams run during the block."""
    load = stage.load(
        streams=_STREAMS, tokens=_LONG, rate=rate, arrival=100, seconds=600, whole=False
    )
    _wait_until(stage, 0)
    process = stage.start(load)
    try:
        _wait_until(stage, _STREAMS)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        report = read_load(process)
    if report.complete + report.incomplete != _STREAMS:
        raise RuntimeError(f"{_STREAMS - report.incomplete} of the running streams broke off")


def stop_one(stage: Stage, *, by_request: bool) -> float | None:
    """Start a run, stop it when its first token came, and give the time it took in milliseconds.

    None says that the provider's connection was still open after two seconds.
    """
    run_id = f"bench-{secrets.token_hex(8)}"
    wish = ask(tokens=_LONG, rate=50, mark=run_id)
    fields = {"runId": run_id} if by_request else {}
    caller = Caller(stage.port) if by_request else None
    victim = Request(stage.port, stage.target.path, stage.target.body(wish, **fields))
    try:
        victim.read_until(b"t=")
        begin = time.monotonic_ns()
        if caller is not None:
            status, answer = caller.call("POST", f"/ai/runs/{run_id}/stop")
            if status != 200:
                raise RuntimeError(f"the stop was answered with {status}: {answer[:200]!r}")
        else:
            victim.close()
        closed = _wait_for_close(stage, run_id)
    finally:
        victim.close()
        if caller is not None:
            caller.close()
    return None if closed is None else (closed - begin) / 1e6


def _disconnect(stage: Stage, count: int) -> list[float | None]:
    """Disconnect so many; a target that does not care is not asked so often."""
    times: list[float | None] = []
    while len(times) < count and times.count(None) < _NEVER:
        times.append(stop_one(stage, by_request=False))
    return times


def _wait_for_close(stage: Stage, mark: str) -> int | None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if (closed := stage.upstream.closed(mark)) is not None:
            return closed
        time.sleep(_PAUSE)
    return None


def _wait_until(stage: Stage, wanted: int) -> None:
    """Wait until so many streams run. Raises `RuntimeError` when that takes too long."""
    end = time.monotonic() + _STARTING
    while (count := stage.upstream.streaming()) != wanted:
        if time.monotonic() > end:
            raise RuntimeError(f"{count:.0f} streams run after {_STARTING:.0f} s, not {wanted}")
        time.sleep(0.05)


def _times(name: str, times: list[float | None]) -> Sample:
    known = sorted(one for one in times if one is not None)
    sample: Sample = {f"{name}s": len(times), f"{name}_never": len(times) - len(known)}
    if known:
        sample[f"{name}_p50_ms"] = known[len(known) // 2]
        sample[f"{name}_p99_ms"] = known[min(len(known) - 1, int(len(known) * 0.99))]
        sample[f"{name}_max_ms"] = known[-1]
    return sample
