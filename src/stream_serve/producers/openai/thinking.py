"""Thinking that a model writes into its answer: `<think>…</think>` at the very beginning.

How it works: `ThinkSplitter` has four states. At the `begin` it waits until the text is an opening tag
or cannot become one. `inside`, the text is thinking until the closing tag. In the `gap` after it, blank
lines are dropped. Then it is `over`, for good: a tag later in the answer is text. A tag may be cut
anywhere; at most the length of a tag, and white space at the beginning, is held back.

An opening tag that is never closed: all is thinking. A closing tag without an opening one is text.
"""

from __future__ import annotations

from typing import Final

TAGS: Final = (
    ("<think>", "</think>"),  # DeepSeek, Qwen and most others
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("[THINK]", "[/THINK]"),  # Magistral
    ("◁think▷", "◁/think▷"),  # Kimi-VL
)
_FIRST: Final = frozenset(opening[0] for opening, _ in TAGS)
_MAX_SPACE: Final = 1000
_LINE_ENDS: Final = "\r\n"


class ThinkSplitter:
    """Splits the text of one answer, as it comes, into thinking and answer."""

    __slots__ = ("_close", "_held", "_leading", "_split", "over")

    def __init__(self) -> None:
        self._held = ""
        self._close = ""
        self._leading = True
        # Functions, not methods: one of its own methods would keep it until garbage is collected.
        self._split = ThinkSplitter._begin
        self.over = False

    def add(self, text: str) -> tuple[str, str]:
        """Add a piece of the text; return the thinking and the answer that are known now."""
        return self._split(self, self._held + text)

    def rest(self) -> tuple[str, str]:
        """Return what is still held back at the end of the text, as thinking and answer."""
        held, self._held = self._held, ""
        split, self._split = self._split, ThinkSplitter._after
        self.over = True
        if split == ThinkSplitter._inside:
            return self._thinking(held), ""
        return ("", held) if split == ThinkSplitter._begin else ("", "")

    def interrupt(self) -> str:
        """Return text that is held back at the beginning: something else came, so it becomes no tag."""
        held, self._held = (
            (self._held, "") if self._split == ThinkSplitter._begin else ("", self._held)
        )
        if held:
            self._end("")
        return held

    def _begin(self, text: str) -> tuple[str, str]:
        start = text.lstrip()
        if start and start[0] not in _FIRST:
            return self._end(text)
        for opening, closing in TAGS:
            if start.startswith(opening):
                self._close = closing
                self._split = ThinkSplitter._inside
                return self._inside(start[len(opening) :])
        if len(text) < _MAX_SPACE and any(opening.startswith(start) for opening, _ in TAGS):
            self._held = text
            return "", ""
        return self._end(text)

    def _inside(self, text: str) -> tuple[str, str]:
        before, tag, after = text.partition(self._close)
        if tag:
            self._split = ThinkSplitter._gap
            thinking = self._thinking(before)
            return thinking, self._gap(after)[1]
        sizes = range(len(self._close) - 1, -1, -1)  # of the beginning of a tag at the end, or 0
        end = len(text) - next(size for size in sizes if text.endswith(self._close[:size]))
        self._held = text[end:]
        return self._thinking(text[:end]), ""

    def _gap(self, text: str) -> tuple[str, str]:
        start = text.lstrip()
        indent = text[: len(text) - len(start)].rpartition("\n")[2]
        if start or len(indent) > _MAX_SPACE:
            return self._end(indent + start)
        self._held = indent
        return "", ""

    def _after(self, text: str) -> tuple[str, str]:
        return "", text

    def _end(self, text: str) -> tuple[str, str]:
        self._held = ""
        self._split = ThinkSplitter._after
        self.over = True
        return "", text

    def _thinking(self, text: str) -> str:
        """Return a piece of the thinking, without the line ends after the opening tag."""
        if self._leading:
            text = text.lstrip(_LINE_ENDS)
            self._leading = not text
        return text


def split(text: str) -> tuple[str, str]:
    """Return the thinking and the answer of a whole text."""
    splitter = ThinkSplitter()
    thought, said = splitter.add(text)
    more, rest = splitter.rest()
    return thought + more, said + rest
