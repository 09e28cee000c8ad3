"""Pages of an owner's conversations: of all of them, or of those with a text in them.

How it works: how a text is searched for depends on how many messages may contain it by the index. Are
they few, only they are looked at. Are they many, most conversations have the text, and the conversations
that changed last are looked at one after the other until the page is full. If that has not filled it,
because the index promised too much, all the messages of the index are looked at after all.

Which message of each conversation has the text is then looked for in the same way (`matches`).

Messages that are not indexed are looked at, too, but only the newest: while a large database is being
indexed these would be all. Then a page says so (`indexing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVarTuple

from msgspec import structs
from sqlalchemy import func, or_, select, tuple_, union

from stream_serve.conversations.base import Page
from stream_serve.conversations.sql.matches import Matches
from stream_serve.conversations.sql.rows import conversation_of, cursor_after
from stream_serve.conversations.sql.schema import conversations, messages
from stream_serve.conversations.sql.search import Hits, prefer_index, unsearched_until
from stream_serve.conversations.sql.statements import conversations_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

    from stream_serve.conversations.sql.database import Database

    Place = tuple[float, int] | None
    Condition = Callable[[ColumnElement[str]], ColumnElement[bool]]

Columns = TypeVarTuple("Columns")

FEW: Final = 1_000
"""How many messages are looked at without a thought, if the index says that they may have a text."""

RECENT: Final = 200
"""How many of the conversations that changed last are looked at for a text that most have."""

LOOKED: Final = 10_000
"""How many messages these have together, at most."""

SHORT: Final = 200
"""How many of the newest messages of a conversation are looked at for a text that most have."""

c = conversations.c
m = messages.c


class Lists:
    """Reads pages of the conversations of `database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self, connection: Connection, owner: str, limit: int, place: Place, query: str
    ) -> Page:
        """Return the page after `place`; with a `query` only of the conversations that contain it."""
        if not query:
            return _page(self._rows(connection, self._after(owner, place), limit), limit)
        words = query.casefold()
        prefer_index(connection)
        hits = Hits(owner, words, unsearched_until(connection))
        sqlite = self._database.path is not None
        probe = select(func.count()).select_from(hits.some(FEW + 1, sqlite=sqlite))
        many = (connection.scalar(probe) or 0) > FEW
        rows = self._found(connection, owner, limit, place, hits, many=many)
        page = _page(rows, limit, indexing=hits.since > 0)
        matches = Matches(hits, self._contains(words), sqlite=sqlite)
        ids = [one.id for one in page.conversations]
        found = matches.of(connection, ids, most=SHORT if many else None)
        return structs.replace(page, matches=found)

    def _contains(self, words: str) -> Condition:
        return lambda column: self._database.found(column, words)

    def _found(
        self,
        connection: Connection,
        owner: str,
        limit: int,
        place: Place,
        hits: Hits,
        *,
        many: bool,
    ) -> list[RowMapping]:
        contains = self._contains(hits.words)
        after = self._after(owner, place)
        if many:
            here = or_(contains(c.search), _inside(contains))
            near = after.where(c.seq.in_(_recent(owner, place)), here)
            rows = self._rows(connection, near, limit)
            if len(rows) > limit:
                return rows
        titled = select(c.id).where(c.owner == owner, contains(c.search))
        sqlite = self._database.path is not None
        inside = hits.found("conversation_id", contains, sqlite=sqlite)
        found = union(titled, *inside).subquery("found")
        return self._rows(connection, after.join(found, found.c.id == c.id), limit)

    def _after(self, owner: str, place: Place) -> Select[Any]:
        return _behind(conversations_at(self._database.now()).where(c.owner == owner), place)

    def _rows(self, connection: Connection, statement: Select[Any], limit: int) -> list[RowMapping]:
        """Return the rows of a page, and one more if there is a further page."""
        newest = statement.order_by(c.updated_at.desc(), c.seq.desc()).limit(limit + 1)
        return list(connection.execute(newest).mappings())


def _page(rows: list[RowMapping], limit: int, *, indexing: bool = False) -> Page:
    more, rows = len(rows) > limit, rows[:limit]
    return Page(
        conversations=[conversation_of(row) for row in rows],
        next_cursor=cursor_after(rows[-1]["updated_at"], rows[-1]["seq"]) if more else None,
        indexing=indexing,
    )


def _behind(statement: Select[*Columns], place: Place) -> Select[*Columns]:
    if place is None:
        return statement
    return statement.where(tuple_(c.updated_at, c.seq) < tuple_(*place))


def _inside(contains: Condition) -> ColumnElement[bool]:
    """Return the condition that some message of a conversation contains the text."""
    return select(m.seq).where(m.conversation_id == c.id, contains(m.search)).exists()


def _recent(owner: str, place: Place) -> Select[int]:
    """Select `seq` of the conversations that changed last, and have few enough messages together."""
    order = (c.updated_at.desc(), c.seq.desc())
    newest = _behind(select(c.seq, c.updated_at, c.messages).where(c.owner == owner), place)
    some = newest.order_by(*order).limit(RECENT).subquery("newest").c
    so_far = func.sum(some.messages).over(order_by=(some.updated_at.desc(), some.seq.desc()))
    sums = select(some.seq, so_far.label("so_far")).subquery("sums").c
    return select(sums.seq).where(sums.so_far <= LOOKED)
