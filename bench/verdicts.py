"""The verdicts: what must be reached beside what was, as a table of bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.dialects import DOORS
from bench.results import median

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from bench.dialects import Door
    from bench.results import Results

    Measure = Callable[[Results], float | None]

QUICK_LIMIT: Final = 2.5
QUICK_RUN_LIMIT: Final = 11.0
QUICK_MARGIN: Final = 1.2
_COST: Final = "cpu_us_a_token"
_KEPT: Final = 7.1
_KEPT_AIM: Final = 4.8
"""0.4 and 0.27 ms, where a run on a new connection takes nginx 0.056 ms."""
_FLAT: Final = 1.05
_FLAT_MB: Final = 3.0


@dataclass(frozen=True)
class Verdict:
    """A row of the table: `measured` is None when there is no figure."""

    what: str
    must: float
    aim: float | None
    measured: float | None
    unit: str
    more_is_better: bool = False

    @property
    def met(self) -> str:
        """Say whether the must, and the aim, is met."""
        if self.measured is None:
            return "not measured"
        if self.aim is not None and self._within(self.aim):
            return "aim met"
        return "met" if self._within(self.must) else "NOT MET"

    def _within(self, bound: float) -> bool:
        measured = self.measured or 0.0
        return measured >= bound if self.more_is_better else measured <= bound


@dataclass(frozen=True)
class Bound:
    """What must be reached in a scenario, what is aimed at, and the figure that is compared."""

    scenario: str
    what: str
    must: float
    aim: float | None
    unit: str
    measure: Measure
    more_is_better: bool = False

    def judge(self, results: Results) -> Verdict:
        """Compare it with what was measured."""
        measured = self.measure(results)
        return Verdict(self.what, self.must, self.aim, measured, self.unit, self.more_is_better)


def verdicts(results: Results) -> list[Verdict]:
    """Compare with what must be reached, as far as it was measured."""
    return [one.judge(results) for one in BOUNDS if one.scenario in results.titles]


def quick_problem(results: Results) -> str:
    """Say what cannot be noise in a quick run; empty when nothing is wrong."""
    if results.missing or results.errors:
        return "; ".join([*results.missing.values(), *results.errors])
    streams = results.values("cpu", "ours", "failed_streams")
    runs = [results.values("runs", "ours", f"failed_{name}") for name in ("new", "kept")]
    if failed := sum(streams) + sum(map(sum, runs)):
        return f"{failed:.0f} streams did not bring all their tokens"
    costs = (
        ("a token", QUICK_LIMIT, results.ratios("cpu", _COST, "nginx")),
        ("a run", QUICK_RUN_LIMIT, results.ratios("runs", "cpu_us_a_run_new", "nginx")),
    )
    for what, bound, ratios in costs:
        measured, limit = median(ratios), bound * QUICK_MARGIN
        if measured is None:
            return f"what {what} costs was not measured"
        if measured > limit:
            return f"{what} costs {measured:.2f} times what it costs nginx; {limit:.2f} is the most"
    return ""


def _ours(scenario: str, name: str) -> Measure:
    return lambda results: median(results.values(scenario, "ours", name))


def _beside(
    peer: str, scenario: str, name: str = _COST, target: str = "ours", peer_name: str = ""
) -> Measure:
    return lambda results: median(results.ratios(scenario, name, peer, target, peer_name))


def _least(door: Door) -> Measure:
    """Compare a door with the native one that does the same: the least of each, since noise only adds."""

    def measure(results: Results) -> float | None:
        costs, native = (
            results.values("dialects", "ours", f"{name}_us") for name in (door.name, door.beside)
        )
        return min(costs) / min(native) if costs and native and min(native) > 0 else None

    return measure


def _redis(results: Results) -> float | None:
    memory = results.values("redis", "ours", _COST)
    redis = results.values("redis", "ours-redis", _COST)
    return median([other - one for one, other in zip(memory, redis, strict=False)])


def _growth(results: Results) -> float | None:
    begin = median(results.values("soak", "ours", "memory_mb_begin"))
    end = median(results.values("soak", "ours", "memory_mb_end"))
    if begin is None or end is None:
        return None
    return 1.0 if end - begin < _FLAT_MB else end / begin


def _more(name: str) -> Measure:
    def measure(results: Results) -> float | None:
        begin = median(results.values("soak", "ours", f"{name}_begin"))
        end = median(results.values("soak", "ours", f"{name}_end"))
        return None if begin is None or end is None else max(0.0, end - begin)

    return measure


def _runs() -> Generator[Bound]:
    """Short runs at both doors, on both kinds of connections."""
    for target in ("ours", "ours-completions"):
        new = _beside("nginx", "runs", "cpu_us_a_run_new", target)
        yield Bound("runs", f"CPU a run beside nginx, new, {target}", 8, 5.5, "×", new)
        what = f"CPU a run, kept, beside nginx's, new, {target}"
        kept = _beside("nginx", "runs", "cpu_us_a_run_kept", target, "cpu_us_a_run_new")
        yield Bound("runs", what, _KEPT, _KEPT_AIM, "×", kept)


def _dialects() -> Generator[Bound]:
    for door in DOORS:
        if door.name != door.beside:
            what = f"CPU a token, {door.name} beside {door.beside}"
            yield Bound("dialects", what, 1.5, None, "×", _least(door))


def _streams() -> Generator[Bound]:
    """Streams beside the reference server's, round by round; appends by their number a second."""
    for kind, target, bounds in (
        ("memory", "ours-streams-memory", {1: (0.4, None), 64: (0.7, 1.0)}),
        ("files", "ours-streams-sqlite", {1: (10.0, None), 64: (10.0, None)}),
    ):
        peer = f"reference-{kind}"
        for writers, (must, aim) in bounds.items():
            what = f"appends a second beside the reference, {kind}, writers: {writers}"
            rate = _beside(peer, "appends", f"appends_{writers}", target)
            yield Bound("appends", what, must, aim, "×", rate, more_is_better=True)
        for which, title in (("one", "of one stream"), ("each", "of a stream each")):
            what = f"CPU of 1,000 readers {title} beside the reference, {kind}"
            cost = _beside(peer, "live", f"cpu_us_{which}", target)
            yield Bound("live", what, 1.0, 1 / 3, "×", cost)
        what = f"CPU of 100 MB beside the reference, {kind}"
        cost = _beside(peer, "catch-up", "cpu_ms_100_mb", target)
        yield Bound("catch-up", what, 1.0, 1 / 3, "×", cost)


BOUNDS: Final = (
    Bound("cpu", "CPU a token beside nginx", 2.1, 1.6, "×", _beside("nginx", "cpu")),
    Bound(
        "cpu",
        "CPU a token beside nginx, streams of 100",
        2.4,
        1.6,
        "×",
        _beside("nginx", "cpu", "cpu_us_a_token_of_100"),
    ),
    Bound("cpu", "CPU a token beside the Node pattern", 0.40, None, "×", _beside("node", "cpu")),
    Bound("cpu", "CPU a token beside FastAPI + SDK", 0.25, None, "×", _beside("fastapi", "cpu")),
    Bound("cpu", "added latency a token, p50", 1, 0.3, "ms", _ours("cpu", "added_p50_ms")),
    Bound("cpu", "added latency a token, p99", 5, 1, "ms", _ours("cpu", "added_p99_ms")),
    *_runs(),
    Bound("listen", "CPU until it listens", 1, 0.6, "s", _ours("listen", "cpu_s_listening")),
    Bound("arrivals", "first token, added, p99", 60, 15, "ms", _ours("arrivals", "first_p99_ms")),
    Bound("arrivals", "memory a stream above idle", 30, 20, "KB", _ours("arrivals", "kb_a_stream")),
    Bound(
        "arrivals",
        "CPU a token beside nginx, 1,500 streams",
        2.6,
        2,
        "×",
        _beside("nginx", "arrivals"),
    ),
    Bound(
        "burst",
        "first token of 100 at once, added, p50",
        3,
        1,
        "ms",
        _ours("burst", "first_p50_ms"),
    ),
    Bound(
        "burst",
        "first token of 100 at once, added, p99",
        12,
        5,
        "ms",
        _ours("burst", "first_p99_ms"),
    ),
    Bound(
        "saturation",
        "tokens a CPU second at saturation",
        25_000,
        60_000,
        "",
        _ours("saturation", "tokens_a_cpu_second"),
        more_is_better=True,
    ),
    Bound("stop", "stop, p99", 15, 5, "ms", _ours("stop", "stop_p99_ms")),
    Bound("fanout", "CPU a delivered event", 15, 8, "µs", _ours("fanout", "cpu_us_an_event")),
    Bound("late", "late reader, 10,000 events", 100, 20, "ms", _ours("late", "read_p50_ms")),
    *_dialects(),
    *_streams(),
    Bound("redis", "Redis: CPU a token above memory", 8, 3, "µs", _redis),
    Bound("soak", "soak: growth of memory", _FLAT, None, "×", _growth),
    Bound("soak", "soak: more descriptors", 4, None, "", _more("descriptors")),
    Bound("soak", "soak: more threads", 0, None, "", _more("threads")),
    Bound("soak", "soak: more tasks", 0, None, "", _more("tasks")),
)
