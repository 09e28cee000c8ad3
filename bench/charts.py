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
CHARTS = (
    ("cpu.png", "cpu", "cpu_us_a_token", "CPU for a relayed token, µs (less is better)"),
    ("latency.png", "cpu", "added_p99_ms", "Added latency of a token, p99, ms (less is better)"),
    ("first-token.png", "arrivals", "first_p99_ms", "Added time of the first token, p99, ms"),
    ("memory.png", "arrivals", "kb_a_stream", "Memory for a running stream, KB (less is better)"),
    (
        "saturation.png",
        "saturation",
        "tokens_a_cpu_second",
        "Tokens for a CPU second (more is better)",
    ),
)


def draw(report, name, scenario, figure, title, folder):
    """Draw one chart of bars; return its file, or None when nothing was measured."""
    bars = []
    for target, samples in report["samples"].get(scenario, {}).items():
        values = [sample[figure] for sample in samples if figure in sample]
        if values and target != "direct":
            bars.append((statistics.median(values), min(values), max(values), target))
    if not bars:
        return None
    bars.sort()
    middles = [bar[0] for bar in bars]
    spread = [[bar[0] - bar[1] for bar in bars], [bar[2] - bar[0] for bar in bars]]
    colours = [OURS if bar[3] == "ours" else OTHERS for bar in bars]
    names = [report["targets"][bar[3]] for bar in bars]
    figure_, axes = plt.subplots(figsize=(8, 0.6 * len(bars) + 1.2))
    drawn = axes.barh(names, middles, xerr=spread, color=colours, capsize=3, ecolor="#57606a")
    labels = [f"{middle:,.3g}" if middle < 1000 else f"{middle:,.0f}" for middle in middles]
    axes.bar_label(drawn, labels=labels, padding=6)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=11)
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    figure_.tight_layout()
    path = folder / name
    figure_.savefig(path, dpi=150)
    plt.close(figure_)
    return path


def main():
    """Draw every chart that has figures."""
    report = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    for name, scenario, figure, title in CHARTS:
        path = draw(report, name, scenario, figure, title, folder)
        if path is not None:
            sys.stdout.write(f"{path}\n")


main()
