"""The index for searches: which messages may contain a text, in both databases without an extension.

How it works: of each message the pairs of neighbouring characters are kept, and each single character,
as numbers: a checksum of the pair and of the owner. A message may contain a text only if it has all pairs
of the text. What the index finds is then looked at, so that the results are those of a search without it;
and it finds any substring, also the two characters of a Chinese word. Since the owner is a part of the
numbers, a search costs nothing for the messages of others.

PostgreSQL keeps the numbers in an array with a GIN index, in a column `grams` of the messages; SQLite
keeps them as words in an FTS5 table `message_grams`. A message that is not `indexed` is looked at in
every search, if it is one of the newest `WAITING` of these: one that is being generated, and one that
was written before there was an index, until `index_some` has come to it. A SQLite without FTS5 has no
index, and its searches look at every message; the table is made when the file is opened with FTS5.
"""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from contextlib import closing
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from msgspec import Struct
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    and_,
    column,
    false,
    func,
    insert,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from stream_serve.conversations.sql.schema import conversations, messages
from stream_serve.errors import HistorySchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Set, Sized

    from sqlalchemy import AdaptedConnection, ColumnElement, Connection, Select, Subquery

T = TypeVar("T")
Of = TypeVar("Of", bound="Sized")

BATCH: Final = 50
"""How many messages are indexed in one transaction, at most."""

BATCH_BYTES: Final = 1_048_576
"""How large these are together, since a transaction has little time; one larger message is alone."""

WAITING: Final = 5_000
"""How many messages that are not indexed a search looks at, the newest, since it has little time."""

LARGE: Final = 8_192
"""Characters of a text, or pairs, that are worked on in a thread, so that the loop goes on meanwhile."""

IN_SQLITE: Final = (
    "CREATE VIRTUAL TABLE message_grams USING fts5"
    "(grams, tokenize = 'ascii', detail = 'none', columnsize = 0)",
    "CREATE TRIGGER message_grams_deleted AFTER DELETE ON messages WHEN old.indexed "
    "BEGIN DELETE FROM message_grams WHERE rowid = old.seq; END",
)
"""What makes the index in SQLite."""

c = conversations.c
m = messages.c
table_in_sqlite = table("message_grams", column("rowid", Integer), column("grams"))
replace_in_sqlite = insert(table_in_sqlite).prefix_with("OR REPLACE")
messages_in_postgresql = messages.to_metadata(MetaData())
messages_in_postgresql.append_column(Column("grams", ARRAY(Integer)))


@cache
def has_fts5() -> bool:
    """Return whether the SQLite of this Python has FTS5; nearly all have."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("CREATE VIRTUAL TABLE probe USING fts5(words)")
        except sqlite3.OperationalError:
            return False
    return True


def lacks_table(connection: Connection) -> bool:
    """Return whether the table for SQLite is still to be made: the file may be older than its FTS5.

    Raises `HistorySchemaError` if it is there and cannot be used: then nothing could be deleted.
    """
    if connection.dialect.name != "sqlite":
        return False
    name = text("SELECT count(*) FROM sqlite_master WHERE name = 'message_grams'")
    there = bool(connection.scalar(name))
    if there and not has_fts5():
        raise HistorySchemaError(
            "the database has an index for searches that needs FTS5, which the SQLite of this Python "
            "does not have: use another Python"
        )
    return not there and has_fts5()


def make_table(connection: Connection) -> None:
    """Make the table for SQLite."""
    for statement in IN_SQLITE:
        connection.exec_driver_sql(statement)


def pairs_of(words: str) -> set[str]:
    """Return the pairs of neighbouring characters in a text, and its single characters."""
    return {*map("".join, set(pairwise(words))), *words}


def wanted(words: str) -> set[str]:
    """Return what of a text is looked for: its pairs, or its only character."""
    return {words[at : at + 2] for at in range(max(1, len(words) - 1))}


def numbers(owner: str, pairs: Iterable[str]) -> list[int]:
    """Return the numbers that stand for pairs in the texts of an owner, as signed 32-bit integers."""
    seed = zlib.crc32(owner.encode("utf-8", "surrogatepass"))
    return sorted(
        {zlib.crc32(pair.encode("utf-8", "surrogatepass"), seed) - 2**31 for pair in pairs}
    )


async def found_pairs(words: str) -> set[str]:
    """Return `pairs_of` a text, before a transaction."""
    if len(words) > LARGE:
        return await asyncio.to_thread(pairs_of, words)
    return pairs_of(words)


def prefer_index(connection: Connection) -> None:
    """Let PostgreSQL go by indexes until the end of the transaction.

    It guesses how often a text is there. Where it guesses too much, it would look through the table for
    the first ones, and not find them before its end.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.set_config("enable_seqscan", "off", True)))


def unsearched_until(connection: Connection) -> int:
    """Return `seq` of the newest message that a search leaves out because too many are not indexed; 0."""
    if connection.dialect.name == "sqlite" and not has_fts5():
        return 0
    newest = select(m.seq).where(~m.indexed).order_by(m.seq.desc())
    return connection.scalar(newest.offset(WAITING).limit(1)) or 0


class Hits(Struct, frozen=True):
    """The messages of an owner that may contain a text; of those not indexed the ones after `since`."""

    owner: str
    words: str
    since: int

    def some(self, most: int, *, sqlite: bool) -> Subquery:
        """Return the indexed ones, `most` of them at most."""
        if sqlite:
            return self._in_sqlite().limit(most).subquery("some")
        grams = messages_in_postgresql.c
        return select(grams.seq).where(self._in_postgresql()).limit(most).subquery("some")

    def found(
        self,
        name: str,
        contains: Callable[[ColumnElement[str]], ColumnElement[bool]],
        *,
        sqlite: bool,
    ) -> tuple[Select[Any], Select[Any]]:
        """Select a column of those that do contain it: of the indexed, and of the others."""
        at = messages if sqlite else messages_in_postgresql
        hit = at.c.seq.in_(self._in_sqlite()) if sqlite else self._in_postgresql()
        waiting = and_(~m.indexed, m.seq > self.since, contains(m.search))
        own = select(m[name]).join(conversations, m.conversation_id == c.id)
        own = own.where(c.owner == self.owner, waiting)
        return select(at.c[name]).where(hit, contains(at.c.search)), own

    def _in_postgresql(self) -> ColumnElement[bool]:
        return messages_in_postgresql.c.grams.contains(self._numbers())

    def _in_sqlite(self) -> Select[int]:
        if not has_fts5():
            return select(m.seq).where(false())
        match = text("message_grams MATCH :match").bindparams(match=words_of(self._numbers()))
        return select(table_in_sqlite.c.rowid).where(match)

    def _numbers(self) -> list[int]:
        return numbers(self.owner, wanted(self.words))


def numbers_of(connection: Connection, owner: str, pairs: Set[str]) -> list[int]:
    """Return `numbers`, in a transaction."""
    return _aside(connection, pairs, partial(numbers, owner))


def numbers_in(connection: Connection, owner: str, words: str) -> list[int]:
    """Return the `numbers` of what is in a text, in a transaction."""
    return numbers_of(connection, owner, _aside(connection, words, pairs_of))


def index(connection: Connection, owner: str, seq: int, words: str) -> None:
    """Index a message with that text, anew if it is indexed."""
    kept = numbers_in(connection, owner, words)
    sqlite = connection.dialect.name == "sqlite"
    at = messages if sqlite else messages_in_postgresql
    values = as_indexed(kept, sqlite=sqlite)
    connection.execute(update(at).where(at.c.seq == seq).values(values))
    keep_in_sqlite(connection, seq, kept)


def as_indexed(kept: list[int], *, sqlite: bool) -> dict[str, object]:
    """Return the columns of a message with these numbers; `keep_in_sqlite` has to follow."""
    return {"indexed": has_fts5()} if sqlite else {"indexed": True, "grams": kept}


def keep_in_sqlite(connection: Connection, seq: int | None, kept: list[int]) -> None:
    """Keep the numbers of a message in SQLite, instead of those that there are; else do nothing."""
    if connection.dialect.name == "sqlite" and has_fts5():
        connection.execute(replace_in_sqlite, {"rowid": seq, "grams": words_of(kept)})


def index_some(connection: Connection) -> int:
    """Index some messages that have ended and are not indexed; return how many."""
    if connection.dialect.name == "sqlite" and not has_fts5():
        return 0
    statement = (
        select(m.seq, m.size, c.owner)
        .join(conversations, c.id == m.conversation_id)
        .where(~m.indexed, m.lease_until.is_(None))
        .order_by(m.seq)
        .limit(BATCH)
        .with_for_update(of=messages, skip_locked=True)
    )
    rows: list[Any] = list(connection.execute(statement))
    done = total = 0
    for seq, size, owner in rows:
        total += size
        if done and total > BATCH_BYTES:
            break
        words = connection.scalar(select(m.search).where(m.seq == seq))
        index(connection, owner, seq, words or "")
        done += 1
    return done


def _aside(connection: Connection, given: Of, work: Callable[[Of], T]) -> T:
    """Return what `work` makes of what is given, aside from the loop if that is large.

    A transaction of SQLite is in a thread anyway.
    """
    if len(given) <= LARGE or connection.dialect.name == "sqlite":
        return work(given)
    driver = cast("AdaptedConnection", connection.connection.dbapi_connection)
    return driver.run_async(lambda _: asyncio.to_thread(work, given))


def words_of(kept: Iterable[int]) -> str:
    """Return numbers as the words of an FTS5 table."""
    return " ".join(f"g{number + 2**31:08x}" for number in kept)
