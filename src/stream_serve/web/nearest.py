"""The known name that a caller probably meant by an unknown one.

Close are the same letters in another spelling (`max_tokens`, `Message`), and slips of the finger in a
name that is long enough: one in five letters or more, two in ten or more. Shorter names are too close to
ordinary ones (`step`, `mode`). A near miss is refused here; where one is a hint to the operator, more
may be close (`settings.values.nearest`).
"""

from __future__ import annotations

from functools import cache
from typing import Final

_LONGEST: Final = 40
_ONE_SLIP: Final = 5
_TWO_SLIPS: Final = 10


def nearest(name: str, known: frozenset[str]) -> str | None:
    """Return the name of `known` that is closest to `name`; None if none is close."""
    if len(name) > _LONGEST:
        return None
    letters, spelt = plain(name), _plain(known)
    if letters in spelt:
        return spelt[letters]
    if len(letters) < _ONE_SLIP:
        return None
    for slips in (1, 2):
        for right, one in spelt.items():
            if slips <= _slips(right) and _within(letters, right, slips):
                return one
    return None


def plain(name: str) -> str:
    """Return the letters and digits of a name in lower case, which all its spellings share."""
    return "".join(filter(str.isalnum, name)).lower()


@cache
def _plain(known: frozenset[str]) -> dict[str, str]:
    return {plain(name): name for name in sorted(known)}


def _slips(name: str) -> int:
    return (len(name) >= _ONE_SLIP) + (len(name) >= _TWO_SLIPS)


def _within(left: str, right: str, slips: int) -> bool:
    """Return whether at most `slips` letters are missing, too many, wrong or exchanged with the next."""
    if abs(len(left) - len(right)) > slips:
        return False
    start = 0
    while start < min(len(left), len(right)) and left[start] == right[start]:
        start += 1
    left, right = left[start:], right[start:]
    if slips == 0 or not left or not right:
        return len(left) + len(right) <= slips
    return (
        _within(left[1:], right, slips - 1)
        or _within(left, right[1:], slips - 1)
        or _within(left[1:], right[1:], slips - 1)
        or (left[:2] == right[1::-1] and _within(left[2:], right[2:], slips - 1))
    )
