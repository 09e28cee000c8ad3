"""The table: what clients were told, a row a fault and a column a peer, as Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bench.honesty.client import Verdict
from bench.honesty.faults import FAULTS, LEAVING, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.honesty.client import Seen
    from bench.honesty.faults import Fault
    from bench.honesty.peers import Peer

_NOTHING: Final = "–"


@dataclass
class Result:
    """What came of all faults with one peer: what a client saw, and how many seconds after a client had
    left the provider's connection was closed (None: not in the time that was waited)."""

    peer: Peer
    version: str
    seen: dict[str, Seen] = field(default_factory=dict[str, "Seen"])
    left: dict[str, float | None] = field(default_factory=dict[str, "float | None"])


def table(results: Sequence[Result], patience: float) -> str:
    """Return the table of those peers that could be tried."""
    rows = [["The provider", *(one.peer.title for one in results)]]
    rows += [
        [fault.words, *(cell(fault, one.seen.get(fault.scenario)) for one in results)]
        for fault in (WHOLE, *FAULTS)
    ]
    for scenario, words in LEAVING:
        times = (_time(one.left, scenario, patience) for one in results)
        rows.append([f"*sees its connection closed after the client left {words}*", *times])
    return _markdown(rows)


def setups(results: Sequence[Result]) -> str:
    """Return the table of versions, and of how each was set up."""
    rows = [["", "Version", "Set up"]]
    rows += [[one.peer.title, one.version, one.peer.setup] for one in results]
    return _markdown(rows)


def cell(fault: Fault, seen: Seen | None) -> str:
    """Say what a client was told; bold where it is untrue."""
    if seen is None:
        return _NOTHING
    verdict = seen.verdict
    words: str = verdict.value
    if verdict is Verdict.ERROR and seen.status >= 400:
        words += f" ({seen.status})"
    if fault.text and not seen.text:
        words += ", text lost"
    if seen.seconds >= 1:
        words += f" after {seen.seconds:.0f} s"
    return f"**{words}**" if verdict is Verdict.COMPLETE and not fault.whole else words


def _time(left: dict[str, float | None], scenario: str, patience: float) -> str:
    if scenario not in left:
        return _NOTHING
    seconds = left[scenario]
    if seconds is None:
        return f"**not in {patience:g} s**"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "under 1 ms"


def _markdown(rows: Iterable[Sequence[str]]) -> str:
    head, *rest = rows
    lines = [head, ["---"] * len(head), *rest]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
