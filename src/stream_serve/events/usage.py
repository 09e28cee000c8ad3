"""Token counts estimated from the text, for answers whose provider reports no usage.

The rule is rough and fits the usual vocabularies of Chinese and English models: a CJK character is
about 0.7 tokens, and four other characters are about one token. The error is some tens of percent. That
is enough to see the cost of a stopped answer, and the numbers are always labelled as estimated.
"""

from __future__ import annotations

import re
from typing import Final

from stream_serve.events.types import Usage

_CJK: Final = re.compile(
    "[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)
_PER_CJK: Final = 0.7
_PER_OTHER: Final = 0.25


def count(text: str) -> int:
    """Return an estimate of the tokens in `text`; 0 only for an empty text."""
    if not text:
        return 0
    cjk = len(_CJK.findall(text))
    return max(1, round(cjk * _PER_CJK + (len(text) - cjk) * _PER_OTHER))


def estimate(
    *, prompt_tokens: int, answer: str, reasoning: str, pieces: tuple[int, int] = (0, 0)
) -> Usage:
    """Return the estimated usage of a run from its prompt's tokens and the text generated so far.

    `pieces` is in how many pieces the answer and the reasoning came: each is at least one token.
    """
    said, thought = max(count(answer), pieces[0]), max(count(reasoning), pieces[1])
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=said + thought,
        total_tokens=prompt_tokens + said + thought,
        source="estimated",
        reasoning_tokens=thought or None,
    )
