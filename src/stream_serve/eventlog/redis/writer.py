"""The writer of a log in Redis: its frames, and what Redis has of them.

How it works: the writer itself sends nothing. It tells the flusher that there is something new, which
asks it for the next command and hands it the answer; see there.
"""

from __future__ import annotations

import secrets
import struct
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from redis.exceptions import ResponseError

from stream_serve.cluster.redis import keys
from stream_serve.eventlog.frames import Frames

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Word: TypeAlias = bytes | str | int
    Command: TypeAlias = tuple[Word, ...]
    Reply: TypeAlias = Any
    Asked: TypeAlias = tuple[Command, Callable[[Reply], None]]

_log = structlog.stdlib.get_logger("stream_serve.eventlog")

_ENTRY_BYTES: Final = 262_144


class Sender(Protocol):
    """What a writer needs of the flusher."""

    @property
    def me(self) -> str:
        """The id of this process."""
        ...

    @property
    def live_ttl(self) -> int:
        """How long a log may be written, in milliseconds."""
        ...

    @property
    def retention(self) -> int:
        """How long a finished log is kept, in milliseconds."""
        ...

    def script(self, name: str, names: Sequence[str], words: Sequence[Word]) -> Command:
        """Give the command that runs a script."""
        ...

    def mark(self, log: RedisLogWriter) -> None:
        """Take note that a log has something to send."""
        ...

    def doubt(self, log: RedisLogWriter, reply: Reply = None) -> None:
        """Take note that it is not known what Redis has of a log."""
        ...

    def release(self, log: RedisLogWriter) -> None:
        """Take note that a log has its end."""
        ...

    def lose(self, log: RedisLogWriter) -> None:
        """Take note that a log is another process's."""
        ...


def new_epoch(old: str | None = None) -> str:
    """Make an epoch: of a new log, or the next one of the same log, which begins as the old one."""
    birth = secrets.token_urlsafe(12) if old is None else old.partition(".")[0]
    return f"{birth}.{secrets.token_urlsafe(6)}"


def lengths_of(frames: Sequence[bytes]) -> bytes:
    """Give the field `n` of an entry."""
    return struct.pack(f"<{len(frames)}I", *map(len, frames))


class RedisLogWriter:
    """The writer of a log whose frames are in memory, and soon in Redis, too."""

    __slots__ = (
        *("_added", "_adding", "_flusher", "_noted", "_noting", "_sent_end", "_sent_to", "_xadd"),
        *(
            "about",
            "cut",
            "dirty",
            "ended",
            "epoch",
            "frames",
            "kept_note",
            "lost",
            "name",
            "next_epoch",
        ),
        "settled",
    )

    def __init__(self, name: str, about: bytes, epoch: str, flusher: Sender) -> None:
        self.name = name
        self.about = about
        self.frames = Frames()
        self.kept_note = b""
        self.lost = False
        self.dirty = False  # Something is to be sent, and the flusher knows.
        self.ended = False  # Redis has the end.
        self.settled = False  # Redis has everything, and will forget it by itself.
        self.cut = False  # The entry that was sent is as large as one may be: more is there.
        self.next_epoch: str | None = None  # Where the log begins again if that was necessary.
        self._flusher = flusher
        self._begin(epoch)

    @property
    def last(self) -> int:
        """The number of the newest frame."""
        return self.frames.last

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames and wake the readers."""
        self.frames.append(frames)
        if not self.dirty:
            self._flusher.mark(self)

    def skip(self, to: int) -> None:
        """Leave out numbers."""
        self.frames.skip(to)

    def finish(self) -> None:
        """Mark the end and wake the readers."""
        self.frames.finish()
        if not self.dirty:
            self._flusher.mark(self)

    def note(self, note: bytes) -> None:
        """Keep a note."""
        self.kept_note = note
        if not self.dirty:
            self._flusher.mark(self)

    def lose(self) -> None:
        """Send nothing any more."""
        self.lost = self.dirty = True

    @property
    def waits(self) -> bool:
        """Whether something is not in Redis yet."""
        if self.lost:
            return False
        more = self._added < len(self.frames.list) or self.frames.finished
        return (more and not self.settled) or self._noted != self.kept_note

    def command(self) -> Asked | None:
        """Give what is to be sent next, and what is to be called with the answer."""
        if self._adding is None:
            self._adding = self._entry()
        if self._adding is not None:
            self.cut = self._sent_to < len(self.frames.list)
            return self._adding, self._on_added
        self.cut = False
        ending = self.ended and not self.settled
        if not ending and self._noted == self.kept_note:
            return None
        self._noting = self.kept_note
        keep = self._flusher.retention if ending else b""
        words = (self.epoch, self._noting, keep, b"", b"", b"")
        return self._flusher.script("end", self._keys(self.epoch), words), self._on_noted

    def question(self) -> Command:
        """Give what is to be sent when it is in doubt how much Redis has."""
        if self.next_epoch is None:
            self.next_epoch = new_epoch(self.epoch)
        flusher = self._flusher
        added = self.frames.number(self._added - 1) if self._added else 0
        words: Command = (
            *(self.epoch, self.next_epoch, flusher.me, self.about),
            *(flusher.retention if self.ended else flusher.live_ttl, added, int(self.ended)),
        )
        names = (*self._keys(self.epoch), keys.frames(self.name, self.next_epoch))
        return flusher.script("verify", names, words)

    def verified(self, reply: Reply) -> bool:
        """Take the answer to the question; False when it is none."""
        if isinstance(reply, ResponseError):
            return False
        if reply[0] == b"lost":
            self._flusher.lose(self)
            return True
        _, epoch, last, ended = reply
        if epoch.decode() != self.epoch:
            self._begin(epoch.decode())
            _log.warning("a log that Redis had lost is written again", log=self.name)
        elif self._adding is not None and (
            ended if self._sent_end else self.frames.place(last) >= self._sent_to
        ):
            self._acknowledge()
        self.next_epoch = None
        return True

    def go_on(self) -> None:
        """Have what is not in Redis yet sent."""
        if self.waits and not self.dirty:
            self._flusher.mark(self)

    def removal(self) -> list[Command]:
        """Give what makes Redis forget the log, if it is ours."""
        epochs = [epoch for epoch in (self.epoch, self.next_epoch) if epoch is not None]
        words = (b"", 0, b"", b"", b"")
        return [self._flusher.script("end", self._keys(e), (e, *words)) for e in epochs]

    def _begin(self, epoch: str) -> None:
        """Have nothing in Redis but an empty stream."""
        self.epoch = epoch
        self.ended = self.settled = False
        self._xadd: Command = ("XADD", keys.frames(self.name, epoch), b"NOMKSTREAM")
        self._added = 0
        self._adding: Command | None = None
        self._sent_to = 0
        self._sent_end = False
        self._noted = self._noting = b""

    def _keys(self, epoch: str) -> tuple[str, str]:
        return keys.meta(self.name), keys.frames(self.name, epoch)

    def _entry(self) -> Command | None:
        """Give the next entry, or None when there is nothing for one."""
        frames, start = self.frames, self._added
        total = len(frames.list)
        if start == total and (self.ended or not frames.finished):
            return None
        stretch = frames.stretch(start)
        end, size = start, 0
        while end < stretch and size < _ENTRY_BYTES:
            size += len(frames.list[end])
            end += 1
        batch = frames.list[start:end]
        first = frames.number(start) if batch else frames.last + 1
        before = frames.number(start - 1) if start else 0
        words: list[Word] = [*self._xadd, b"%d-0" % first, b"d"]
        if len(batch) == 1:
            words.append(batch[0])
        else:
            words += (b"".join(batch), b"n", lengths_of(batch))
        newest = frames.number(end - 1) if batch else frames.last
        # Numbers that were skipped at the very end are told by an entry without frames.
        self._sent_end = frames.finished and newest == frames.last
        self._sent_to = end
        if self._sent_end:
            words += (b"e", b"1")
        if first != before + 1:
            words += (b"g", b"1")
        return tuple(words)

    def _on_added(self, reply: Reply) -> None:
        if self.lost:
            return
        if isinstance(reply, bytes):
            self._acknowledge()
            self.go_on()
        else:
            self._flusher.doubt(self, reply)

    def _acknowledge(self) -> None:
        self._added = self._sent_to
        self.ended = self._sent_end
        self._adding = None

    def _on_noted(self, reply: Reply) -> None:
        if self.lost:
            return
        if reply != 1:
            self._flusher.doubt(self, reply)
            return
        self._noted = self._noting
        if self.ended and not self.settled:
            self.settled = True
            self._flusher.release(self)
        self.go_on()
