"""The scenarios: each takes a stage and gives a sample.

They are what the project's table of musts and aims names: the CPU a token and the latency at a steady
load, many arrivals, saturation, the readers of one run, a late reader, and the price of Redis. The stop
and the soak have modules of their own.
"""

from __future__ import annotations

import json
import math
import secrets
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from bench import dialects, soak, stop, streams
from bench.databases import POSTGRES, SQLITE
from bench.gateways import GATEWAYS
from bench.http_client import Caller, Request
from bench.measure import MICRO, Cost, Sample, Stage
from bench.targets import (
    COMPLETIONS,
    DIRECT,
    FASTAPI,
    LITELLM,
    NGINX,
    NODE,
    OURS,
    REDIS,
    Target,
)
from bench.tls import NGINX_TLS, OURS_TLS
from bench.tools import Load, ask, read_load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.tools import LoadReport

_STREAMS: Final = 100
_RATE: Final = 50.0
_FEW: Final = 100
_BURST: Final = 1_000.0
_BURSTS: Final = 5
_TOGETHER: Final = 4
_SHORT: Final = 2
_AT_ONCE: Final = 100_000.0
_ARRIVING: Final = 1500
_ARRIVING_TOKENS: Final = 50
_LIMIT_MS: Final = 100.0
_STEPS: Final = 12
_OFFER_ARRIVAL: Final = 200.0
_OFFER_REST: Final = 2.0
_OFFER_WINDOW: Final = 4.0
_CLOSE: Final = 1.15
_DELIVERED: Final = 0.9
_REST: Final = 1.0
"""After a step of the ramp, for what it left behind."""
_READERS: Final = 500
_EVENTS: Final = 10_000
_PATIENCE: Final = 60.0
_SPREAD: Final = 600


@dataclass(frozen=True)
class Scenario:
    """A scenario by name: what it does, which targets play it."""

    name: str
    title: str
    play: Callable[[Stage], Sample]
    targets: Sequence[Target]
    usual: bool = True
    rounds: int | None = None
    """The most rounds, where it takes long."""

    warm_up: Callable[[Stage], None] = Stage.warm_up


def steady(stage: Stage) -> Sample:
    """100 streams at 50 tokens a second: CPU a token, and the added latency of each token."""
    load = stage.load(streams=_STREAMS, tokens=stage.size.tokens, rate=_RATE, arrival=100)
    return stage.run(load)[1]


def lengths(stage: Stage) -> Sample:
    """The same, and what a token costs in streams of 100, where the start and the end count more."""
    load = stage.load(streams=_STREAMS, tokens=_FEW, rate=_RATE, arrival=100)
    report, few = stage.run(load)
    sample = steady(stage)
    sample["failed_streams"] += report.failed
    if "cpu_us_a_token" in few:
        sample["cpu_us_a_token_of_100"] = few["cpu_us_a_token"]
    return sample


def burst(stage: Stage) -> Sample:
    """100 streams that start within 100 ms, several times: how late is the first token?"""
    found: list[LoadReport] = []
    cost = Cost(stage.server)
    for _ in range(_BURSTS):
        load = stage.load(streams=_STREAMS, tokens=_FEW, rate=_RATE, arrival=_BURST)
        found.append(read_load(stage.start(load)))
        time.sleep(_REST)
    tokens = sum(one.tokens for one in found)
    return {
        "first_p50_ms": statistics.median(one.first_added.p50 for one in found),
        "first_p99_ms": statistics.median(one.first_added.p99 for one in found),
        "first_max_ms": max(one.first_added.max for one in found),
        "cpu_us_a_token": cost.seconds / max(tokens, 1) * MICRO,
        "failed_streams": sum(one.failed for one in found),
    }


def listening(stage: Stage) -> Sample:
    """From the command until it listens: CPU seconds, and the memory then."""
    return {"cpu_s_listening": stage.server.ready_cpu, "idle_mb": stage.server.memory() / 1e6}


def _cold(stage: Stage) -> None:
    """Ask a server nothing before it is measured."""


def runs(stage: Stage) -> Sample:
    """Runs of two tokens, four at a time: CPU a run, on a new connection each and on kept ones."""
    sample: Sample = {}
    for name, fresh in (("new", True), ("kept", False)):
        load = stage.load(streams=_TOGETHER, tokens=_SHORT, rate=_AT_ONCE, arrival=0)
        load = msgspec.structs.replace(load, again=stage.size.runs // _TOGETHER, fresh=fresh)
        cost = Cost(stage.server)
        report = read_load(stage.start(load))
        spent = cost.seconds
        sample |= {
            f"cpu_us_a_run_{name}": spent / max(report.complete, 1) * MICRO,
            f"runs_a_second_{name}": report.complete / report.seconds,
            f"failed_{name}": report.failed,
        }
    return sample


def arrivals(stage: Stage) -> Sample:
    """1,500 streams at 5 tokens a second, 300 arriving a second: first token, and memory."""
    time.sleep(1)  # the idle memory is that of a server which has come to rest
    idle = stage.server.memory()
    load = stage.load(streams=_ARRIVING, tokens=_ARRIVING_TOKENS, rate=5, arrival=300, seconds=60)
    costs = Cost(stage.server), Cost(stage.upstream)
    running = stage.start(load)
    # All have arrived after 5 s, and the first one ends after 10 s.
    time.sleep(8)
    memory = stage.server.memory()
    report = read_load(running)
    server, upstream = (cost.seconds for cost in costs)
    return {
        "tokens": report.tokens,
        "failed_streams": report.failed,
        "most_open": report.most_open,
        "first_p50_ms": report.first_added.p50,
        "first_p99_ms": report.first_added.p99,
        "first_max_ms": report.first_added.max,
        "added_p99_ms": report.added.p99,
        "idle_mb": idle / 1e6,
        "kb_a_stream": (memory - idle) / 1024 / max(report.most_open, 1),
        "cpu_us_a_token": server / max(report.tokens, 1) * MICRO,
        "upstream_cpu_share": upstream / report.seconds,
        "load_cpu_share": report.cpu / report.seconds,
        "status": report.status,
    }


def saturation(stage: Stage) -> Sample:
    """Offer more and more: what does a CPU second bring while the added p99 stays under 100 ms?

    The offer doubles until it is too much; then the limit is sought between the two. What seems too
    much is tried once more: other work on the machine would end the ramp too early. Where the tools
    had no CPU left, or did not send what was offered, the server could have done more:
    `ended_by_tools`.
    """
    best: Sample = {"tokens_a_cpu_second": 0.0, "tokens_a_second": 0.0}
    offer, good, bad, by_tools = 2_000.0, 0.0, math.inf, 0.0
    for _ in range(_STEPS):
        sample = _offer(stage, offer)
        if not _kept_up(sample):
            time.sleep(_REST)
            sample = _offer(stage, offer)
        if _kept_up(sample):
            best, good = sample, offer
            if sample["tokens_a_second"] < offer * _DELIVERED:
                by_tools = 1.0
                break
        else:
            bad, by_tools = offer, float(stage.tools_busy(sample))
        if bad / max(good, 1.0) < _CLOSE:
            break
        offer = good * 2 if bad == math.inf else (good + bad) / 2
        time.sleep(_REST)
    limit = {} if bad == math.inf else {"too_much_tokens_a_second": bad}
    return {**best, **limit, "ended_by_tools": by_tools}


def _kept_up(sample: Sample) -> bool:
    return sample["added_p99_ms"] < _LIMIT_MS and sample["failed_streams"] == 0


def _offer(stage: Stage, offer: float) -> Sample:
    """Offer so many tokens a second by streams of the usual rate.

    What starts and ends the streams is not measured: only the seconds in which all of them run.
    """
    streams = max(1, round(offer / _RATE))
    arrived = streams / _OFFER_ARRIVAL
    begin = arrived + _OFFER_REST
    end = begin + _OFFER_WINDOW
    load = stage.load(
        streams=streams,
        tokens=round(_RATE * end),
        rate=_RATE,
        arrival=_OFFER_ARRIVAL,
        seconds=arrived + end + 4,  # the last one that has arrived ends after arrived + end
    )
    running = stage.start(msgspec.structs.replace(load, from_=begin, to=end))
    started = time.monotonic()
    time.sleep(begin)
    costs = Cost(stage.server), Cost(stage.upstream)
    sent = stage.upstream.stats()["tokens"]
    time.sleep(max(0.0, started + end - time.monotonic()))
    server, upstream = (cost.seconds for cost in costs)
    sent = stage.upstream.stats()["tokens"] - sent
    report = read_load(running)
    return {
        "tokens_a_cpu_second": sent / max(server, 0.01),
        "tokens_a_second": sent / (end - begin),
        "added_p50_ms": report.added.p50,
        "added_p99_ms": report.added.p99,
        "server_cpu_share": server / (end - begin),
        "upstream_cpu_share": upstream / (end - begin),
        "load_cpu_share": report.cpu / report.seconds,
        "failed_streams": report.failed,
        "status": report.status,
    }


def fanout(stage: Stage) -> Sample:
    """One run at 50 tokens a second, 500 readers: CPU a delivered event."""
    tokens = stage.size.tokens
    run_id = f"bench-{secrets.token_hex(8)}"
    body = stage.target.body(ask(tokens=tokens, rate=_RATE), runId=run_id, onDisconnect="continue")
    cost = Cost(stage.server)
    run = Request(stage.port, stage.target.path, body)
    run.read_until(b"t=")
    path = f"/ai/runs/{run_id}/events"
    load = Load(
        port=stage.port,
        path=path,
        method="GET",
        streams=_READERS,
        arrival=_SPREAD,
        tokens=tokens,
        seconds=tokens / _RATE + 30,
    )
    report = read_load(stage.start(load))
    spent = cost.seconds
    run.close()
    return {
        "events": report.tokens,
        "failed_streams": report.failed,
        "cpu_us_an_event": spent / max(report.tokens, 1) * MICRO,
        "server_cpu_share": spent / report.seconds,
        "load_cpu_share": report.cpu / report.seconds,
        "status": report.status,
    }


def late(stage: Stage) -> Sample:
    """Read the 10,000 events of a run that is finished."""
    tokens = _EVENTS - 2  # one event begins the run, one ends it
    run_id = f"bench-{secrets.token_hex(8)}"
    # Slow enough for the upstream's tokens to be events of their own, most of the time.
    wish = ask(tokens=tokens, rate=2_000)
    body = stage.target.body(wish, runId=run_id, onDisconnect="continue")
    run = Request(stage.port, stage.target.path, body)
    caller = Caller(stage.port)
    events = _wait_for_end(caller, run_id, run)
    caller.close()
    load = Load(
        port=stage.port,
        path=f"/ai/runs/{run_id}/events",
        method="GET",
        streams=20,
        arrival=4,
        tokens=tokens,
        seconds=60,
    )
    report = read_load(stage.start(load))
    return {
        "events": events,
        "failed_streams": report.failed,
        "read_p50_ms": report.duration.p50,
        "read_max_ms": report.duration.max,
        "status": report.status,
    }


def _wait_for_end(caller: Caller, run_id: str, run: Request) -> int:
    """Read the run to its end, and give its number of events."""
    run.read_until(b'"type":"end"')
    run.close()
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        state = json.loads(caller.call("GET", f"/ai/runs/{run_id}")[1])
        if state["state"] == "completed":
            return int(state["events"])
        time.sleep(0.05)
    raise RuntimeError("the run does not end")


_PEERS: Final = (NGINX, *GATEWAYS, NODE, FASTAPI, LITELLM)

SCENARIOS: Final = (
    Scenario(
        "listen",
        "from the command until it listens, in an empty folder",
        listening,
        (OURS, *_PEERS),
        warm_up=_cold,
    ),
    Scenario(
        "cpu",
        "100 streams at 50 tokens a second, 100 arriving a second, start and end included: of 800 tokens "
        "(150 in a quick run), and of 100",
        lengths,
        (DIRECT, OURS, COMPLETIONS, *_PEERS),
    ),
    Scenario(
        "runs",
        "runs of 2 tokens, 4 at a time, one after the other: on a new connection each and on kept ones",
        runs,
        (OURS, COMPLETIONS, *_PEERS),
    ),
    Scenario(
        "starts",
        "runs of 2 tokens, 4 at a time: alone, in a new conversation each, with Redis",
        runs,
        (OURS, SQLITE, POSTGRES, REDIS),
        rounds=2,
    ),
    Scenario(
        "burst",
        "100 streams of 100 tokens at 50 tokens a second that start within 100 ms, 5 times",
        burst,
        (OURS, COMPLETIONS, *_PEERS),
        rounds=2,
    ),
    Scenario(
        "arrivals",
        "1,500 streams of 50 tokens at 5 tokens a second, 300 arriving a second; memory when all run",
        arrivals,
        (OURS, *_PEERS),
        rounds=2,
    ),
    Scenario(
        "saturation",
        "as much as one process can do, with the added p99 under 100 ms",
        saturation,
        (OURS, *_PEERS),
        rounds=1,
    ),
    Scenario(
        "stop",
        "from the stop to the closed connection at the provider, under 100 running streams",
        stop.stop,
        (OURS, *_PEERS),
        rounds=2,
    ),
    Scenario("fanout", "one run at 50 tokens a second, 500 readers", fanout, (OURS,)),
    Scenario("late", "10,000 events of a finished run", late, (OURS,)),
    Scenario(
        "dialects",
        f"{dialects.STREAMS} streams of {dialects.TOKENS} tokens at 50 tokens a second, start and end "
        "included, at each door, and as many readers of one run in each dialect",
        dialects.dialects,
        (OURS,),
        rounds=1,
    ),
    Scenario("redis", "100 streams at 50 tokens a second, with Redis", steady, (OURS, REDIS)),
    Scenario(
        "tls",
        "100 streams at 50 tokens a second, TLS to the provider",
        steady,
        (OURS, OURS_TLS, NGINX, NGINX_TLS),
    ),
    Scenario(
        "appends",
        "streams: 1 and 64 writers of 200 bytes, each to a stream of its own",
        streams.appends,
        streams.TARGETS,
        warm_up=streams.warm_up,
    ),
    Scenario(
        "live",
        "streams: 1,000 readers of one stream, 10 appends a second; 1,000 readers of a stream each, 200 "
        "appends a second in all",
        streams.live,
        streams.TARGETS,
        rounds=2,
        warm_up=streams.warm_up,
    ),
    Scenario(
        "catch-up",
        "streams: 100 MB from the beginning",
        streams.catch_up,
        streams.TARGETS,
        warm_up=streams.warm_up,
    ),
    Scenario(
        "soak", "starts, stops and finishes", soak.soak, (soak.SOAKED,), usual=False, rounds=1
    ),
)
