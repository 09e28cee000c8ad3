"""What was measured: the samples of each scenario, target and round."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Sample
    from bench.targets import Target

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

    def ratios(
        self, scenario: str, name: str, peer: str, target: str = "ours", peer_name: str = ""
    ) -> list[float]:
        """Return a figure beside a peer's, round by round: what slows a round slows both.

        The peer's figure is the same one, or that of `peer_name`.
        """
        ours = self.values(scenario, target, name)
        theirs = self.values(scenario, peer, peer_name or name)
        return [one / other for one, other in zip(ours, theirs, strict=False) if other > 0]


def median(values: Sequence[float]) -> float | None:
    """Return the median; None when there are no values."""
    return statistics.median(values) if values else None
