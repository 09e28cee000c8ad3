"""Surrogate pairs that a provider splits between two chunks, joined again."""

from __future__ import annotations

from typing import Final

_REPLACEMENT: Final = "\ufffd"


class SurrogateJoiner:
    """Joins surrogate pairs that were split between two chunks.

    Some servers split their text by UTF-16 code units and write an emoji as `"\\ud83d"` in one chunk and
    `"\\ude00"` in the next. The first half is held back until the second comes. A half that stays alone
    becomes U+FFFD, so that the text can always be encoded as UTF-8.
    """

    __slots__ = ("half",)

    def __init__(self) -> None:
        self.half = ""

    def add(self, text: str) -> str:
        """Add the text of the next chunk; return all text that is complete now."""
        text = self.half + text
        self.half = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self.half = text[:-1], text[-1]
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        return text

    def rest(self) -> str:
        """Return the replacement for a half that is still held back at the end of the text, or ""."""
        half, self.half = self.half, ""
        return _REPLACEMENT if half else ""
