"""`Job`: what a program is while it writes to its stream, for asyncio.

How it works: what is said goes to the `Writer`, which sends it in the background. The end of the block is
the one typed end of the stream, and waits until everything is there. A body that does not come to its
end, since its process was killed, has its end said for it when its lease is over.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from stream_serve.errors import StreamServeError
from stream_serve.jobs import messages
from stream_serve.jobs.errors import Stopped
from stream_serve.jobs.writer import LEASE, Writer

if TYPE_CHECKING:
    from types import TracebackType

    from stream_serve.jobs.base import Connect
    from stream_serve.jobs.patience import Patience

    OnStop = Literal["check", "cancel"]

MAX_LEASE: Final = 86_400.0
_STOPPED: Final = "somebody has asked the job to stop"


class Job:
    """A job, to be used in `async with`; its methods belong to that block.

    `lease` is how many seconds its process may be silent before the job is taken for dead; it is renewed
    in the background, for which the event loop has to run. `on_stop="cancel"` cancels the block where it
    waits, as a timeout does, and leaves it with `Stopped`; otherwise a stop is seen by `check`. `again`
    begins a job anew that has ended.
    """

    def __init__(
        self,
        name: str,
        connect: Connect,
        *,
        again: bool = False,
        lease: float = LEASE,
        on_stop: OnStop = "check",
        patience: Patience | None = None,
    ) -> None:
        if not 0 < lease <= MAX_LEASE:
            raise ValueError(f"lease: it should be seconds, above 0, at most {MAX_LEASE:.0f}")
        self.name = name
        self._connect = connect
        self._again = again
        self._lease = lease
        self._patience = patience
        self._cancels = on_stop == "cancel"
        self._exits = AsyncExitStack()
        self._opened: Writer | None = None
        self._task: asyncio.Task[Any] | None = None
        self._canceller: asyncio.Task[None] | None = None
        self._cancelling = 0
        self._cancelled = False

    @property
    def stopping(self) -> bool:
        """Whether somebody has asked it to stop."""
        return self._writer.stopped.is_set()

    @property
    def resumed(self) -> bool:
        """Whether the stream was there before: an earlier worker may have written to it."""
        return self._writer.resumed

    async def progress(self, value: float, content: str | None = None) -> None:
        """Say how far it is, from 0 to 1, and at what. Raises as `log`, `ValueError`."""
        await self._writer.put(messages.progress(value, content))

    async def log(self, content: str, *, source: str | None = None) -> None:
        """Write a line.

        It is on its way when this returns, and kept when `flush` or the block has ended. Where more waits
        than may, this waits, too. Raises `JobTaken`, `JobEnded`, and what keeps the stream from growing.
        """
        await self._writer.put(messages.log(content, source=source))

    async def write(self, data: Any) -> None:
        """Write anything that JSON can say, in 1 MiB. Raises as `log`, `TypeError`, `ValueError`."""
        await self._writer.put(messages.data(data))

    async def chunk(self, content: str) -> None:
        """Write a piece of a text. Raises as `log`."""
        await self._writer.put(messages.chunk(content))

    async def flush(self) -> None:
        """Wait until all that was said is kept, as the store promises. Raises as `log`."""
        await self._writer.flush()

    def check(self) -> None:
        """Raise `Stopped` when somebody has asked the job to stop, and as `log` if it is over anyway."""
        self._writer.check()
        if self._writer.stopped.is_set():
            raise Stopped(_STOPPED)

    async def __aenter__(self) -> Self:
        if self._opened is not None:
            raise RuntimeError("a job is opened once: call open() for each block")
        async with AsyncExitStack() as exits:
            place = await exits.enter_async_context(self._connect())
            writer = Writer(place, lease=self._lease, patience=self._patience)
            exits.push_async_callback(writer.close)
            await writer.open(again=self._again)
            self._opened, self._exits = writer, exits.pop_all()
        if self._cancels:
            self._task = asyncio.current_task()
            self._cancelling = 0 if self._task is None else self._task.cancelling()
            self._canceller = asyncio.create_task(self._cancel(writer), name="job's cancellation")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Say the end, wait until it is kept, and let go. Cancelled meanwhile, it only lets go."""
        async with self._exits:
            stop = self._uncancel(error)
            await self._finish(stop or error)
        if stop is not None:
            raise stop from error

    async def _finish(self, error: BaseException | None) -> None:
        """Say the end. What goes wrong with it is raised, or told beside what the body raised."""
        try:
            await self._writer.finish(_end_of(error))
        except StreamServeError as why:
            if error is None:
                raise
            if why is not error:
                error.add_note(f"the end of the job {self.name!r} could not be written: {why}")

    async def _cancel(self, writer: Writer) -> None:
        await writer.stopped.wait()
        if self._task is not None:
            self._cancelled = True
            self._task.cancel()

    def _uncancel(self, error: BaseException | None) -> Stopped | None:
        """Take back a cancellation by a stop; return what it is raised as."""
        task, self._task = self._task, None
        if self._canceller is not None:
            self._canceller.cancel()
        if not self._cancelled or task is None:
            return None
        ours = task.uncancel() <= self._cancelling
        return Stopped(_STOPPED) if ours and isinstance(error, asyncio.CancelledError) else None

    @property
    def _writer(self) -> Writer:
        if self._opened is None:
            raise RuntimeError("the job is not open: use it in its own block (async with)")
        return self._opened


def _end_of(error: BaseException | None) -> bytes:
    """Return the last message of a job whose body has ended so."""
    if isinstance(error, Stopped):
        return messages.end("stopped")
    if error is None or (isinstance(error, SystemExit) and error.code in {None, 0}):
        return messages.end("completed")
    return messages.end("failed", error=messages.words_of(error))
