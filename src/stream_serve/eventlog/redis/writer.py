"""The writer of a log in Redis: its frames, and which of them Redis has.

How it works: the writer itself sends nothing. It marks itself with the flusher when it has something to
send; the flusher asks it for the next command, and passes the reply to it. See `flusher.py`.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from redis.exceptions import ResponseError

from stream_serve.eventlog.frames import Frames, lengths_of
from stream_serve.eventlog.redis import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Word: TypeAlias = bytes | str | int
    Command: TypeAlias = tuple[Word, ...]
    Reply: TypeAlias = Any
    Request: TypeAlias = tuple[Command, Callable[[Reply], None]]
    """A command, and the function that is called with its reply."""

_log = structlog.stdlib.get_logger("stream_serve.eventlog")

_ENTRY_BYTES: Final = 262_144
"""An entry is closed as soon as its frames are as long as this."""


class Sender(Protocol):
    """The part of the flusher that a writer uses."""

    @property
    def me(self) -> str:
        """The id of this process."""
        ...

    @property
    def live_ttl(self) -> int:
        """For how many milliseconds a log may be written."""
        ...

    @property
    def retention(self) -> int:
        """For how many milliseconds a finished log is kept."""
        ...

    def script(self, name: str, names: Sequence[str], words: Sequence[Word]) -> Command:
        """Return the command that runs a script."""
        ...

    def mark(self, log: RedisLogWriter) -> None:
        """Record that a log has something to send."""
        ...

    def doubt(self, log: RedisLogWriter, reply: Reply = None) -> None:
        """Record that it is not known how much of a log Redis has."""
        ...

    def release(self, log: RedisLogWriter) -> None:
        """Record that Redis has the whole of a log, so that no other process has to finish it."""
        ...

    def lose(self, log: RedisLogWriter) -> None:
        """Record that a log belongs to another process now."""
        ...


def new_epoch(old: str | None = None) -> str:
    """Return the epoch of a new log, or the one after `old`: both begin with the same birth mark."""
    birth = secrets.token_urlsafe(12) if old is None else old.partition(".")[0]
    return f"{birth}.{secrets.token_urlsafe(6)}"


class RedisLogWriter:
    """The writer of a log whose frames are in memory, and within a flush interval in Redis, too."""

    __slots__ = (
        *("_added", "_adding", "_flusher", "_marked", "_saved", "_saving", "_sent_end", "_sent_to"),
        *("_xadd", "ended", "epoch", "fingerprint", "frames", "lost", "more", "name", "next_epoch"),
        *("stored", "summary"),
    )

    def __init__(self, name: str, fingerprint: bytes, epoch: str, flusher: Sender) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.frames = Frames()
        self.summary = b""
        self.lost = False
        self.ended = False  # Redis has the end.
        self.stored = False  # Redis has everything, and forgets it by itself after the retention.
        self.more = False  # The last command did not have room for all the frames.
        self.next_epoch: str | None = None  # The epoch of the log if it has to begin again.
        # The flusher knows that there is something to send, or it must not be told.
        self._marked = False
        self._flusher = flusher
        self._begin(epoch)

    @property
    def last(self) -> int:
        """The number of the newest frame."""
        return self.frames.last

    def append(self, frames: Sequence[bytes]) -> None:
        """Add frames and wake the readers."""
        self.frames.append(frames)
        if not self._marked:
            self._marked = True
            self._flusher.mark(self)

    def skip(self, to: int) -> None:
        """Give up the numbers up to `to`."""
        self.frames.skip(to)

    def finish(self, frames: Sequence[bytes] = ()) -> None:
        """Add the last frames, mark the end and wake the readers."""
        self.frames.finish(frames)
        if not self._marked:
            self._marked = True
            self._flusher.mark(self)

    def summarize(self, summary: Callable[[], bytes]) -> None:
        """Keep a summary beside the log."""
        self.summary = summary()
        if not self._marked:
            self._marked = True
            self._flusher.mark(self)

    def lose(self) -> None:
        """Record that the log belongs to another process now: nothing of it is sent any more."""
        self.lost = self._marked = True

    def hold(self) -> None:
        """Do not tell the flusher of anything new until it calls `resume`."""
        self._marked = True

    def resume(self) -> None:
        """Tell the flusher of new things again, and of what is unsent at once."""
        self._marked = False
        self.go_on()

    @property
    def unsent(self) -> bool:
        """True while Redis does not have everything."""
        if self.lost:
            return False
        more = self._added < len(self.frames.list) or self.frames.finished
        return (more and not self.stored) or self._saved != self.summary

    def request(self) -> Request | None:
        """Return the next request to send, or None. The writer is not marked any more then."""
        self._marked = False
        if self._adding is None:
            self._adding = self._entry()
        if self._adding is not None:
            self.more = self._sent_to < len(self.frames.list)
            return self._adding, self._on_added
        self.more = False
        ending = self.ended and not self.stored
        if not ending and self._saved == self.summary:
            return None
        self._saving = self.summary
        keep = self._flusher.retention if ending else b""
        words = (self.epoch, self._saving, keep, b"", b"", b"")
        return self._flusher.script("end", self._keys(self.epoch), words), self._on_saved

    def verification(self) -> Command:
        """Return the command that finds out how much Redis has. Pass its reply to `verified`."""
        if self.next_epoch is None:
            self.next_epoch = new_epoch(self.epoch)
        flusher = self._flusher
        added = self.frames.number(self._added - 1) if self._added else 0
        words: Command = (
            *(self.epoch, self.next_epoch, flusher.me, self.fingerprint),
            *(flusher.retention if self.ended else flusher.live_ttl, added, int(self.ended)),
        )
        name = self.name
        names = (*self._keys(self.epoch), keys.frames(name, self.next_epoch), keys.erased(name))
        return flusher.script("verify", names, words)

    def verified(self, reply: Reply) -> bool:
        """Go on from what Redis has; return False if the reply is an error."""
        if isinstance(reply, ResponseError):
            return False
        if reply[0] == b"lost":
            self._flusher.lose(self)
            return True
        _, epoch, last, ended = reply
        if epoch.decode() != self.epoch:
            self._begin(epoch.decode())
            _log.warning("Redis had lost a log: it is written again", log=self.name)
        elif self._adding is not None and (
            ended if self._sent_end else self.frames.place(last) >= self._sent_to
        ):
            self._acknowledge()
        self.next_epoch = None
        return True

    def go_on(self) -> None:
        """Have the flusher send what Redis does not have yet."""
        if self.unsent and not self._marked:
            self._marked = True
            self._flusher.mark(self)

    def removal(self) -> list[Command]:
        """Return the commands that make Redis forget the log, if it is still ours."""
        epochs = [epoch for epoch in (self.epoch, self.next_epoch) if epoch is not None]
        words = (b"", 0, b"", b"", b"")
        return [self._flusher.script("end", self._keys(e), (e, *words)) for e in epochs]

    def _begin(self, epoch: str) -> None:
        """Start under an epoch of which Redis has nothing but an empty stream."""
        self.epoch = epoch
        self.ended = self.stored = False
        self._xadd: Command = ("XADD", keys.frames(self.name, epoch), b"NOMKSTREAM")
        self._added = 0
        self._adding: Command | None = None
        self._sent_to = 0
        self._sent_end = False
        self._saved = self._saving = b""

    def _keys(self, epoch: str) -> tuple[str, str]:
        return keys.meta(self.name), keys.frames(self.name, epoch)

    def _entry(self) -> Command | None:
        """Return the command that adds the next entry, or None if there is nothing to add."""
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
        # If numbers were skipped at the very end, an entry without frames says so.
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

    def _on_saved(self, reply: Reply) -> None:
        if self.lost:
            return
        if reply != 1:
            self._flusher.doubt(self, reply)
            return
        self._saved = self._saving
        if self.ended and not self.stored:
            self.stored = True
            self._flusher.release(self)
        self.go_on()
