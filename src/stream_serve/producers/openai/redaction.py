"""Cuts a secret out of a provider's words, however these write it.

How it works: servers repeat what they were sent, and not always as it was: in JSON inside of JSON (`\\/`,
`\\u002d`), percent-encoded, as HTML, in capital letters, or cut off. So each character of the secret is
looked for in all its spellings. A beginning of the secret at the end of the text, or before dots or
asterisks, is cut out, too. No more of a text is read than what is kept of it, and a secret that lies
across its end. A secret of less than eight characters is no secret but a dummy (`x`, `EMPTY`,
`token`), and cutting it out would only spoil words.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache
from typing import Final

SHORTEST: Final = 8
HIDDEN: Final = "***"
_WORD: Final = re.compile(r"[^\s\"'`,;()\[\]{}<>]+")
_MASK: Final = re.compile(r"\*{2,}|\.{2,}\w|…|[xX•]{4,}")
_PART: Final = 4
_LONGEST_HEAD: Final = SHORTEST * 24
_OPEN_END: Final = re.compile(r"\W*$|…|\.\.|\*\*")


def hide(text: str, secret: str, *, limit: int | None = None) -> str:
    """Return a text with `***` in every place of the secret.

    With a `limit`, what comes after that many characters of the result may be left out.
    """
    if len(secret) < SHORTEST:
        return text
    parts: list[str] = []
    at, left = 0, len(text) if limit is None else limit
    head = _head(secret[:SHORTEST])
    while left >= 0 and (found := head.search(text, at, at + left + _LONGEST_HEAD)) is not None:
        end = _end(text, found.start(), secret)
        stop = found.start() + 1 if end is None else end
        parts += (text[at : found.start()], HIDDEN) if end is not None else (text[at:stop],)
        left -= sum(map(len, parts[-2 if end is not None else -1 :]))
        at = stop
    return "".join(parts) + text[at : at + max(left, 0) + 1]


def hide_parts(text: str, secret: str) -> str:
    """Return a text with `***` for each word that may show a part of the secret.

    For texts about a rejected key, which name it as `sk-ab***yz`, or by its last characters.
    """
    text = hide(text, secret)
    ends = max(len(secret) - _PART + 1, 0) if len(secret) >= SHORTEST else 0
    parts = {secret[at : at + _PART] for at in range(ends)}

    def hidden(found: re.Match[str]) -> str:
        word = found[0]
        shows = _MASK.search(word) or any(
            word[at : at + _PART] in parts for at in range(len(word) - _PART + 1)
        )
        return HIDDEN if shows else word

    return _WORD.sub(hidden, text)


def _end(text: str, start: int, secret: str) -> int | None:
    """Return where the secret ends that begins at `start`; None if that is another word."""
    ends = {start}
    for character in secret:
        ways = _ways(character)
        more = {found.end() for at in ends for way in ways if (found := way.match(text, at))}
        if not more:
            at = max(ends)
            return at if _OPEN_END.match(text, at) else None
        ends = more
    return max(ends)


@lru_cache(maxsize=16)
def _head(secret: str) -> re.Pattern[str]:
    """Return the pattern of the beginning of a secret in all its spellings."""
    return re.compile("".join(_spelling(one).pattern for one in secret), re.IGNORECASE)


def _spelling(character: str) -> re.Pattern[str]:
    """Return the pattern of all spellings of a character."""
    return re.compile(f"(?:{'|'.join(way.pattern for way in _ways(character))})", re.IGNORECASE)


@lru_cache(maxsize=256)
def _ways(character: str) -> tuple[re.Pattern[str], ...]:
    """Return the spellings of a character; each can follow the backslashes of an escape."""
    code = ord(character)
    entity = f"&#(?:0{{0,6}}{code}|x0{{0,6}}{code:x});"
    ways = [f"%(?:25){{0,6}}{code:02x}", f"u{code:04x}", entity, re.escape(html.escape(character))]
    if character == "\\":
        ways += [r"\\" * count for count in range(1, 5)]
    else:
        ways.append(re.escape(character))
    escape = r"\\{0,4}" if character != "\\" else ""
    return tuple(re.compile(escape + way, re.IGNORECASE) for way in dict.fromkeys(ways))
