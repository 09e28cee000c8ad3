"""Run the benchmark: `scripts/bench`, which sets up what this needs.

It measures every target in turn, several rounds, and writes a report. It ends with 1 when this service
failed in a scenario, and with `--quick` when a token or a run costs clearly too much beside nginx.
"""

from __future__ import annotations

import argparse
import http.client
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import machine, report, tools
from bench.measure import Bench, Sample, Size
from bench.page import run as page
from bench.processes import ServerFailedError, free_port
from bench.results import Results
from bench.scenarios import SCENARIOS, Scenario
from bench.targets import NGINX, OURS, MissingError, Target, install_python
from bench.verdicts import quick_problem, verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_FAILURES: Final = (
    RuntimeError,
    OSError,
    ServerFailedError,
    http.client.HTTPException,
    subprocess.SubprocessError,
    ValueError,
)
_QUICK: Final = ("cpu", "runs")
_QUICK_TARGETS: Final = (OURS.name, NGINX.name)
_QUICK_TOKENS: Final = 150
_QUICK_RUNS: Final = 2_000
_SAME_RUN: Final = {"latency": "cpu", "memory": "arrivals"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    options = _options(argv)
    signal.signal(signal.SIGTERM, _leave)
    if options.page:
        return page.main(options.out, machine.describe())
    tools.build()
    wanted = _wanted(options)
    results = Results(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(["scripts/bench", *(sys.argv[1:] if argv is None else argv)]),
        machine=machine.describe(),
        rounds=options.rounds,
        titles={one.name: one.title for one in wanted},
    )
    chosen: Sequence[str] = _QUICK_TARGETS if options.quick else options.targets
    missing = _prepare(wanted, results, chosen)
    size = (
        Size(tokens=_QUICK_TOKENS, runs=_QUICK_RUNS)
        if options.quick
        else Size(soak_minutes=options.soak_minutes)
    )
    with tempfile.TemporaryDirectory(prefix="stream-serve-bench-") as folder:
        bench = Bench(Path(folder), size=size, pinned=not options.no_pin)
        results.pinned = bench.cpus != bench.tool_cpus
        for scenario in wanted:
            targets = [one for one in scenario.targets if one.name not in missing]
            if chosen:
                targets = [one for one in targets if one.name in chosen]
            _play(bench, scenario, targets, results, options.rounds)
    return _finish(results, options)


def _play(
    bench: Bench,
    scenario: Scenario,
    targets: Sequence[Target],
    results: Results,
    rounds: int,
) -> None:
    """Play one scenario, every target in turn in each round."""
    for number in range(1, min(rounds, scenario.rounds or rounds) + 1):
        for target in targets:
            try:
                sample = _sample(bench, scenario, target)
            except _FAILURES as error:
                why = f"{scenario.name}, {target.name}: {error}"
                results.errors.append(why)
                _say(f"failed: {why}")
                continue
            results.add(scenario.name, target, sample)
            _say(f"{scenario.name} {number} {target.name}: {report.brief(scenario.name, sample)}")


def _sample(bench: Bench, scenario: Scenario, target: Target) -> Sample:
    with bench.stage(target, free_port()) as stage:
        scenario.warm_up(stage)
        return scenario.play(stage)


def _prepare(wanted: Sequence[Scenario], results: Results, chosen: Sequence[str]) -> dict[str, str]:
    """Set up every target that is needed; return why the missing ones are missing."""
    targets = {target.name: target for scenario in wanted for target in scenario.targets}
    for target in targets.values():
        if chosen and target.name not in chosen:
            continue
        try:
            target.prepare()
        except MissingError as error:
            results.missing[target.name] = str(error)
            _say(f"missing: {target.title}: {error}")
    return results.missing


def _finish(results: Results, options: argparse.Namespace) -> int:
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    source = out / "report.json"
    source.write_bytes(report.encode(results))
    charts: list[Path] = []
    if not options.quick:
        charts = _draw(source, out, results)
        if options.images is not None:
            options.images.mkdir(parents=True, exist_ok=True)
            for chart in charts:
                shutil.copy(chart, options.images / f"bench-{chart.name}")
    text = report.markdown(results, [chart.name for chart in charts])
    (out / "report.md").write_text(text)
    _say("\n" + report.table(verdicts(results)))
    _say(f"the report is {out / 'report.md'}")
    if options.quick:
        problem = quick_problem(results)
        if problem:
            _say(f"failed: {problem}")
        return 1 if problem else 0
    return 1 if any(f", {OURS.name}" in error for error in results.errors) else 0


def _draw(source: Path, out: Path, results: Results) -> list[Path]:
    """Draw the charts in an environment of their own."""
    try:
        install_python("charts", tools.ROOT / "requirements.txt")
    except MissingError as error:
        results.missing["charts"] = str(error)
        return []
    python = tools.BUILD / "charts" / "bin" / "python"
    command = [python, tools.ROOT / "charts.py", source, out]
    drawn = subprocess.run(command, check=True, capture_output=True, text=True)
    return [Path(line) for line in drawn.stdout.splitlines()]


def _wanted(options: argparse.Namespace) -> list[Scenario]:
    only: list[str] = options.only
    names = [_SAME_RUN.get(name, name) for name in only]
    if options.quick:
        names = list(_QUICK)
    chosen = [one for one in SCENARIOS if one.name in names or (not names and one.usual)]
    if options.soak:
        chosen += [one for one in SCENARIOS if one.name == "soak" and one not in chosen]
    return chosen


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    names = [one.name for one in SCENARIOS]
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure, and report.")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        choices=[*names, *_SAME_RUN],
        metavar="NAME",
        help=f"only these scenarios: {', '.join(names)}",
    )
    everyone = sorted({target.name for one in SCENARIOS for target in one.targets})
    parser.add_argument(
        "--targets",
        nargs="+",
        default=[],
        choices=everyone,
        metavar="NAME",
        help=f"only these: {', '.join(everyone)}",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two minutes: the CPU of a token and a run beside nginx; ends with 1 when it is too much",
    )
    parser.add_argument(
        "--page", action="store_true", help="the chat page in Chromium instead, 10 to 25 minutes"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of every measurement (3)")
    parser.add_argument("--soak", action="store_true", help="also the soak")
    parser.add_argument("--soak-minutes", type=float, default=30, help="how long it takes (30)")
    parser.add_argument("--no-pin", action="store_true", help="leave the processors to the system")
    parser.add_argument(
        "--out", type=Path, default=tools.ROOT / "results", help="folder of the report"
    )
    parser.add_argument("--images", type=Path, help="folder that gets a copy of the charts")
    options = parser.parse_args(argv)
    if options.rounds < 1 or options.soak_minutes <= 0:
        parser.error("--rounds and --soak-minutes want more than nothing")
    return options


def _leave(number: int, frame: FrameType | None) -> None:
    """End by the usual way, which ends the servers, too."""
    del frame
    sys.exit(128 + number)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
