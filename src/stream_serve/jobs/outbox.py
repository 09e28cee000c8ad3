"""`Outbox`: what a job has said and its stream does not have yet, in order; without input and output.

How it works: `take` makes one append of what waits, which has the next number. It is the same one until
`sent` says that the stream has it: an append that is sent again with its number is not doubled. What
comes meanwhile waits for the next one, so that many messages become few appends. `full` is when whoever
speaks has to wait.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec import Struct

MAX_WAITING: Final = 1_048_576
"""Bytes that may wait: so much is lost at most with the process."""

MAX_APPEND: Final = 262_144
"""Bytes of one append; one message may be larger."""


class Batch(Struct, frozen=True, kw_only=True):
    """One append of a job: its messages, which may be none, and whether they are the last.

    `epoch` is that of the worker, `number` the append's own in it. `lease` is how many seconds the worker
    may be silent from now on.
    """

    epoch: int
    number: int
    lease: float
    messages: tuple[bytes, ...] = ()
    last: bool = False


class Outbox:
    """Messages that wait. `most` bytes may wait before `full`, `append` of them are sent at once."""

    def __init__(self, *, lease: float, most: int = MAX_WAITING, append: int = MAX_APPEND) -> None:
        self._lease = lease
        self._most = most
        self._append = append
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._batch: Batch | None = None
        self._epoch = 0
        self._number = 0
        self.ended = False
        """Whether the last message has been said."""
        self.said = 0
        """How many messages there were."""
        self.kept = 0
        """How many of them the stream has."""

    def begin(self, epoch: int) -> Batch:
        """Return the first append, which has no messages: it says who writes now."""
        self._epoch, self._number = epoch, 0
        return Batch(epoch=epoch, number=0, lease=self._lease)

    @property
    def full(self) -> bool:
        """Whether so much waits that no more should come."""
        return self._size >= self._most

    @property
    def waits(self) -> bool:
        """Whether there is something to send."""
        return bool(self._waiting) or self._batch is not None

    def put(self, message: bytes, *, last: bool = False) -> None:
        """Let a message wait; after the last there is none."""
        if self.ended:
            raise RuntimeError("the job has said that it ended: there is nothing after that")
        self._waiting.append(message)
        self._size += len(message)
        self.said += 1
        self.ended = last

    def take(self) -> Batch:
        """Return the append that is to be sent now; it has no messages where none waits."""
        if self._batch is None:
            taken: list[bytes] = []
            room = self._append
            while self._waiting and (not taken or len(self._waiting[0]) <= room):
                taken.append(self._waiting.popleft())
                room -= len(taken[-1])
            self._number += 1
            self._batch = Batch(
                epoch=self._epoch,
                number=self._number,
                lease=self._lease,
                messages=tuple(taken),
                last=self.ended and not self._waiting,
            )
        return self._batch

    def sent(self) -> None:
        """Let go of the append that was taken: the stream has it."""
        if self._batch is not None:
            self._size -= sum([len(message) for message in self._batch.messages])
            self.kept += len(self._batch.messages)
            self._batch = None
