"""The tables of the conversations, and column types that can store any text in any database.

How it works: PostgreSQL does not accept NUL in a text, and no database accepts a lone surrogate, but
users and providers may send both. `Words` writes such a character as the control character U+001A and
one character of the private use area, and U+001A itself in the same way. All other characters stay, so
that texts are readable with `psql` or `sqlite3`. Reading restores the text exactly.

    U+0000           ⇄  U+001A U+E800
    U+001A           ⇄  U+001A U+E801
    U+D800 … U+DFFF  ⇄  U+001A U+E000 … U+E7FF

`seq` numbers rows in the order in which they were written. It orders messages, and conversations that
changed at the same time; no order depends on a clock alone. `search` is the text for searches, in case
folding and without the images of a message. `size` is the bytes of a message, with the `door_size` of
what is kept for a door; that of a conversation is the bytes of all its messages, of which it also has
the number, with the `metadata_size` of its metadata.
`owner_totals` has the number of an owner's conversations and their size; triggers keep it
(`v0004_totals.py`). It has 16 rows for each owner (`part`, from the conversation's `seq`), so that those
who write at the same time seldom wait for one another. `lease_until` is set exactly while an answer is
being generated. `indexed` messages are in the index for searches (`search.py`), whose table is each
database's own. `caller_id` is the caller's own id.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

MARK: Final = "\x1a"
UNSAFE: Final = re.compile("[\x00\x1a\ud800-\udfff]")
MARKED: Final = re.compile("\x1a([\ue000-\ue801])")


def pack(words: str) -> str:
    """Return a text that every database can store."""
    return UNSAFE.sub(_pack, words)


def unpack(words: str) -> str:
    """Return the original of a packed text."""
    return MARKED.sub(_unpack, words) if MARK in words else words


def _pack(match: re.Match[str]) -> str:
    code = ord(match[0])
    place = {0x00: 0xE800, 0x1A: 0xE801}.get(code, code - 0xD800 + 0xE000)
    return MARK + chr(place)


def _unpack(match: re.Match[str]) -> str:
    place = ord(match[1])
    return chr({0xE800: 0x00, 0xE801: 0x1A}.get(place, place - 0xE000 + 0xD800))


class Words(TypeDecorator[str]):
    """A column for any text, packed."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Pack a text for the database."""
        return None if value is None else pack(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Unpack a text from the database."""
        return None if value is None else unpack(value)


class Json(TypeDecorator[Any]):
    """A column for any JSON value, as readable packed text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Encode a value for the database. Raises `ValueError` for NaN and infinity (RFC 8259, 6)."""
        if value is None:
            return None
        return pack(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:  # noqa: ARG002
        """Decode a value from the database."""
        return None if value is None else json.loads(unpack(value))


Count: Final = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key. SQLite increments a primary key only if its type is INTEGER, which has 64 bits there."""

VERSION_TABLE: Final = "stream_serve_schema"
"""Alembic's version table, under our own name, because other programs may use the same database."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

conversations = Table(
    "conversations",
    metadata,
    Column("seq", Count, primary_key=True, autoincrement=True),
    Column("id", Words, nullable=False, unique=True),
    Column("owner", Words, nullable=False),
    Column("title", Words, nullable=False),
    Column("search", Words, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("size", Count, nullable=False, server_default="0"),
    Column("messages", Count, nullable=False, server_default="0"),
    Column("caller_id", Words),
    Column("metadata", Json),
    Column("metadata_size", Count, nullable=False, server_default="0"),
    Index(None, "owner", "updated_at", "seq"),
    Index(
        "uq_conversations_owner_caller_id",
        "owner",
        "caller_id",
        unique=True,
        sqlite_where=text("caller_id IS NOT NULL"),
        postgresql_where=text("caller_id IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

owner_totals = Table(
    "owner_totals",
    metadata,
    Column("owner", Words, primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("conversations", Count, nullable=False),
    Column("size", Count, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    Column("seq", Count, primary_key=True, autoincrement=True),
    Column("id", Words, nullable=False, unique=True),
    Column(
        "conversation_id",
        Words,
        ForeignKey(conversations.c.id, ondelete="CASCADE"),
        nullable=False,
    ),
    # No cascade from parent to child: SQLite limits its depth, and a conversation may be deeper.
    Column("parent_id", Words, ForeignKey("messages.id"), index=True),
    Column("role", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("content", Json, nullable=False),
    Column("search", Words, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("lease_until", Double, index=True),
    Column("reasoning", Words),
    Column("model", Words),
    Column("usage", Json),
    Column("first_token_ms", Double),
    Column("run_id", Words, index=True),
    Column("error", Words),
    Column("tool_calls", Json),
    Column("sources", Json),
    Column("tool_call_id", Words),
    Column("name", Words),
    Column("caller_id", Words),
    Column("feedback", Words),
    Column("door", Json),
    Column("ending", Json),
    Column("door_size", Count, nullable=False, server_default="0"),
    Column("erased", Boolean, nullable=False, server_default=false()),
    Column("size", Count, nullable=False, server_default="0"),
    Column("indexed", Boolean, nullable=False, server_default=false()),
    Index(None, "conversation_id", "seq", "size"),
    Index(
        "ix_messages_unindexed",
        "seq",
        sqlite_where=text("indexed = 0"),
        postgresql_where=text("NOT indexed"),
    ),
    Index(None, "conversation_id", "lease_until"),
    Index(
        "ix_messages_conversation_id_caller_id",
        "conversation_id",
        "caller_id",
        sqlite_where=text("caller_id IS NOT NULL"),
        postgresql_where=text("caller_id IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)
