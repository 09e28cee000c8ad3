"""`RedisPeers`: the processes that share a Redis.

How it works: every process has an inbox, a stream that expires with its lease. A question is an entry in
the inbox of the process that is asked. The reply is an entry in the inbox of the process that asks, and
has the same number. The fields of an entry:

    k  its kind: ask, tell or answer (a reply); empty for an entry that only creates the stream
    f  the id of the process that sends it
    i  the number of the question
    q  the question or the statement
    d  the data
    x  1 for a reply that says only that the process failed

Nobody writes to an inbox that does not exist: its process is gone.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

import structlog

from stream_serve.cluster.redis import keys
from stream_serve.errors import LogUnavailable, PeerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from stream_serve.cluster.base import Respond
    from stream_serve.cluster.redis.client import RedisClient
    from stream_serve.cluster.redis.lease import Lease
    from stream_serve.cluster.redis.listener import Entry, Listener

_REPLY: Final = "answer"
"""The kind of a reply, as processes of earlier versions write it, too."""
_MOST_WAITING: Final = 10_000
"""Entries in the inbox of a process that does not read. Above that the oldest are dropped."""
_TRIM_AFTER: Final = 256
"""Entries that were read, after which the inbox is trimmed."""

_log = structlog.stdlib.get_logger("stream_serve.cluster")


class RedisPeers:
    """The peers of one process."""

    def __init__(self, client: RedisClient, listener: Listener, lease: Lease) -> None:
        self._client = client
        self._listener = listener
        self._lease = lease
        self._inbox = keys.inbox(lease.me)
        self._respond: Respond | None = None
        self._gone: Callable[[str], None] | None = None
        self._seen: frozenset[str] = frozenset()
        self._numbers = itertools.count(1)
        self._asked: dict[str, tuple[str, asyncio.Future[bytes | PeerUnreachable]]] = {}
        self._responding: set[asyncio.Task[None]] = set()
        self._made = False
        self._read = b"0-0"
        self._untrimmed = 0
        self._due = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def open(self, respond: Respond, *, gone: Callable[[str], None]) -> None:
        """Create the inbox and listen. If Redis is away, this is tried again at each beat."""
        self._respond, self._gone = respond, gone
        self._lease.on_beat.append(self._on_beat)
        try:
            await self._make()
        except LogUnavailable as error:
            _log.warning("other processes cannot ask this one yet", error=str(error))
        self._keeper = asyncio.create_task(self._keep(), name="peers")

    async def close(self) -> None:
        """Stop listening, and remove the inbox."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        self._lease.on_beat.remove(self._on_beat)
        self._listener.unwatch(self._inbox)
        for process, future in self._asked.values():
            _settle(future, PeerUnreachable(f"this process ends before {process} has replied"))
        tasks = [keeper, *self._responding]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        try:
            await self._client.run("DEL", self._inbox)
        except LogUnavailable as error:
            _log.warning("the inbox was not removed: it expires by itself", error=str(error))

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        """Put the question into the inbox of a process, and wait for the reply in our own."""
        number = str(next(self._numbers))
        future: asyncio.Future[bytes | PeerUnreachable]
        future = asyncio.get_running_loop().create_future()
        self._asked[number] = process, future
        try:
            async with asyncio.timeout(timeout):
                if process == self._lease.me:
                    return await self._reply(process, question, data)
                await self._send(process, k="ask", f=self._lease.me, i=number, q=question, d=data)
                reply = await future
        except TimeoutError:
            raise PeerUnreachable(f"{process} did not reply within {timeout:g} s") from None
        finally:
            del self._asked[number]
        if isinstance(reply, PeerUnreachable):
            raise reply
        return reply

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        """Put the statement into the inbox of a process, if it has one."""
        me = self._lease.me
        if process == me:
            self._start(self._handle(me, "", statement, data))
            return
        try:
            await self._send(process, k="tell", f=me, i="", q=statement, d=data)
        except PeerUnreachable:
            _log.debug("a process that is gone was not told", process=process, statement=statement)

    def _on_beat(self) -> None:
        """Find out which processes are gone, and have the inbox kept if it needs that."""
        if not self._lease.inbox or not self._made:
            self._due.set()
        alive = self._lease.alive
        if not self._lease.steady:
            # After an outage the other processes must have the time to come back.
            self._seen |= alive
            return
        left, self._seen = self._seen - alive, alive
        for process in left:
            for asked, future in self._asked.values():
                if asked == process:
                    _settle(future, PeerUnreachable(f"{process} is gone"))
            if self._gone is not None:
                self._gone(process)

    async def _keep(self) -> None:
        """Create the inbox and trim it when that is due. What fails is tried again at a later beat."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                if not self._lease.inbox or not self._made:
                    await self._make()
                if self._untrimmed >= _TRIM_AFTER:
                    await self._trim()
            except LogUnavailable as error:
                _log.debug("the inbox is kept again at the next beat", error=str(error))
            except Exception:  # noqa: BLE001
                # Without this task the process would hear nothing from the others.
                _log.exception("the inbox was not kept, by a defect")

    async def _make(self) -> None:
        """Create the inbox, and listen from its beginning."""
        run, ours = self._client.run, self._inbox
        # The beat may have looked before the inbox was created.
        if self._made and await run("XADD", ours, "NOMKSTREAM", "*", "k", "") is not None:
            return
        self._made = False
        # An earlier attempt may have created the stream without our knowing. Its entries are not read
        # twice, because nobody listens until this attempt has succeeded.
        self._listener.unwatch(ours)
        pipeline = self._client.redis.pipeline(transaction=False)
        pipeline.xadd(ours, {b"k": b""})
        pipeline.pexpire(ours, int(self._lease.seconds * 1000))
        await self._client.call(pipeline.execute())
        self._listener.watch(ours, b"0-0", self._receive)
        self._made = True

    async def _trim(self) -> None:
        await self._client.run("XTRIM", self._inbox, "MINID", self._read)
        self._untrimmed = 0

    async def _send(self, process: str, **fields: str | bytes) -> None:
        """Add an entry to the inbox of a process. Raises `PeerUnreachable` if there is no inbox."""
        words = [word for field in fields.items() for word in field]
        trim = ("NOMKSTREAM", "MAXLEN", "~", _MOST_WAITING)
        if await self._client.run("XADD", keys.inbox(process), *trim, "*", *words) is None:
            raise PeerUnreachable(f"{process} is gone")

    def _receive(self, entries: list[Entry]) -> None:
        """Handle the questions and statements that arrived, and pass on the replies."""
        self._read = entries[-1][0]
        self._untrimmed += len(entries)
        if self._untrimmed >= _TRIM_AFTER:
            self._due.set()
        for _, fields in entries:
            kind, data = fields.get(b"k"), fields.get(b"d", b"")
            number, sender, question = (
                fields.get(field, b"").decode(errors="replace") for field in (b"i", b"f", b"q")
            )
            if kind == _REPLY.encode() and number in self._asked:
                process, future = self._asked[number]
                failed = PeerUnreachable(f"{process} failed to reply")
                _settle(future, failed if fields.get(b"x") else data)
            elif kind in {b"ask", b"tell"}:
                self._start(self._handle(sender, number, question, data))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="peers-respond")
        self._responding.add(task)
        task.add_done_callback(self._responding.discard)

    async def _handle(self, sender: str, number: str, question: str, data: bytes) -> None:
        """Handle a question or a statement; a question has a `number`, and its reply is sent."""
        try:
            reply, failed = await self._reply(sender, question, data), ""
        except PeerUnreachable:
            reply, failed = b"", "1"
        if not number:
            return
        try:
            await self._send(sender, k=_REPLY, i=number, d=reply, x=failed)
        except (LogUnavailable, PeerUnreachable) as error:
            _log.warning(
                "a reply did not reach the process that asked", question=question, error=str(error)
            )

    async def _reply(self, sender: str, question: str, data: bytes) -> bytes:
        """Return our reply to a question. Raises `PeerUnreachable` if there is none."""
        if self._respond is None:
            raise PeerUnreachable("this process does not reply yet")
        try:
            return await self._respond(sender, question, data)
        except Exception as error:
            # The cause concerns this process alone; the process that asked learns only that it failed.
            _log.exception("a question of another process failed", question=question)
            raise PeerUnreachable(f"{self._lease.me} failed to reply") from error


def _settle(
    future: asyncio.Future[bytes | PeerUnreachable], reply: bytes | PeerUnreachable
) -> None:
    if not future.done():
        future.set_result(reply)
