"""Where a search has found its text: of each conversation of a page the newest message that has it.

How it works: searches look at texts in case folding, but readers want to see what was written. What was
written is read only of messages of a moderate size; of others, and where folding has changed the length,
the folded text is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import case, func, literal, select, union

from stream_serve.conversations.base import Match
from stream_serve.conversations.sql.rows import visible_text
from stream_serve.conversations.sql.schema import Words, conversations, messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

    from stream_serve.conversations.sql.search import Hits

BEFORE: Final = 40
AFTER: Final = 120
"""Characters that are shown before and after the text."""

MODERATE: Final = 65_536
"""Characters of what is read whole of one message; of a page there are up to a hundred."""

c = conversations.c
m = messages.c


class Matches:
    """The messages that have the text of `hits`; `contains` is the condition that a column has it."""

    def __init__(
        self,
        hits: Hits,
        contains: Callable[[ColumnElement[str]], ColumnElement[bool]],
        *,
        sqlite: bool,
    ) -> None:
        self._hits = hits
        self._contains = contains
        self._sqlite = sqlite

    def of(
        self, connection: Connection, ids: Sequence[str], *, most: int | None
    ) -> dict[str, Match]:
        """Return the newest match of each conversation, for its id.

        With `most` only so many of its newest messages are looked at; else all that the index finds.
        """
        if not ids:
            return {}
        newest = self._indexed(ids) if most is None else self._recent(ids, most)
        rows = connection.execute(self._shown(newest)).mappings()
        return {row["conversation_id"]: _match(row, self._hits.words) for row in rows}

    def _indexed(self, ids: Sequence[str]) -> Select[int]:
        found = union(*self._hits.found("seq", self._contains, sqlite=self._sqlite))
        newest = select(func.max(m.seq)).where(m.conversation_id.in_(ids), m.seq.in_(found))
        return newest.group_by(m.conversation_id)

    def _recent(self, ids: Sequence[str], most: int) -> Select[int]:
        near = messages.alias("near")
        recent = select(near.c.seq).where(near.c.conversation_id == c.id)
        recent = recent.order_by(near.c.seq.desc()).limit(most).correlate(conversations)
        newest = select(func.max(m.seq)).where(m.seq.in_(recent), self._contains(m.search))
        return select(newest.correlate(conversations).scalar_subquery()).where(c.id.in_(ids))

    def _shown(self, newest: Select[int]) -> Select[str, str, str, str]:
        """Select what is shown of these messages: what was written, and the folded text around."""
        find = func.instr if self._sqlite else func.strpos
        at = find(m.search, literal(self._hits.words, Words))
        begin = case((at > BEFORE, at - BEFORE), else_=1)
        most = BEFORE + len(self._hits.words) + AFTER
        around = func.substr(m.search, begin, most, type_=Words())
        written = case((func.length(m.content) <= MODERATE, m.content))
        return select(
            m.conversation_id, m.id, written.label("written"), around.label("around")
        ).where(m.seq.in_(newest))


def _match(row: RowMapping, words: str) -> Match:
    written = visible_text(row["written"] or "")
    folded = written.casefold()
    text = written if len(folded) == len(written) and words in folded else row["around"]
    at = text.casefold().find(words)
    end = at + len(words)
    return Match(
        message_id=row["id"],
        before=_line(text[max(0, at - BEFORE) : at]),
        text=text[at:end],
        after=_line(text[end : end + AFTER]),
    )


def _line(text: str) -> str:
    """Return a text on one line; a blank at an end stays, as it stands beside the match."""
    return "".join(" " if letter.isspace() else letter for letter in text)
