"""`Outbox`: what a job has said and its stream does not have yet, in order; without input and output.

How it works: `take` makes one append of what waits, which has the next number. It is the same one until
`sent` says that the stream has it: an append that is sent again with its number is not doubled. What
comes meanwhile waits for the next one, so that many messages become few appends. One that is refused as
too large is divided; it and all later ones are half as large then, and so are texts that are too large
alone. `full` is when whoever speaks has to wait.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Final

from msgspec import Struct

from stream_serve.jobs import messages

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
        self._longest = sys.maxsize
        """Bytes above which a text is divided: a longer one was refused."""
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._batch: Batch | None = None
        self._epoch = 0
        self._number = 0
        self.ended = False
        """Whether the last message has been said."""
        self.given_up = False
        """Whether nothing can be sent any more, and what was said is dropped."""
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
        return self.given_up or self._size >= self._most

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
                while len(self._waiting[0]) > self._longest and self._halve():
                    """Until it is as short as those that were taken."""
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

    def probe(self) -> Batch:
        """Return an append without messages after the one that was taken: the stream takes it only if it
        has that one."""
        return Batch(epoch=self._epoch, number=self._number + 1, lease=self._lease)

    def probed(self) -> None:
        """Let go of the append that was taken, and of the probe: the stream has both."""
        self.sent()
        self._number += 1

    def divide(self) -> bool:
        """Put back the append that was taken, which the stream does not have: the next ones are smaller.

        Returns False for one of a single message that cannot be divided, which stays.
        """
        batch = self._batch
        if batch is None or not batch.messages:
            return False
        self._waiting.extendleft(reversed(batch.messages))
        if len(batch.messages) > 1:
            self._append = sum([len(message) for message in batch.messages]) // 2
        elif self._halve():
            self._append = self._longest = len(self._waiting[0])
        else:
            self._waiting.popleft()
            return False
        self._number -= 1
        self._batch = None
        return True

    def _halve(self) -> bool:
        """Make two of the text that is next, which count as one; return False for what is none."""
        message = self._waiting[0]
        parts = messages.halves(message)
        if parts is None:
            return False
        self._waiting.popleft()
        self._waiting.extendleft(reversed(parts))
        self._size += len(parts[0]) + len(parts[1]) - len(message)
        self.kept -= 1
        return True

    def give_up(self, end: bytes) -> Batch:
        """Drop all that the stream does not have; return `end` as the last append instead."""
        self.given_up = True
        self._waiting.clear()
        self._batch = Batch(
            epoch=self._epoch, number=self._number, lease=self._lease, messages=(end,), last=True
        )
        return self._batch

    def sent(self) -> None:
        """Let go of the append that was taken: the stream has it."""
        if self._batch is not None:
            self._size -= sum([len(message) for message in self._batch.messages])
            self.kept += len(self._batch.messages)
            self._batch = None
