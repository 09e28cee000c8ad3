"""Our words for what is wrong with the syntax of a TOML document."""

from __future__ import annotations

import re
from typing import Final

_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_WORDS: Final = {
    r"Illegal character '\n'": "a text does not end on its line: its closing quote is missing",
    "Illegal character": r"here is a control character: write it as an escape, such as \t",
    "Invalid value": 'this is no value: a text stands in straight quotes ("like this"), and true and '
    "false are written small",
    "Expected '='": 'after a key come = and its value, as in name = "value"',
    "Expected ']]'": "a heading with [[ ends with ]]",
    "Expected ']'": "a heading with [ ends with ]",
    "Cannot overwrite a value": "this key is there already",
    "Cannot declare": "this table is there already",
    "Cannot mutate": "this table is there already",
    "Expected newline": "something follows after the value: a text stands in quotes, and each key has a "
    "line of its own",
    "Invalid initial character": "a key is missing: { … } stands on one line, without a comma at its end",
    "Invalid hex": r"a backslash begins an escape: write it as \\, or the text in 'single quotes'",
    "Unescaped '\\'": r"a backslash begins an escape: write it as \\, or the text in 'single quotes'",
    "Unclosed": "a list or a table is not closed: ] or } is missing",
    "Unterminated": "a text is not closed: its quote is missing",
    "Expected": "a text is not closed: its quote is missing",
    "Invalid statement": 'a line is name = "value", a heading such as [[providers]], or a # comment',
    "Invalid character": r"here is a character that no text can have: write it as an escape, such as \t",
}
"""What is said of the parser's errors, by how these begin."""


def explain(error: str) -> tuple[str | None, str]:
    """Return the line of a syntax error, None at the end of the document, and what is wrong there."""
    place = _PLACE.search(error)
    if place is not None and place[1] is None and error.startswith("Invalid value"):
        return None, _WORDS["Unclosed"]
    what = next((ours for start, ours in _WORDS.items() if error.startswith(start)), "")
    return (place[1] if place else None), what or "its syntax is wrong"
