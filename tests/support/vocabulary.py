"""Qwen's real vocabulary, which the package `dashscope` has in it, and the texts of `events/texts`."""

from __future__ import annotations

import base64
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import tiktoken

TEXTS: Final = Path(__file__).parents[1] / "events" / "texts"
_PATTERN: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@cache
def vocabulary() -> tiktoken.Encoding:
    """Return Qwen's encoding. The package is only looked for and never imported."""
    package = find_spec("dashscope")
    assert package is not None
    assert package.origin is not None
    data = Path(package.origin).parent / "resources" / "qwen.tiktoken"
    pairs = (line.split() for line in data.read_bytes().splitlines() if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return tiktoken.Encoding("qwen", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})


def tokens(text: str) -> int:
    """Return how many tokens a text really is."""
    return len(vocabulary().encode_ordinary(text))


def texts(part: str) -> dict[str, str]:
    """Return the texts by kind: `fit` has those that the weights are fitted to, `check` all others."""
    files = sorted((TEXTS / part).glob("*.txt"))
    return {file.stem: file.read_text(encoding="utf-8") for file in files}
