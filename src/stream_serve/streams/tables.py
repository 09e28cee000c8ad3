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

CHECKPOINT: Final = 4_000
"""Pages that are written to the log before they are brought to their place, for which the disk is waited
for: 16 MB of a log that may have 64."""

STEP: Final = 512
"""Pages that one step of giving space back writes, at most about so many."""

_PAGE: Final = 4_096
_TOUCHED: Final = 3
"""Pages of a change beside its bytes: the stream's, the owner's, and the one that they are joined to."""

_MAX_ROW: Final = 262_144
_JOINED: Final = 900
"""Bytes of a row that short appends are joined to: SQLite keeps about so many in the page itself."""

_PURGED: Final = 64
"""Rows of a removed stream that are deleted at once, 16 MiB at most, before others have their turn."""

LATER: Final = "CREATE TABLE IF NOT EXISTS removed (id TEXT PRIMARY KEY) WITHOUT ROWID"
"""The data that is still to be deleted; not in the first files."""

_LOAD: Final = "SELECT state FROM streams WHERE owner = ? AND path = ?"
_VERSION: Final = "SELECT version FROM streams WHERE owner = ? AND path = ?"
_INSERT: Final = "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?)"
_UPDATE: Final = (
    "UPDATE streams SET version = ?, state = ?, size = size + ? "
    "WHERE owner = ? AND path = ? AND version = ?"
)
_UPDATE_DUE: Final = (
    "UPDATE streams SET version = ?, state = ?, size = size + ?, due = ? "
    "WHERE owner = ? AND path = ? AND version = ?"
)
_SIZE: Final = "SELECT size FROM streams WHERE owner = ? AND path = ?"
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
_TOTAL: Final = "REPLACE INTO owners VALUES (?, ?, ?)"


def apply(
    db: sqlite3.Connection,
    changes: Sequence[Change],
    quota: Quota | None,
    owners: dict[str, Totals],
) -> Any:
    """Make changes in the transaction that is open, or none; return what the commit's future gets.

    `owners` has the totals that earlier changes of the transaction have changed; `finish` writes them.
    """
    owner = changes[0].key[0]
    before = owners.get(owner) or totals(db, owner)
    after, full = _grown(before, changes, quota)
    one = changes[0]
    if len(changes) == 1 and full is None and one.version and one.state is not None:
        done = _update(db, one, one.state)
    else:
        done = _change_all(db, changes, full)
    if done is True and after != before:
        owners[owner] = after
    return done


def finish(db: sqlite3.Connection, owners: dict[str, Totals]) -> None:
    """Write what has become of the owners' totals."""
    for owner, now in owners.items():
        db.execute(_TOTAL, (owner, now.streams, now.bytes))


def _grown(
    before: Totals, changes: Sequence[Change], quota: Quota | None
) -> tuple[Totals, StreamsFull | None]:
    """Return the owner's totals with the changes, and the error if they would be above the quota."""
    streams = sum([one.streams for one in changes])
    size = sum([one.bytes for one in changes])
    full = None
    if quota is not None and (streams > 0 or size > 0):
        full = excess(before, quota, streams=streams, size=size)
    return Totals(before.streams + streams, before.bytes + size), full


def _change_all(
    db: sqlite3.Connection, changes: Sequence[Change], full: StreamsFull | None
) -> bool | StreamsFull:
    """Make all changes, or none of them: if a version is another one, or if something is `full`."""
    if any(version_of(db, one.key) != one.version for one in changes):
        return False
    if full is not None:
        return full
    for one in changes:
        _change(db, one)
    return True


def _update(db: sqlite3.Connection, change: Change, state: State) -> bool:
    """Change a stream that is there; return False if its version is another one."""
    more = len(change.data)
    what = (state.version, encode(state), more)
    if change.due is None:
        done = db.execute(_UPDATE, (*what, *change.key, change.version))
    else:
        done = db.execute(_UPDATE_DUE, (*what, change.due, *change.key, change.version))
    if not done.rowcount:
        return False
    if more and not _join(db, change):
        (size,) = db.execute(_SIZE, change.key).fetchone()
        _put(db, change.data_id, size - more, change.data)
    return True


def _change(db: sqlite3.Connection, change: Change) -> None:
    """Make a change, of a stream whose version was looked at."""
    state, more = change.state, len(change.data)
    if state is None:
        db.execute(_REMOVE, change.key)
        if db.execute(_PURGE, (change.data_id, change.data_id, _PURGED)).rowcount == _PURGED:
            db.execute("INSERT OR IGNORE INTO removed VALUES (?)", (change.data_id,))
    elif change.version:
        _update(db, change, state)
    else:
        db.execute(_INSERT, (*change.key, state.version, encode(state), more, change.due))
        if more:
            _put(db, change.data_id, 0, change.data)


def _join(db: sqlite3.Connection, change: Change) -> bool:
    """Add short bytes to the last row of the data; return False if they need rows of their own."""
    room = _JOINED - len(change.data)
    what = (change.data, change.data_id, room, change.data_id)
    return room > 0 and db.execute(_JOIN, what).rowcount > 0


def _put(db: sqlite3.Connection, data_id: str, at: int, data: bytes) -> None:
    """Add bytes at the position `at`, the end of a data, in rows of their own."""
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


def pages(changes: Sequence[Change]) -> int:
    """Return about how many pages changes write."""
    return sum(
        [_TOUCHED + (STEP if one.state is None else len(one.data) // _PAGE) for one in changes]
    )


def checkpoint(db: sqlite3.Connection) -> None:
    """Bring what is in the log to its place, as far as nobody has to be waited for but the disk."""
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    # Whoever writes next begins the log anew, and waits for the disk: here, and not in the loop.
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.execute(f"PRAGMA user_version = {version:d}")


def load(db: sqlite3.Connection, key: Key) -> State | None:
    """Return the state of a stream; None if there is none. Raises `StreamUnreadable`."""
    row = db.execute(_LOAD, key).fetchone()
    return None if row is None else decode(row[0])


def version_of(db: sqlite3.Connection, key: Key) -> int:
    """Return the version of a stream, 0 for none."""
    row = db.execute(_VERSION, key).fetchone()
    return 0 if row is None else row[0]


def totals(db: sqlite3.Connection, owner: str) -> Totals:
    """Return what an owner has."""
    row = db.execute(_TOTALS, (owner,)).fetchone()
    return Totals() if row is None else Totals(*row)
