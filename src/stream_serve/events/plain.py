"""Makes text of others fit to be shown: in an event, a log, a terminal.

What a provider calls an error, a code or a finish_reason can contain anything: escape sequences that move
a terminal's cursor or change its title, characters that turn the direction of the text around it, line
ends that forge a line of a log. All such words go through `line`.
"""

from __future__ import annotations

import re
from typing import Final

_BODY: Final = "[^\x00-\x1f\x7f-\x9f]*"
_ESCAPES: Final = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"  # ECMA-48's control sequences, such as colours
    f"|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f]){_BODY}(?:[\x07\x9c]|\x1b\\\\)"  # such as a title
    "|\x1b(?:[ -/]*[0-OQ-WYZ\\\\`-~])?"
)
_FORMAT: Final = "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_CONTROL: Final = re.compile(
    f"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f{_FORMAT}\U000e0000-\U000e007f]"
)
_SPACE: Final = re.compile(r"\s+")
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def line(text: str, limit: int | None = None) -> str:
    """Return a text as one line without escape sequences, control and direction characters.

    Half of a surrogate pair becomes U+FFFD. A text of more than `limit` characters is cut (`cut`).
    """
    text = _CONTROL.sub("", _ESCAPES.sub("", text))
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = _SPACE.sub(" ", text).strip()
    return text if limit is None else cut(text, limit)


def cut(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text, and a "…" for the rest."""
    return text if len(text) <= limit else text[:limit] + "…"


def printable(text: str) -> str:
    """Return a piece of an answer for a terminal, without what could do harm; lines and tabs stay."""
    return _UNPRINTABLE.sub("", text)
