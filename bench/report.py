"""The report: medians and spread of every figure, and what must be reached beside what was."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

import msgspec

from bench.dialects import DOORS
from bench.verdicts import verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Sample
    from bench.results import Results
    from bench.verdicts import Verdict


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


_RUNS: Final = (
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
    "listen": (
        ("cpu_s_listening", "CPU until it listens, s"),
        ("idle_mb", "memory then, MB"),
    ),
    "runs": _RUNS,
    "starts": _RUNS,
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
