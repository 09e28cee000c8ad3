"""Whatever is done to an event log, and in any order: every reader sees every frame once."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.eventlog import BATCH, frames, new_name, rest, settle
from support.properties import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.eventlog.base import EventLog, LogReader, LogWriter


class Follower:
    """A reader, and what it has to have seen so far."""

    def __init__(self, reader: LogReader, after: int) -> None:
        self.reader = reader
        self.cursor = after
        self.closed = False
        self.nudged = False
        self.willing = True
        self.following = False
        self.read: asyncio.Task[bytes | None] | None = None

    def write(self, batch: bytes, written: Sequence[bytes]) -> bool:
        """Take what comes while a read waits, or say that it has to be read."""
        assert batch
        if self.willing:
            self.check(batch, written, finished=False)
        return self.willing

    def check(self, batch: bytes | None, written: Sequence[bytes], *, finished: bool) -> None:
        """Hold what one read gave against what was written."""
        if batch is None:
            assert self.closed or (finished and self.cursor == len(written))
        elif not batch:
            assert self.nudged
        else:
            count = batch.count(b">")
            assert batch == b"".join(written[self.cursor : self.cursor + count])
            assert len(batch) <= BATCH + max(map(len, written))
            self.cursor += count


Act = Literal[
    "append", "finish", "attach", "read", "follow", "turn", "nudge", "close", "cancel", "settle"
]


class Play:
    """A log, its writer and its readers, and a model of what they should do."""

    def __init__(self, log: EventLog, name: str, writer: LogWriter) -> None:
        self.log = log
        self.name = name
        self.writer = writer
        self.written: list[bytes] = []
        self.finished = False
        self.followers: list[Follower] = []

    async def do(self, act: Act, number: int) -> None:
        if act == "append" and not self.finished:
            first = len(self.written) + 1
            more = frames(first, first + number % 4, 30_000 if number > 90 else 0)
            self.written += more
            self.writer.append(more)
        elif act == "finish":
            self.writer.finish()
            self.finished = True
        elif act == "attach":
            after = number % (len(self.written) + 1)
            self.followers.append(Follower(await self.log.read(self.name, after), after))
        elif act == "settle":
            await self.settle()
        elif self.followers:
            await self.move(act, self.followers[number % len(self.followers)])

    async def move(self, act: Act, follower: Follower) -> None:
        if act in {"read", "follow"} and follower.read is None:
            follower.nudged = False
            follower.following = act == "follow"
            write = partial(follower.write, written=self.written) if follower.following else None
            follower.read = asyncio.create_task(follower.reader.read(write))
        elif act == "turn":
            follower.willing = not follower.willing
        elif act == "nudge":
            follower.reader.nudge()
            follower.nudged = True
        elif act == "close":
            follower.reader.close()
            follower.closed = True
        elif act == "cancel" and follower.read is not None:
            follower.read.cancel()
            await self.collect(follower)

    async def settle(self) -> None:
        """Wait for every read that has a reason to end, and see that no other one does."""
        await settle()
        for follower in self.followers:
            if follower.read is None:
                continue
            while follower.following and not follower.read.done():
                if follower.cursor == len(self.written):
                    break
                await asyncio.sleep(0.001)
            due = follower.cursor < len(self.written) or self.finished or follower.closed
            if due or follower.read.done():
                await self.collect(follower)

    async def collect(self, follower: Follower) -> None:
        task, follower.read = follower.read, None
        assert task is not None
        await asyncio.wait({task})
        if not task.cancelled():
            follower.check(task.result(), self.written, finished=self.finished)

    async def end(self) -> None:
        """Finish; every reader that was not closed comes to the end without a gap."""
        self.writer.finish()
        self.finished = True
        await self.settle()
        for follower in self.followers:
            expected = b"" if follower.closed else b"".join(self.written[follower.cursor :])
            assert await rest(follower.reader) == expected
        await self.log.drop(self.name)


ACTS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            ["append"] * 4 + ["read"] * 2 + ["follow"] * 3 + ["settle"] * 3 + ["attach", "attach"]
            + ["nudge", "cancel", "close", "finish", "turn"]
        ),
        st.integers(0, 100),
    ),
    max_size=60,
)  # fmt: skip


@settings(
    derandomize=True,
    max_examples=examples(3),
    # One log serves all examples, each under a name of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(acts=ACTS)
@example(
    acts=[("attach", 0), ("read", 0), ("settle", 0), ("append", 0), ("nudge", 0), ("settle", 0)]
)
@example(
    acts=[("attach", 0), ("read", 0), ("settle", 0), ("append", 0), ("cancel", 0), ("read", 0)]
)
@example(
    acts=[
        *(("append", 0), ("attach", 0), ("read", 0), ("settle", 0), ("follow", 0), ("settle", 0)),
        *(("append", 99), ("append", 99), ("turn", 0), ("append", 0), ("cancel", 0), ("follow", 0)),
    ]
)
async def test_every_reader_sees_every_frame_after_its_cursor_once_whatever_happens(
    log: EventLog, acts: list[tuple[Act, int]]
) -> None:
    name = new_name()
    play = Play(log, name, await log.create(name))
    for act, number in acts:
        await play.do(act, number)
    await play.end()
