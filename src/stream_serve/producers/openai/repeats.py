"""Text that a provider sends once more as a whole, after it has sent it piece by piece."""

from __future__ import annotations

from typing import Final

_JOINED: Final = 16
_LIKELY_REPEAT: Final = 16
"""A text of so many characters is hardly the same by chance."""
_LIKELY_GROWTH: Final = 8


class Pieces:
    """What has come so far, piece by piece: `count` of them, with `size` characters.

    Sixteen pieces at a time are joined, since a small string takes ten times the memory of its text.
    """

    __slots__ = ("_blocks", "_newest", "count", "size")

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._newest: list[str] = []
        self.count = 0
        self.size = 0

    def __bool__(self) -> bool:
        return self.count > 0

    def add(self, piece: str) -> None:
        """Add a piece."""
        self.count += 1
        self.size += len(piece)
        newest = self._newest
        newest.append(piece)
        if len(newest) == _JOINED:
            self._blocks.append("".join(newest))
            newest.clear()

    def joined(self) -> str:
        """Return the whole text, which is one block from now on."""
        text = "".join((*self._blocks, *self._newest))
        self._blocks = [text]
        self._newest.clear()
        return text

    def repeated(self, text: object) -> bool:
        """Return whether the last of several pieces, which is `text`, repeats all those before it."""
        return (
            isinstance(text, str)
            and len(text) == self.size >= _LIKELY_REPEAT
            and self.count > 1
            and text == self.joined()
        )

    def grown(self, text: object) -> bool:
        """Return whether a piece, which is `text`, repeats all those before it, and goes on."""
        return (
            isinstance(text, str)
            and _LIKELY_REPEAT <= self.size < len(text)
            and text.startswith(self.joined())
        )


def grows(text: str, before: str) -> bool:
    """Return whether a text is one that came before it and more, and hardly so by chance."""
    return len(text) >= _LIKELY_REPEAT and len(before) >= _LIKELY_GROWTH and text.startswith(before)


def missing(whole: str, said: str) -> str | None:
    """Return the part of `whole` that has not come yet, where `said` is all that has come.

    A text that only repeats, from the beginning or up to the end, brings nothing; a longer one brings
    its rest; one that has nothing to do with what came is new. None for another version of what came:
    one of the two is wrong, and what was said stays. White space around the texts does not count.
    """
    if whole.startswith(said):
        return whole[len(said) :]
    new, old = whole.strip(), said.strip()
    if old.startswith(new) or old.endswith(new):
        return ""
    if new.startswith(old):
        return new[len(old) :]
    pairs = zip(new, old, strict=False)
    common = next((at for at, (one, other) in enumerate(pairs) if one != other), 0)
    return whole if 2 * common < min(len(new), len(old)) else None
