"""The report: medians and spread of every figure, and what must be reached beside what was."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, field

from bench.dialects import DOORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.dialects import Door
    from bench.measure import Sample
    from bench.targets import Target

QUICK_LIMIT: Final = 2.5
QUICK_RUN_LIMIT: Final = 15.0
QUICK_MARGIN: Final = 1.2
_NEW: Final = "cpu_us_a_run_new"
_FLAT: Final = 1.05
_FLAT_MB: Final = 3.0

Figures = dict[str, dict[str, list[dict[str, float]]]]
"""The samples of each scenario and target, one for each round."""


class Results(Struct):
    """Everything that was measured; the JSON report is this."""

    made: str
    command: str
    machine: dict[str, str]
    rounds: int
    titles: dict[str, str]
    pinned: bool = False
    targets: dict[str, str] = field(default_factory=dict[str, str])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    errors: list[str] = field(default_factory=list[str])
    samples: Figures = field(default_factory=Figures)

    def add(self, scenario: str, target: Target, sample: Sample) -> None:
        """Take a sample of one round."""
        self.targets[target.name] = target.title
        self.samples.setdefault(scenario, {}).setdefault(target.name, []).append(sample)

    def values(self, scenario: str, target: str, name: str) -> list[float]:
        """Return a figure of every round in which it was measured."""
        samples = self.samples.get(scenario, {}).get(target, [])
        return [sample[name] for sample in samples if name in sample]


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


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


_SHORT: Final = (
    ("cpu_us_a_run_new", "CPU a run, new connections, µs"),
    ("cpu_us_a_run_kept", "CPU a run, kept connections, µs"),
    ("runs_a_second_new", "runs a second, new connections"),
    ("runs_a_second_kept", "runs a second, kept connections"),
    ("failed_new", "failed, new"),
    ("failed_kept", "failed, kept"),
)
_COLUMNS: Final = {
    "cpu": (
        ("cpu_us_a_token", "CPU a token, µs"),
        ("cpu_us_a_token_of_100", "of 100, µs"),
        ("added_p50_ms", "added p50, ms"),
        ("added_p99_ms", "added p99, ms"),
        ("added_max_ms", "added most, ms"),
        ("first_p99_ms", "first token p99, ms"),
        ("server_cpu_share", "server's CPU share"),
    ),
    "runs": _SHORT,
    "starts": _SHORT,
    "burst": (
        ("first_p50_ms", "first token, added p50, ms"),
        ("first_p99_ms", "first token, added p99, ms"),
        ("first_max_ms", "first token, added most, ms"),
        ("cpu_us_a_token", "CPU a token, µs"),
    ),
    "arrivals": (
        ("first_p50_ms", "first token, added p50, ms"),
        ("first_p99_ms", "first token, added p99, ms"),
        ("kb_a_stream", "memory a stream, KB"),
        ("idle_mb", "memory idle, MB"),
        ("cpu_us_a_token", "CPU a token, µs"),
        ("added_p99_ms", "added p99, ms"),
    ),
    "saturation": (
        ("tokens_a_cpu_second", "tokens a CPU second"),
        ("tokens_a_second", "tokens a second"),
        ("too_much_tokens_a_second", "too much, tokens a second"),
        ("added_p99_ms", "added p99, ms"),
        ("server_cpu_share", "server's CPU share"),
        ("ended_by_tools", "ended by the tools"),
    ),
    "stop": (
        ("stop_p50_ms", "stop p50, ms"),
        ("stop_p99_ms", "stop p99, ms"),
        ("stop_never", "stops never seen"),
        ("disconnect_p50_ms", "disconnect p50, ms"),
        ("disconnect_p99_ms", "disconnect p99, ms"),
        ("disconnects", "disconnects"),
        ("disconnect_never", "never seen in 2 s"),
    ),
    "fanout": (
        ("cpu_us_an_event", "CPU a delivered event, µs"),
        ("events", "events delivered"),
        ("server_cpu_share", "server's CPU share"),
    ),
    "late": (
        ("read_p50_ms", "p50, ms"),
        ("read_max_ms", "most, ms"),
        ("events", "events"),
    ),
    "dialects": tuple((f"{one.name}_us", f"{one.name}, µs") for one in DOORS),
    "appends": (
        ("appends_1", "1 writer: appends a second"),
        ("p99_1_ms", "p99, ms"),
        ("cpu_us_1", "CPU an append, µs"),
        ("appends_64", "64 writers: appends a second"),
        ("p99_64_ms", "p99, ms"),
        ("cpu_us_64", "CPU an append, µs"),
    ),
    "live": (
        ("cpu_us_one", "one stream: CPU a delivered append, µs"),
        ("p99_ms_one", "p99, ms"),
        ("cpu_us_each", "a stream each: CPU a delivered append, µs"),
        ("p99_ms_each", "p99, ms"),
    ),
    "catch-up": (
        ("mb_a_second", "MB a second"),
        ("cpu_ms_100_mb", "CPU for 100 MB, ms"),
    ),
    "redis": (
        ("cpu_us_a_token", "CPU a token, µs"),
        ("redis_cpu_us_a_token", "Redis's own CPU a token, µs"),
        ("added_p50_ms", "added p50, ms"),
        ("added_p99_ms", "added p99, ms"),
    ),
    "tls": (
        ("cpu_us_a_token", "CPU a token, µs"),
        ("added_p50_ms", "added p50, ms"),
        ("added_p99_ms", "added p99, ms"),
        ("first_p99_ms", "first token p99, ms"),
    ),
    "soak": (
        ("minutes", "minutes"),
        ("runs", "finished"),
        ("stops", "stopped"),
        ("memory_mb_begin", "memory then, MB"),
        ("memory_mb_end", "memory at the end, MB"),
        ("descriptors_begin", "descriptors then"),
        ("descriptors_end", "descriptors at the end"),
        ("threads_begin", "threads then"),
        ("threads_end", "threads at the end"),
        ("tasks_begin", "tasks then"),
        ("tasks_end", "tasks at the end"),
    ),
}
_TOOLS: Final = (
    ("upstream_cpu_share", "upstream's CPU share"),
    ("load_cpu_share", "load generator's CPU share"),
    ("failed_streams", "failed streams"),
    ("failed_appends", "failed appends"),
)


def encode(results: Results) -> bytes:
    """Return the JSON report."""
    plain = {
        **msgspec.to_builtins(results),
        "verdicts": [{**msgspec.to_builtins(one), "met": one.met} for one in verdicts(results)],
    }
    return msgspec.json.format(msgspec.json.encode(plain), indent=1) + b"\n"


def brief(scenario: str, sample: Sample) -> str:
    """Return a sample's chief figures in one line."""
    columns = (*_COLUMNS[scenario], *_TOOLS)
    return ", ".join(
        f"{title} {_number(sample[name])}" for name, title in columns if name in sample
    )


def verdicts(results: Results) -> list[Verdict]:
    """Compare with what must be reached, as far as it was measured."""

    def median(scenario: str, name: str, target: str = "ours") -> float | None:
        return _median(results.values(scenario, target, name))

    def ratio(peer: str, **what: str) -> float | None:
        return _median(_ratios(results, peer, **what))

    rows = [
        ("cpu", Verdict("CPU a token beside nginx", 2.1, 1.6, ratio("nginx"), "×")),
        (
            "cpu",
            Verdict(
                "CPU a token beside nginx, streams of 100",
                2.4,
                1.6,
                ratio("nginx", name="cpu_us_a_token_of_100"),
                "×",
            ),
        ),
        ("cpu", Verdict("CPU a token beside the Node pattern", 0.40, None, ratio("node"), "×")),
        ("cpu", Verdict("CPU a token beside FastAPI + SDK", 0.25, None, ratio("fastapi"), "×")),
        ("cpu", Verdict("added latency a token, p50", 1, 0.3, median("cpu", "added_p50_ms"), "ms")),
        ("cpu", Verdict("added latency a token, p99", 5, 1, median("cpu", "added_p99_ms"), "ms")),
        *(("runs", _of_a_run(results, name, target)) for name, target in _RUNS),
        (
            "arrivals",
            Verdict("first token, added, p99", 60, 15, median("arrivals", "first_p99_ms"), "ms"),
        ),
        (
            "arrivals",
            Verdict("memory a stream above idle", 30, 20, median("arrivals", "kb_a_stream"), "KB"),
        ),
        (
            "arrivals",
            Verdict(
                "CPU a token beside nginx, 1,500 streams",
                2.6,
                2,
                ratio("nginx", scenario="arrivals"),
                "×",
            ),
        ),
        *(
            ("burst", Verdict(f"first token of 100 at once, added, {name}", must, aim, late, "ms"))
            for name, must, aim, late in (
                ("p50", 3, 1, median("burst", "first_p50_ms")),
                ("p99", 12, 5, median("burst", "first_p99_ms")),
            )
        ),
        (
            "saturation",
            Verdict(
                "tokens a CPU second at saturation",
                25_000,
                60_000,
                median("saturation", "tokens_a_cpu_second"),
                "",
                more_is_better=True,
            ),
        ),
        ("stop", Verdict("stop, p99", 15, 5, median("stop", "stop_p99_ms"), "ms")),
        (
            "fanout",
            Verdict("CPU a delivered event", 15, 8, median("fanout", "cpu_us_an_event"), "µs"),
        ),
        (
            "late",
            Verdict("late reader, 10,000 events", 100, 20, median("late", "read_p50_ms"), "ms"),
        ),
        *(("dialects", _beside(results, one)) for one in DOORS if one.name != one.beside),
        *_streams(results),
        ("redis", Verdict("Redis: CPU a token above memory", 8, 3, _redis(results), "µs")),
        ("soak", Verdict("soak: growth of memory", _FLAT, None, _growth(results), "×")),
        ("soak", Verdict("soak: more descriptors", 4, None, _more(results, "descriptors"), "")),
        ("soak", Verdict("soak: more threads", 0, None, _more(results, "threads"), "")),
        ("soak", Verdict("soak: more tasks", 0, None, _more(results, "tasks"), "")),
    ]
    return [verdict for scenario, verdict in rows if scenario in results.titles]


def table(rows: Sequence[Verdict]) -> str:
    """Return the table of musts, aims and what was measured."""
    lines = ["| | must | aim | measured | |", "|---|---:|---:|---:|---|"]
    for row in rows:
        sign = "≥" if row.more_is_better else "≤"
        bounds = [
            "" if bound is None else f"{sign} {_number(bound)} {row.unit}".rstrip()
            for bound in (row.must, row.aim)
        ]
        measured = "–" if row.measured is None else f"{_number(row.measured)} {row.unit}".rstrip()
        lines.append(f"| {row.what} | {bounds[0]} | {bounds[1]} | {measured} | {row.met} |")
    return "\n".join(lines) + "\n"


def quick_problem(results: Results) -> str:
    """Say what cannot be noise in a quick run; empty when nothing is wrong."""
    if results.missing or results.errors:
        return "; ".join([*results.missing.values(), *results.errors])
    streams = results.values("cpu", "ours", "failed_streams")
    runs = [results.values("runs", "ours", f"failed_{name}") for name in ("new", "kept")]
    if failed := sum(streams) + sum(map(sum, runs)):
        return f"{failed:.0f} streams did not bring all their tokens"
    costs = (
        ("a token", QUICK_LIMIT, _ratios(results, "nginx")),
        ("a run", QUICK_RUN_LIMIT, _ratios(results, "nginx", scenario="runs", name=_NEW)),
    )
    for what, bound, ratios in costs:
        measured, limit = _median(ratios), bound * QUICK_MARGIN
        if measured is None:
            return f"what {what} costs was not measured"
        if measured > limit:
            return f"{what} costs {measured:.2f} times what it costs nginx; {limit:.2f} is the most"
    return ""


def markdown(results: Results, charts: Sequence[str]) -> str:
    """Return the report as Markdown."""
    facts = "; ".join(f"{name}: {value}" for name, value in results.machine.items())
    pinned = (
        "The servers had one half of the processors, the tools (upstream, load generator, Redis) the "
        "other."
        if results.pinned
        else "Servers and tools shared the processors."
    )
    parts = [
        "# Benchmark",
        f"Made {results.made} by `{results.command}`.",
        f"{facts}.",
        f"{pinned} {_rounds(results.rounds)} CPU is user and system time of all processes of "
        "the server. Added latency is the time from the upstream's sending a token to the load "
        "generator's reading it, so it holds what the tools themselves take: see the row without a "
        "server.",
        table(verdicts(results)),
    ]
    parts += [f"![{name.removesuffix('.png')}]({name})" for name in charts]
    for scenario, title in results.titles.items():
        parts += [f"## {scenario}: {title}", _figures(results, scenario)]
    parts += _troubles(results)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _rounds(count: int) -> str:
    if count == 1:
        return "Every figure is of one round."
    return (
        f"Every figure is the median of {count} rounds (fewer where a scenario takes long), in which the "
        "targets took turns; in brackets the least and the most."
    )


def _figures(results: Results, scenario: str) -> str:
    samples = results.samples.get(scenario, {})
    columns = [
        (name, title)
        for name, title in (*_COLUMNS[scenario], *_TOOLS)
        if any(name in sample for rounds in samples.values() for sample in rounds)
    ]
    lines = ["| | " + " | ".join(title for _, title in columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    for target in samples:
        cells = [_cell(results.values(scenario, target, name)) for name, _ in columns]
        lines.append(f"| {results.targets[target]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    text = _number(statistics.median(values))
    if len(values) > 1 and min(values) != max(values):
        text += f" [{_number(min(values))} – {_number(max(values))}]"
    return text


def _troubles(results: Results) -> list[str]:
    parts: list[str] = []
    if results.missing:
        lines = [f"- {name}: missing: {why}" for name, why in results.missing.items()]
        parts += ["## Missing", "\n".join(lines)]
    if results.errors:
        parts += ["## Failed", "\n".join(f"- {error}" for error in results.errors)]
    return parts


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _ratios(
    results: Results,
    peer: str,
    *,
    scenario: str = "cpu",
    name: str = "cpu_us_a_token",
    target: str = "ours",
) -> list[float]:
    """Return a cost beside a peer's, round by round: what slows a round slows both."""
    ours = results.values(scenario, target, name)
    theirs = results.values(scenario, peer, name)
    return [one / other for one, other in zip(ours, theirs, strict=False) if other > 0]


_RUNS: Final = tuple(
    (name, target) for target in ("ours", "ours-completions") for name in ("new", "kept")
)
"""The connections of short runs, and the doors."""


def _of_a_run(results: Results, connections: str, target: str) -> Verdict:
    """Compare what a run costs with nginx."""
    name = f"cpu_us_a_run_{connections}"
    ratio = _median(_ratios(results, "nginx", scenario="runs", name=name, target=target))
    return Verdict(f"CPU a run beside nginx, {connections}, {target}", 8, 5.5, ratio, "×")


def _beside(results: Results, door: Door) -> Verdict:
    """Compare a door with the native one that does the same: the least of each, since noise only adds."""
    costs, native = (
        results.values("dialects", "ours", f"{name}_us") for name in (door.name, door.beside)
    )
    ratio = min(costs) / min(native) if costs and native and min(native) > 0 else None
    return Verdict(f"CPU a token, {door.name} beside {door.beside}", 1.5, None, ratio, "×")


_OURS: Final = {"memory": "ours-streams-memory", "files": "ours-streams-sqlite"}
"""Our streams beside the reference server's: in memory, and on disk."""


def _streams(results: Results) -> list[tuple[str, Verdict]]:
    """Compare streams with the reference server's, round by round; appends by their number a second."""

    def beside(scenario: str, name: str, kind: str) -> float | None:
        ours = results.values(scenario, _OURS[kind], name)
        theirs = results.values(scenario, f"reference-{kind}", name)
        pairs = zip(ours, theirs, strict=False)
        return _median([one / other for one, other in pairs if other > 0])

    rows: list[tuple[str, Verdict]] = []
    for kind, must in (("memory", 0.4), ("files", 10.0)):
        for writers in (1, 64):
            measured = beside("appends", f"appends_{writers}", kind)
            what = f"appends a second beside the reference, {kind}, writers: {writers}"
            rows.append(("appends", Verdict(what, must, None, measured, "×", more_is_better=True)))
        for which, title in (("one", "of one stream"), ("each", "of a stream each")):
            measured = beside("live", f"cpu_us_{which}", kind)
            what = f"CPU of 1,000 readers {title} beside the reference, {kind}"
            rows.append(("live", Verdict(what, 1.0, 1 / 3, measured, "×")))
        measured = beside("catch-up", "cpu_ms_100_mb", kind)
        what = f"CPU of 100 MB beside the reference, {kind}"
        rows.append(("catch-up", Verdict(what, 1.0, 1 / 3, measured, "×")))
    return rows


def _redis(results: Results) -> float | None:
    memory = results.values("redis", "ours", "cpu_us_a_token")
    redis = results.values("redis", "ours-redis", "cpu_us_a_token")
    return _median([other - one for one, other in zip(memory, redis, strict=False)])


def _growth(results: Results) -> float | None:
    begin = _median(results.values("soak", "ours", "memory_mb_begin"))
    end = _median(results.values("soak", "ours", "memory_mb_end"))
    if begin is None or end is None:
        return None
    return 1.0 if end - begin < _FLAT_MB else end / begin


def _more(results: Results, name: str) -> float | None:
    begin = _median(results.values("soak", "ours", f"{name}_begin"))
    end = _median(results.values("soak", "ours", f"{name}_end"))
    return None if begin is None or end is None else max(0.0, end - begin)
