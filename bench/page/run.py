"""`scripts/bench --page`: measure the chat page in Chromium, and write what was found."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, field

from bench.page import answers, talks
from bench.page.chromium import chromium
from bench.targets import MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from playwright.async_api import Browser

    from bench.page.answers import Drawn
    from bench.page.talks import Talks

_TITLES: Final = {
    "ours": "stream-serve",
    "streamdown": "streamdown",
    "naive": "anew for each piece",
}
_FIRST: Final = 60 * 1024
_TWICE: Final = 2.2
_TYPING: Final = 1.5
_FLAT: Final = 1.1
_ROW: Final = 15


class Results(Struct):
    """Everything that was measured; the JSON report is this."""

    machine: dict[str, str]
    load: list[float]
    load_after: list[float] = field(default_factory=list[float])
    missing: dict[str, str] = field(default_factory=dict[str, str])
    drawn: list[Drawn] = field(default_factory=list)
    touched: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    talks: Talks | None = None


def main(out: Path, machine: Mapping[str, str]) -> int:
    """Measure all of it and write the report; return 1 if something is not as it must be."""
    results = Results(dict(machine), list(os.getloadavg()))
    asyncio.run(_measure(results))
    results.load_after = list(os.getloadavg())
    out.mkdir(parents=True, exist_ok=True)
    (out / "page.json").write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    text = report(results)
    (out / "page.md").write_text(text)
    sys.stdout.write(f"{text}\nthe report is {out / 'page.md'}\n")
    return 1 if "NOT MET" in text else 0


async def _measure(results: Results) -> None:
    try:
        parts = answers.files(peers=True)
    except (MissingError, subprocess.CalledProcessError) as error:
        results.missing["streamdown"] = str(error)
        parts = answers.files(peers=False)
    async with chromium() as browser:
        await _answers(browser, parts, results)
        with tempfile.TemporaryDirectory(prefix="stream-serve-bench-") as folder:
            results.talks = await talks.measure(browser, Path(folder))


async def _answers(browser: Browser, parts: Mapping[str, str], results: Results) -> None:
    async for drawn in answers.all_drawn(browser, parts):
        results.drawn.append(drawn)
        sys.stdout.write(f"{drawn.kind}, {drawn.pieces} pieces, {drawn.who}: {_cost(drawn)}\n")
        sys.stdout.flush()
    for kind in answers.KINDS:
        results.touched[kind] = await answers.touched(browser, parts, kind)


def _cost(drawn: Drawn) -> str:
    return f"{drawn.work.all:.2f} s"


def report(results: Results) -> str:
    """Return the tables: what must be, and the work for each kind of text."""
    rows = [*_limits(results)]
    lines = ["| | must | measured | |", "|---|---:|---:|---|"]
    lines += [f"| {what} | {must} | {got} | {met} |" for what, must, got, met in rows]
    lines += ["", *_work_table(results.drawn), ""]
    lines += [f"Missing: {who}: {why}" for who, why in results.missing.items()]
    before, after = (
        ", ".join(f"{one:.1f}" for one in some) for some in (results.load, results.load_after)
    )
    lines.append(f"Load of the machine: {before} at the beginning, {after} at the end.")
    return "\n".join(lines) + "\n"


def _limits(results: Results) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []

    def add(what: str, must: float, got: float, shown: str) -> None:
        rows.append((what, f"≤ {must:,g}", shown, "met" if got <= must else "NOT MET"))

    for kind in answers.KINDS:
        half, full = _ours(results.drawn, kind)
        ratio = full.work.all / half.work.all
        add(f"{kind}: work for 40,000 pieces beside 20,000", _TWICE, ratio, f"{ratio:.2f}")
        for name, what in (
            ("replaced", "finished nodes replaced"),
            ("after", "nodes after the end"),
        ):
            count = results.touched[kind][name]
            add(f"{kind}: {what}", 0, count, str(count))
    if (found := results.talks) is not None:
        size = found.bytes_before_paint
        add("bytes before the first paint", _FIRST, size, f"{size:,}")
        empty, long = found.typing_empty, found.typing_long
        for name, what in (("cpu", "CPU a key"), ("painted", "key to paint")):
            before, after = getattr(empty, name), getattr(long, name)
            shown = f"{after / before:.2f} ({before:.1f} and {after:.1f} ms)"
            add(f"{what}, 5,000 messages beside none", _TYPING, after / before, shown)
        add("turns on the page of 5,000 messages", 60, long.turns, str(long.turns))
        after = found.held_after
        memory = after.megabytes / found.held_warm.megabytes
        shown = f"{memory:.2f} ({found.held_warm.megabytes:.1f} → {after.megabytes:.1f} MB)"
        add("memory after 100 more answers", _FLAT, memory, shown)
        nodes = (after.nodes - found.held_warm.nodes) / talks.ANSWERS
        add("nodes that an answer leaves: its row in the list", _ROW, nodes, f"{nodes:.1f}")
    return rows


def _ours(drawn: Sequence[Drawn], kind: str) -> tuple[Drawn, Drawn]:
    half, full = [one for one in drawn if one.who == "ours" and one.kind == kind][-2:]
    return half, full


def _work_table(drawn: Sequence[Drawn]) -> list[str]:
    columns = sorted({one.pieces for one in drawn})
    heads = " | ".join(f"{pieces:,}" for pieces in columns)
    lines = [f"| CPU, s | {heads} |", "|---|" + "---:|" * len(columns)]
    for kind in answers.KINDS:
        for who, title in _TITLES.items():
            mine = {one.pieces: one for one in drawn if one.who == who and one.kind == kind}
            cells = [_cost(mine[pieces]) if pieces in mine else "" for pieces in columns]
            if mine:
                lines.append(f"| {kind}: {title} | {' | '.join(cells)} |")
    return lines
