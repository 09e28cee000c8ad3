"""The contract of a dialect: how one API tells of a run, event by event.

How it works: the event log has the events of a run, which all dialects share. A `Translation` is one
reader's: it is given each event from the first one on, so that it knows what came before, and returns
what its reader gets for it. So a reader may join anywhere: what comes before its cursor is only read.

A reader that goes on where the same connection ended has all that came before (`Last-Event-ID`). For one
that is new at its cursor, `Translation.joined` sends first what makes the rest valid, such as the
beginning of the message that it is in the middle of. Some dialects have to say more then: what a thread
has so far, all at once. Their translations are `Retelling`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, runtime_checkable

from stream_serve.events import codec
from stream_serve.web.dialects.pieces import coalesced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stream_serve.events.types import Error, Event


class Translation(Protocol):
    """One reader's view of a run."""

    def add(self, number: int, event: Event) -> bytes:
        """Return what the reader gets for an event, which has this number; b"" for nothing."""
        ...

    def joined(self) -> bytes:
        """Return what a new reader gets at its cursor, before the events that follow it."""
        ...

    def failed(self, error: Error) -> bytes:
        """Return how the reader is told that its stream ends without the run's end."""
        ...


@runtime_checkable
class Retelling(Translation, Protocol):
    """A reader's view that begins by saying what the run has said so far, wherever the reader joins."""

    def retell(self, past: Sequence[tuple[int, Event]], *, replay: bool) -> bytes:
        """Return what a new reader gets at its place, for all events up to there, with their numbers.

        With `replay` the reader has no cursor: it is told of each event. Else it is only told how things
        stand.
        """
        ...


class Dialect(Protocol):
    """How an API tells of a run.

    `name` is what callers write in `dialect=`; `headers` are those of its streams, beside those that
    every stream has.
    """

    name: ClassVar[str]
    headers: Mapping[str, str]

    def translation(self, run_id: str) -> Translation:
        """Return the translation of a run for a reader, as a stream that this API would send."""
        ...


class _Newest:
    """The newest frames of any run with their events: its readers are given the same bytes in turn."""

    __slots__ = ("_data", "_events")

    def __init__(self) -> None:
        self._data = b""
        self._events: Sequence[tuple[int, Event]] = ()

    def read(self, data: bytes) -> Sequence[tuple[int, Event]]:
        """Return the events in whole frames, with their numbers."""
        if data is not self._data:
            self._events = codec.split(data)
            self._data = data
        return self._events


events_in: Final = _Newest().read
"""Returns the events in whole frames, with their numbers; see `_Newest`."""


@cache
def _retells(kind: type[Translation]) -> bool:
    """Return whether translations of a kind are `Retelling`: to look at one takes as long as a token."""
    return issubclass(kind, Retelling)


class Translator:
    """Turns the frames of a run's log into what one reader of a dialect gets.

    `after` is the reader's cursor: events up to this number are only read. `resumed` says that the reader
    is the one that had them. `newest` is the number of the newest event that there was when the reader
    came: one without a cursor joins there, if the dialect retells what came before. With `coalesce`
    pieces that come together, such as those before the live point, become one.
    """

    __slots__ = (
        "_after",
        "_coalesce",
        "_joined",
        "_kept",
        "_passed",
        "_past",
        "_replay",
        "_translation",
        "_write",
    )

    def __init__(
        self,
        translation: Translation,
        *,
        after: int = 0,
        resumed: bool = False,
        newest: int = 0,
        coalesce: bool = False,
    ) -> None:
        self._translation = translation
        self._coalesce = coalesce
        retells = _retells(type(translation)) and not resumed
        self._replay = retells and after == 0
        self._after = newest if self._replay else after
        self._joined = resumed or self._after == 0
        self._passed = self._after == 0
        self._past: list[tuple[int, Event]] | None = [] if retells else None
        self._kept: bytes | None = None
        self._write: Callable[[bytes], bool] | None = None

    def into(self, write: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
        """Return a function like `write`, for frames of the log."""
        self._write = write
        return self._pass

    def translate(self, data: bytes) -> bytes:
        """Return what the reader gets for whole frames of the log."""
        events = events_in(data)
        add = self._translation.add if self._passed else self._before
        if len(events) == 1:
            return add(*events[0])
        if self._coalesce:
            events = coalesced(events, self._after)
        return b"".join([add(number, event) for number, event in events])

    def take(self, data: bytes) -> bytes:
        """Return what the reader gets for frames, which `write` may have refused before."""
        kept, self._kept = self._kept, None
        return self.translate(data) if kept is None else kept

    def failed(self, error: Error) -> bytes:
        """Return how the reader is told that its stream ends without the run's end.

        One that has not come to its place gets what was read up to here first: what an error says of it,
        such as the number of the last event, is then true.
        """
        said = b"" if self._joined or self._past is not None else self._translation.joined()
        self._joined = True
        return said + self._translation.failed(error)

    def _before(self, number: int, event: Event) -> bytes:
        """Return what the reader gets for an event up to its place, or for the first one after it."""
        said = b""
        if number <= self._after:
            if self._past is None:
                self._translation.add(number, event)
            else:
                self._past.append((number, event))
        if number >= self._after and not self._joined:
            self._joined = True
            said = self._join()
        if number > self._after:
            self._passed = True
            said += self._translation.add(number, event)
        return said

    def _join(self) -> bytes:
        translation, past, self._past = self._translation, self._past, None
        if past is None or not isinstance(translation, Retelling):
            return translation.joined()
        return translation.retell(past, replay=self._replay)

    def _pass(self, data: bytes) -> bool:
        said = self.translate(data)
        if not said or self._write is None or self._write(said):
            return True
        self._kept = said
        return False
