"""The tables of the conversations, and the types that keep any text in any database.

How it works: PostgreSQL takes no NUL in a text, and no database takes half of a surrogate pair, but
a provider or a user may send both. `Words` writes such a character as the control character U+001A
and one character of the private use area, and U+001A itself likewise; everything else stays as it
is, so that a person with `psql` or `sqlite3` reads what was said. Reading undoes it exactly.

    U+0000           ⇄  U+001A U+E800
    U+001A           ⇄  U+001A U+E801
    U+D800 … U+DFFF  ⇄  U+001A U+E000 … U+E7FF

`seq` counts rows up in the order in which they were written: the total order of messages, and what
decides between conversations that changed in the same instant. Clocks only say when. `search` is the
text that a search looks at, without case; of a message's parts it has the words and no images. An
answer has `lease_until` exactly as long as it is being generated.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

MARK: Final = "\x1a"
UNSAFE: Final = re.compile("[\x00\x1a\ud800-\udfff]")
MARKED: Final = re.compile("\x1a([\ue000-\ue801])")


def pack(text: str) -> str:
    """Give a text that every database takes."""
    return UNSAFE.sub(_pack, text)


def unpack(text: str) -> str:
    """Give the text that was packed."""
    return MARKED.sub(_unpack, text) if MARK in text else text


def _pack(match: re.Match[str]) -> str:
    code = ord(match[0])
    place = {0x00: 0xE800, 0x1A: 0xE801}.get(code, code - 0xD800 + 0xE000)
    return MARK + chr(place)


def _unpack(match: re.Match[str]) -> str:
    place = ord(match[1])
    return chr({0xE800: 0x00, 0xE801: 0x1A}.get(place, place - 0xE000 + 0xD800))


class Words(TypeDecorator[str]):
    """Any text, packed."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Pack."""
        return None if value is None else pack(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Unpack."""
        return None if value is None else unpack(value)


class Json(TypeDecorator[Any]):
    """Any JSON value as text that stays readable, packed."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Encode; `ValueError` for what JSON has no word for, such as NaN."""
        if value is None:
            return None
        return pack(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:  # noqa: ARG002
        """Decode."""
        return None if value is None else json.loads(unpack(value))


Count: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts a primary key up only when it is called INTEGER, which has 64 bits there."""

VERSION_TABLE: Final = "stream_serve_schema"
"""Where alembic notes the version; a name of our own, since the database may have other tenants."""

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
    Index(None, "owner", "updated_at", "seq"),
    sqlite_autoincrement=True,
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
    # No cascade from parent to child: SQLite bounds how deep one may go, and a chain may be longer.
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
    Column("run_id", Words),
    Column("error", Words),
    Index(None, "conversation_id", "seq"),
    Index(None, "conversation_id", "lease_until"),
    sqlite_autoincrement=True,
)
