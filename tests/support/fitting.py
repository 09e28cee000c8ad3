"""Fits the weights of the token estimate to a real vocabulary, and prints its errors.

It is what `scripts/fit-usage` starts.

The sum of the squared relative errors is made as small as it gets with weights that are not negative and
stay near the present ones where the texts say little (ridge). Kinds with a large error count more from
round to round, so that the worst kind gets better and not only the mean.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from msgspec import Struct

from stream_serve.events import usage
from support.kinds import made
from support.vocabulary import texts, tokens

_ROOT: Final = Path(__file__).parents[2]
_OWN: Final = {  # the project's own files: what they count for, beside 1 for each kind of texts
    "docs/*.md": 3.0,
    "docs/*.zh-CN.md": 2.0,
    "src/stream_serve/**/*.py": 3.0,
    "src/stream_serve/pages/**/*.js": 1.5,
    "src/stream_serve/pages/**/*.css": 1.0,
    "scripts/*": 1.0,
}
_SIZE: Final = 600
_RIDGE: Final = 0.1
_FIRM: Final = {"digits": 90.0, "spaces before digits": 3.0, "words": 9.0, "long4": 1.5}
_ROUNDS: Final = 12
_STEPS: Final = 400


class Piece(Struct):
    """A piece of a text: what is counted in it, its real tokens, and its share of its kind."""

    kind: str
    counts: list[int]
    tokens: int
    share: float


def main() -> None:
    """Print the fitted weights, or with `--table` the errors of the present ones."""
    if "--table" not in sys.argv:
        for name, weight in fit().items():
            sys.stdout.write(f"    {name!r}: {weight},\n")
    for kind, error in errors(texts("check") | made(1)).items():
        sys.stdout.write(f"| {kind} | {error:+.0%} |\n")


def errors(some: dict[str, str]) -> dict[str, float]:
    """Return by how much of the real tokens the estimate of each text is too high."""
    return {kind: usage.count(text) / tokens(text) - 1 for kind, text in some.items()}


def fit() -> dict[str, float]:
    """Return the weights that fit best."""
    start = list(usage.WEIGHTS.values())
    firm = [_FIRM.get(name, _RIDGE) ** 2 for name in usage.WEIGHTS]
    pieces = [*_pieces(texts("fit") | made(0), 1.0)]
    for pattern, share in _OWN.items():
        files = sorted(path for path in _ROOT.glob(pattern) if path.is_file())
        pieces += _pieces({pattern: "".join(path.read_text("utf-8") for path in files)}, share)
    stress = dict.fromkeys((piece.kind for piece in pieces), 1.0)
    weights = start
    for _ in range(_ROUNDS):
        weights = _solve(pieces, stress, start, firm)
        for kind in stress:
            worse = 0.3 + (_error(pieces, kind, weights) / 0.05) ** 1.5
            stress[kind] = (stress[kind] + min(worse, 4)) / 2
    return {name: round(weight, 2) for name, weight in zip(usage.WEIGHTS, weights, strict=True)}


def _pieces(some: dict[str, str], share: float) -> list[Piece]:
    pieces: list[Piece] = []
    for kind, text in some.items():
        parts = [text[start : start + _SIZE] for start in range(0, len(text), _SIZE)][:150]
        for part in parts:
            counts = list(usage.measure(part))
            counts += [0] * (len(usage.WEIGHTS) - len(counts))
            pieces.append(Piece(kind, counts, tokens(part), share / len(parts)))
    return pieces


def _solve(
    pieces: list[Piece], stress: dict[str, float], start: list[float], firm: list[float]
) -> list[float]:
    """Return the weights of the least squares, by going along one weight after the other."""
    size = range(len(start))
    square = [[firm[i] if i == j else 0.0 for j in size] for i in size]
    right = [firm[i] * start[i] for i in size]
    for piece in pieces:
        scale = piece.share * stress[piece.kind] / piece.tokens**2
        present = [i for i in size if piece.counts[i]]
        for i in present:
            right[i] += scale * piece.counts[i] * piece.tokens
            for j in present:
                square[i][j] += scale * piece.counts[i] * piece.counts[j]
    weights = list(start)
    for _ in range(_STEPS):
        for i in size:
            rest = sum(square[i][j] * weights[j] for j in size if j != i)
            weights[i] = max(0.0, (right[i] - rest) / square[i][i])
    return weights


def _error(pieces: list[Piece], kind: str, weights: list[float]) -> float:
    ours = [piece for piece in pieces if piece.kind == kind]
    counts = (zip(piece.counts, weights, strict=True) for piece in ours)
    estimated = sum(number * weight for pairs in counts for number, weight in pairs)
    return abs(estimated / sum(piece.tokens for piece in ours) - 1)


if __name__ == "__main__":
    main()
