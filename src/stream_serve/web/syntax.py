"""Our words for what is wrong with the syntax of a JSON text."""

from __future__ import annotations

import re
from typing import Final

_PLACE: Final = re.compile(r" at line (\d+) column (\d+)$")
_WORDS: Final = {
    "EOF while parsing": "it ends in the middle",
    "control character": r"a text has a control character: write a line break as \n",
    "expected `": "{said}",
    "expected ident": "a word is neither true, false nor null, and a text needs double quotes",
    "expected value": "a value should begin here",
    "hex escape": "half of a surrogate pair, which is no character",
    "invalid escape": r"a backslash begins no escape: write it as \\",
    "invalid number": "this is no number",
    "invalid unicode": "it is not UTF-8",
    "key must be a string": "a name needs double quotes",
    "number out of range": "a number is too large",
    "recursion limit": "it is nested too deep",
    "trailing characters": "something follows after its end",
    "trailing comma": "nothing follows after a comma",
}
"""What is said of the parser's errors, by words that these have."""


def explain(text: bytes, error: str) -> str:
    """Return where a JSON text is wrong, and why; `error` is what the parser says."""
    if not text.strip():
        return "the body is empty: send a JSON object"
    if text.startswith(b"\xef\xbb\xbf"):
        return "the body is not valid JSON: it begins with a byte order mark"
    place = _PLACE.search(error)
    said = error[: place.start()] if place else error
    what = next((ours for words, ours in _WORDS.items() if words in said), "its syntax is wrong")
    where = f" at line {place[1]}, column {place[2]}" if place else ""
    return f"the body is not valid JSON{where}: {what.format(said=said)}"
