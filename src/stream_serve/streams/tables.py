"""Streams in the tables of a SQLite file: what changes them, and what is read from them.

How it works: bytes are in rows of a middle size, however they come: small appends are joined, large ones
divided. So a read loads little more than it returns. Of the bytes of a stream that is removed, only the
first rows go at once; the others are deleted by `purge`, piece by piece.

Each function runs in a transaction that its caller has begun, except `purge`, and raises `sqlite3.Error`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_serve.files.sqlite import BEGIN
from stream_serve.streams.base import Totals, excess
from stream_serve.streams.state import decode, encode

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from stream_serve.streams.base import Change, Quota
    from stream_serve.streams.errors import StreamsFull
    from stream_serve.streams.state import Key, State

_MAX_ROW: Final = 262_144
_JOINED: Final = 900
"""Bytes of a row that short appends are joined to: SQLite keeps about so many in the page itself."""

_PURGED: Final = 64
"""Rows of a removed stream that are deleted at once, 16 MiB at most, before others have their turn."""

LATER: Final = "CREATE TABLE IF NOT EXISTS removed (id TEXT PRIMARY KEY) WITHOUT ROWID"
"""The data that is still to be deleted; not in the first files."""

_LOAD: Final = "SELECT state FROM streams WHERE owner = ? AND path = ?"
_CHECK: Final = "SELECT version, size FROM streams WHERE owner = ? AND path = ?"
_INSERT: Final = "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?)"
_UPDATE: Final = "UPDATE streams SET version = ?, state = ?, size = ? WHERE owner = ? AND path = ?"
_UPDATE_DUE: Final = (
    "UPDATE streams SET version = ?, state = ?, size = ?, due = ? WHERE owner = ? AND path = ?"
)
_REMOVE: Final = "DELETE FROM streams WHERE owner = ? AND path = ?"
READ: Final = (
    "SELECT start, bytes FROM data WHERE id = ? AND start < ? AND start >= "
    "(SELECT max(start) FROM data WHERE id = ? AND start <= ?) ORDER BY start"
)
_JOIN: Final = (
    "UPDATE data SET bytes = CAST(bytes || ? AS BLOB) WHERE id = ? AND length(bytes) <= ? "
    "AND start = (SELECT max(start) FROM data WHERE id = ?)"
)
_PUT: Final = "INSERT INTO data VALUES (?, ?, ?)"
_PURGE: Final = (
    "DELETE FROM data WHERE id = ? AND start IN "
    "(SELECT start FROM data WHERE id = ? ORDER BY start LIMIT ?)"
)
DUE: Final = "SELECT owner, path FROM streams WHERE due <= ? ORDER BY due LIMIT ?"
_TOTALS: Final = "SELECT streams, bytes FROM owners WHERE owner = ?"
_GROW: Final = (
    "INSERT INTO owners VALUES (?, ?, ?) ON CONFLICT (owner) DO UPDATE SET "
    "streams = streams + excluded.streams, bytes = bytes + excluded.bytes"
)


def apply(db: sqlite3.Connection, changes: Sequence[Change], quota: Quota | None) -> Any:
    """Make changes in the transaction that is open, or none; return what the commit's future gets."""
    sizes: list[int] = []
    for one in changes:
        row = db.execute(_CHECK, one.key).fetchone()
        version, size = (0, 0) if row is None else row
        if version != one.version:
            return False
        sizes.append(size)
    full = _grow(db, changes, quota)
    if full is not None:
        return full
    for one, size in zip(changes, sizes, strict=True):
        _change(db, one, size)
    return True


def _grow(
    db: sqlite3.Connection, changes: Sequence[Change], quota: Quota | None
) -> StreamsFull | None:
    """Bring the owner's totals up to date, unless they would be above the quota."""
    owner = changes[0].key[0]
    streams = sum([one.streams for one in changes])
    size = sum([one.bytes for one in changes])
    if not (streams or size):
        return None
    if quota is not None and (streams > 0 or size > 0):
        full = excess(totals(db, owner), quota, streams=streams, size=size)
        if full is not None:
            return full
    db.execute(_GROW, (owner, streams, size))
    return None


def _change(db: sqlite3.Connection, change: Change, size: int) -> None:
    state, more = change.state, len(change.data)
    if state is None:
        db.execute(_REMOVE, change.key)
        if db.execute(_PURGE, (change.data_id, change.data_id, _PURGED)).rowcount == _PURGED:
            db.execute("INSERT OR IGNORE INTO removed VALUES (?)", (change.data_id,))
        return
    encoded = encode(state)
    if change.version == 0:
        db.execute(_INSERT, (*change.key, state.version, encoded, more, change.due))
    elif change.due is None:
        db.execute(_UPDATE, (state.version, encoded, size + more, *change.key))
    else:
        db.execute(_UPDATE_DUE, (state.version, encoded, size + more, change.due, *change.key))
    if more:
        _put(db, change.data_id, size, change.data)


def _put(db: sqlite3.Connection, data_id: str, at: int, data: bytes) -> None:
    """Add bytes at the position `at`, the end of a data: to its last row, or in rows of their own."""
    room = _JOINED - len(data)
    if at and room > 0 and db.execute(_JOIN, (data, data_id, room, data_id)).rowcount:
        return
    for start in range(0, len(data), _MAX_ROW):
        db.execute(_PUT, (data_id, at + start, data[start : start + _MAX_ROW]))


def purge(db: sqlite3.Connection) -> bool:
    """Delete a piece of what was removed; return whether there is more."""
    found = db.execute("SELECT id FROM removed LIMIT 1").fetchone()
    if found is None:
        return False
    db.execute(BEGIN)
    try:
        if db.execute(_PURGE, (*found, *found, _PURGED)).rowcount < _PURGED:
            db.execute("DELETE FROM removed WHERE id = ?", found)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    return True


def load(db: sqlite3.Connection, key: Key) -> State | None:
    """Return the state of a stream; None if there is none. Raises `StreamUnreadable`."""
    row = db.execute(_LOAD, key).fetchone()
    return None if row is None else decode(row[0])


def version_of(db: sqlite3.Connection, key: Key) -> int:
    """Return the version of a stream, 0 for none."""
    row = db.execute(_CHECK, key).fetchone()
    return 0 if row is None else row[0]


def totals(db: sqlite3.Connection, owner: str) -> Totals:
    """Return what an owner has."""
    row = db.execute(_TOTALS, (owner,)).fetchone()
    return Totals() if row is None else Totals(*row)
