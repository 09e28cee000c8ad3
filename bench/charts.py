"""Draw the charts of a report: `charts.py report.json FOLDER`; prints the files.

It runs in an environment of its own, which has matplotlib and nothing of the project.
"""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

OURS = "#1f6feb"
OTHERS = "#9aa4b2"
# The file of each picture, and its charts, side by side: the scenario, the figure, and the title.
CHARTS = {
    "cpu.png": (
        ("runs", "cpu_us_a_run_new", "CPU for a run of 2 tokens, µs"),
        ("cpu", "cpu_us_a_token", "CPU for a relayed token, µs (less is better)"),
    ),
    "latency.png": (("cpu", "added_p99_ms", "Added latency of a token, p99, ms (less is better)"),),
    "first-token.png": (("arrivals", "first_p99_ms", "Added time of the first token, p99, ms"),),
    "memory.png": (
        ("arrivals", "kb_a_stream", "Memory for a running stream, KB (less is better)"),
    ),
    "saturation.png": (
        ("saturation", "tokens_a_cpu_second", "Tokens for a CPU second (more is better)"),
    ),
}


def bars_of(report, scenario, figure):
    """Return a bar of each target, the best first."""
    bars = []
    for target, samples in report["samples"].get(scenario, {}).items():
        values = [sample[figure] for sample in samples if figure in sample]
        if values and target != "direct":
            bars.append((statistics.median(values), min(values), max(values), target))
    return sorted(bars)


def fill(axes, report, bars, title):
    """Draw bars."""
    middles = [bar[0] for bar in bars]
    spread = [[bar[0] - bar[1] for bar in bars], [bar[2] - bar[0] for bar in bars]]
    colours = [OURS if bar[3].startswith("ours") else OTHERS for bar in bars]
    names = [report["targets"][bar[3]] for bar in bars]
    drawn = axes.barh(names, middles, xerr=spread, color=colours, capsize=3, ecolor="#57606a")
    labels = [f"{middle:,.3g}" if middle < 1000 else f"{middle:,.0f}" for middle in middles]
    axes.bar_label(drawn, labels=labels, padding=6)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=11)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def draw(report, name, panels, folder):
    """Draw charts side by side; return their file, or None when something was not measured."""
    sets = [(bars_of(report, scenario, figure), title) for scenario, figure, title in panels]
    if not all(bars for bars, _ in sets):
        return None
    rows = max(len(bars) for bars, _ in sets)
    size = (8 if len(sets) == 1 else 6 * len(sets), 0.5 * rows + 1.2)
    picture, places = plt.subplots(1, len(sets), figsize=size, squeeze=False)
    for axes, (bars, title) in zip(places[0], sets, strict=True):
        fill(axes, report, bars, title)
    picture.tight_layout()
    path = folder / name
    picture.savefig(path, dpi=150)
    plt.close(picture)
    return path


def main():
    """Draw every chart that has figures."""
    report = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    for name, panels in CHARTS.items():
        path = draw(report, name, panels, folder)
        if path is not None:
            sys.stdout.write(f"{path}\n")


main()
