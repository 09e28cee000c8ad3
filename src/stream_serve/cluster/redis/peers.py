"""`RedisPeers`: the processes that share a Redis.

How it works: every process has an inbox, a stream that ends with its lease. A question is an entry in
the inbox of who is asked; the answer is one in the inbox of who asked, with the same number. The
fields: `k` what it is (ask, tell or answer; empty for an entry that only makes the stream), `f` the
process that it comes from, `i` the number, `q` the question, `d` the data, `x` 1 for an answer that
could not be made. Nobody writes to an inbox that is not there: its process is gone.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

import structlog

from stream_serve.cluster.redis import keys
from stream_serve.cluster.redis.scripts import load
from stream_serve.errors import LogUnavailable, PeerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from stream_serve.cluster.base import Answer
    from stream_serve.cluster.redis.client import Link
    from stream_serve.cluster.redis.lease import Lease
    from stream_serve.cluster.redis.listener import Entry, Listener

_ENTER: Final = load("stream_serve.quotas", "enter")
_MOST_WAITING: Final = 10_000
"""Entries of an inbox whose process does not read; the oldest give way."""
_TRIM_AFTER: Final = 256
_AT_ONCE: Final = 500
"""Counts that are sent in one pipeline."""

_NO_BOUND: Final = 1_000_000_000

_log = structlog.stdlib.get_logger("stream_serve.stream_serve.cluster.redis.peers")


class RedisPeers:
    """The peers of one process. `ttl` is for how many seconds a run counts whose process was killed
    before it could `leave`: longer than any run."""

    def __init__(self, link: Link, listener: Listener, lease: Lease, *, ttl: float) -> None:
        self._link = link
        self._listener = listener
        self._lease = lease
        self._ttl = int(ttl * 1000)
        self._inbox = keys.inbox(lease.me)
        self._answer: Answer | None = None
        self._gone: Callable[[str], None] | None = None
        self._seen: frozenset[str] = frozenset()
        self._numbers = itertools.count(1)
        self._asked: dict[str, tuple[str, asyncio.Future[bytes | PeerUnreachable]]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._made = False
        self._read = b"0-0"
        self._untrimmed = 0
        self._entered: set[tuple[str, str]] = set()
        # What Redis is still to be told: True counts, False counts no more; the newest one holds.
        self._untold: dict[tuple[str, str], bool] = {}
        self._due = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def open(self, answer: Answer, *, gone: Callable[[str], None]) -> None:
        """Make the inbox and listen. While Redis is away that is tried again at each beat."""
        self._answer, self._gone = answer, gone
        self._lease.on_beat.append(self._beat)
        self._lease.on_missing.append(self._count_again)
        try:
            await self._make()
        except LogUnavailable as error:
            _log.warning("other processes cannot ask this one yet", error=str(error))
        self._keeper = asyncio.create_task(self._keep(), name="peers")

    async def close(self) -> None:
        """Listen no more, and count the runs no more that were left."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        self._lease.on_beat.remove(self._beat)
        self._lease.on_missing.remove(self._count_again)
        self._listener.unwatch(self._inbox)
        for process, future in self._asked.values():
            _settle(future, PeerUnreachable(f"{process} is not waited for: this process ends"))
        tasks = [keeper, *self._answering]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        try:
            await self._send_counts()
            await self._link.run("DEL", self._inbox)
        except LogUnavailable as error:
            _log.warning("the inbox was not removed: it ends by itself", error=str(error))

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        """Put the question into the process's inbox, and wait for the answer in ours."""
        number = str(next(self._numbers))
        future: asyncio.Future[bytes | PeerUnreachable]
        future = asyncio.get_running_loop().create_future()
        self._asked[number] = process, future
        try:
            async with asyncio.timeout(timeout):
                if process == self._lease.me:
                    return await self._make_answer(process, question, data)
                await self._send(process, k="ask", f=self._lease.me, i=number, q=question, d=data)
                answer = await future
        except TimeoutError:
            raise PeerUnreachable(f"{process} did not answer within {timeout:g} s") from None
        finally:
            del self._asked[number]
        if isinstance(answer, PeerUnreachable):
            raise answer
        return answer

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        """Put the statement into the process's inbox, if it has one."""
        me = self._lease.me
        if process == me:
            self._start(self._heed(me, "", statement, data))
            return
        try:
            await self._send(process, k="tell", f=me, i="", q=statement, d=data)
        except PeerUnreachable:
            _log.debug("a process that is gone was not told", process=process, statement=statement)

    async def enter(self, owner: str, name: str, most: int) -> bool:
        """Count a run of an owner's, over all processes."""
        self._untold.pop((owner, name), None)
        script = self._link.script(_ENTER)
        entered = await self._link.call(script([keys.owner(owner)], [name, most, self._ttl]))
        if entered:
            self._entered.add((owner, name))
        return bool(entered)

    def leave(self, owner: str, name: str) -> None:
        """Count a run no more, as soon as Redis can be told."""
        self._entered.discard((owner, name))
        self._untold[owner, name] = False
        self._due.set()

    def _beat(self) -> None:
        """See who is gone, and do what is still to be done."""
        if not self._lease.inbox or not self._made or self._untold:
            self._due.set()
        alive = self._lease.alive
        if not self._lease.steady:
            # After an outage the others are to come back first.
            self._seen |= alive
            return
        left, self._seen = self._seen - alive, alive
        for process in left:
            for asked, future in self._asked.values():
                if asked == process:
                    _settle(future, PeerUnreachable(f"{process} is gone"))
            if self._gone is not None:
                self._gone(process)

    def _count_again(self) -> None:
        """Redis may have lost the counts: say them all again."""
        self._untold = dict.fromkeys(self._entered, True) | self._untold
        self._due.set()

    async def _keep(self) -> None:
        """Do what is to be done in Redis and nobody waits for; what fails is done at a later beat."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                if not self._lease.inbox or not self._made:
                    await self._make()
                if self._untrimmed >= _TRIM_AFTER:
                    await self._trim()
                await self._send_counts()
            except LogUnavailable as error:
                _log.debug("Redis is away: it is tried again at the next beat", error=str(error))
            except Exception:  # noqa: BLE001
                # The task is to go on whatever this is: without it this process hears nothing.
                _log.exception("the inbox could not be kept")

    async def _make(self) -> None:
        """Make the inbox, and listen from its beginning."""
        run, ours = self._link.run, self._inbox
        # What a beat saw may be older than what was made since.
        if self._made and await run("XADD", ours, "NOMKSTREAM", "*", "k", "") is not None:
            return
        self._made = False
        # Whether a stream was made by an attempt whose end is not known or by this one: nothing of
        # it has been read, if nobody listens until it is there.
        self._listener.unwatch(ours)
        pipeline = self._link.client.pipeline(transaction=False)
        pipeline.xadd(ours, {b"k": b""})
        pipeline.pexpire(ours, int(self._lease.seconds * 1000))
        await self._link.call(pipeline.execute())
        self._listener.watch(ours, b"0-0", self._take)
        self._made = True

    async def _trim(self) -> None:
        await self._link.run("XTRIM", self._inbox, "MINID", self._read)
        self._untrimmed = 0

    async def _send_counts(self) -> None:
        script = self._link.script(_ENTER)
        while self._untold:
            told = dict(itertools.islice(self._untold.items(), _AT_ONCE))
            pipeline = self._link.client.pipeline(transaction=False)
            for (owner, name), counts in told.items():
                if counts:
                    script.queue(pipeline, [keys.owner(owner)], [name, _NO_BOUND, self._ttl])
                else:
                    pipeline.zrem(keys.owner(owner), name)
            await self._link.call(pipeline.execute())
            for key, counts in told.items():
                # Unless there is newer to tell of it.
                if self._untold.get(key) is counts:
                    del self._untold[key]

    async def _send(self, process: str, **fields: str | bytes) -> None:
        """Add an entry to a process's inbox. Raises `PeerUnreachable` if it has none."""
        words = [word for field in fields.items() for word in field]
        trim = ("NOMKSTREAM", "MAXLEN", "~", _MOST_WAITING)
        if await self._link.run("XADD", keys.inbox(process), *trim, "*", *words) is None:
            raise PeerUnreachable(f"{process} is gone")

    def _take(self, entries: list[Entry]) -> None:
        """Answer the questions that came, and hand over the answers."""
        self._read = entries[-1][0]
        self._untrimmed += len(entries)
        if self._untrimmed >= _TRIM_AFTER:
            self._due.set()
        for _, fields in entries:
            kind, data = fields.get(b"k"), fields.get(b"d", b"")
            number, sender, question = (
                fields.get(field, b"").decode(errors="replace") for field in (b"i", b"f", b"q")
            )
            if kind == b"answer" and number in self._asked:
                process, future = self._asked[number]
                failed = PeerUnreachable(f"{process} failed to answer")
                _settle(future, failed if fields.get(b"x") else data)
            elif kind in {b"ask", b"tell"}:
                self._start(self._heed(sender, number, question, data))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="peers-answer")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _heed(self, sender: str, number: str, question: str, data: bytes) -> None:
        """Make the answer, and send it where one is waited for (`number`)."""
        try:
            answer, failed = await self._make_answer(sender, question, data), ""
        except PeerUnreachable:
            answer, failed = b"", "1"
        if not number:
            return
        try:
            await self._send(sender, k="answer", i=number, d=answer, x=failed)
        except (LogUnavailable, PeerUnreachable) as error:
            _log.warning("an answer did not reach who asked", question=question, error=str(error))

    async def _make_answer(self, sender: str, question: str, data: bytes) -> bytes:
        if self._answer is None:
            raise PeerUnreachable("this process does not answer yet")
        try:
            return await self._answer(sender, question, data)
        except Exception as error:
            # What goes wrong here is this process's; who asked hears no more than that it did.
            _log.exception("another process's question was not answered", question=question)
            raise PeerUnreachable(f"{self._lease.me} failed to answer") from error


def _settle(
    future: asyncio.Future[bytes | PeerUnreachable], answer: bytes | PeerUnreachable
) -> None:
    if not future.done():
        future.set_result(answer)
