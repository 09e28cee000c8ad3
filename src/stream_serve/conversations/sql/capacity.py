"""Quotas: whether there is room for a question and its answer.

How it works: every conversation knows how many messages and bytes it has. The sums of an owner's
conversations are kept in the table `owner_totals`, by triggers of the database, whoever writes.

On PostgreSQL the questions of an owner go on at the same time, and none sees what the others are about to
store. So close to a quota they wait for a lock of their owner's, and look again.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from sqlalchemy import BigInteger, Integer, bindparam, cast, func, literal, select

from stream_serve.conversations.sql.schema import owner_totals
from stream_serve.errors import ConversationFull, StorageFull

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

    from stream_serve.conversations.base import Capacity

LOCK: Final = 0x73747265
"""The first part of the keys of PostgreSQL's advisory locks for owners."""

NEAR: Final = 100
"""How many conversations less than an owner may have are close to the quota."""

NEAR_BYTES: Final = 104_857_600
"""How many bytes less than an owner may have are close to the quota."""


class Used(Struct, frozen=True):
    """What a conversation has; nothing of that is in a new one."""

    messages: int = 0
    bytes: int = 0


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)


_totals = select(
    _sum(owner_totals.c.conversations).label("conversations"),
    _sum(owner_totals.c.size).label("bytes"),
).where(owner_totals.c.owner == bindparam("of"))


def check_room(
    connection: Connection,
    may: Capacity,
    owner: str,
    here: Used | None,
    *,
    count: int = 0,
    size: int = 0,
) -> None:
    """Check that `count` messages of `size` bytes may be added to a conversation; None: to a new one.

    The conversation has to be locked. Raises `ConversationFull`, `StorageFull`.
    """
    used = here or Used()
    if used.messages + count > may.messages or used.bytes + size > may.bytes:
        raise ConversationFull(
            f"the conversation would have {used.messages + count} messages with {used.bytes + size} "
            f"bytes, and one may have {may.messages} with {may.bytes}: "
            f"{'begin a new one' if used.messages else 'send less'}",
            parameters=["Capacity.messages", "Capacity.bytes"],
        )
    has = _has(connection, may, owner)
    many = here is None and has.conversations >= may.conversations
    if many or has.bytes + size > may.all_bytes:
        raise StorageFull(
            f"there are {has.conversations} conversations with {has.bytes} bytes, and there may be "
            f"{may.conversations} with {may.all_bytes}: delete some",
            parameters=["Capacity.conversations", "Capacity.all_bytes"],
        )


def _has(connection: Connection, may: Capacity, owner: str) -> Row[int, int]:
    """Return how many conversations and bytes an owner has; close to a quota nobody else adds any."""
    has = connection.execute(_totals, {"of": owner}).one()
    if connection.dialect.name == "postgresql" and _near(has, may):
        number = zlib.crc32(owner.encode("utf-8", "surrogatepass")) - 2**31
        key = literal(number, Integer)  # a number of 32 bits would be a BIGINT otherwise
        connection.execute(select(func.pg_advisory_xact_lock(LOCK, key)))
        has = connection.execute(_totals, {"of": owner}).one()
    return has


def _near(has: Row[int, int], may: Capacity) -> bool:
    return has.conversations + NEAR > may.conversations or has.bytes + NEAR_BYTES > may.all_bytes
