"""`GeneratorProducer`: a run made by an async generator of one's own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from stream_serve.events.types import Chunk, whole
from stream_serve.producers.base import Finish

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.events.types import Delta, Usage
    from stream_serve.producers.base import Emit, Patience

_CLOSE_SECONDS: Final = 1.0
_log: Final = structlog.stdlib.get_logger("stream_serve.producers")


class GeneratorProducer:
    """Produces what a generator yields: text, or deltas. Its end is the answer's end.

    An error that it raises fails the run: a `RunFailure` with its own words, any other as a defect.
    Half of a surrogate pair in its text becomes U+FFFD.
    """

    def __init__(
        self,
        source: AsyncGenerator[str | Delta],
        *,
        model: str = "generator",
        prompt_tokens: int = 0,
        patience: Patience | None = None,
    ) -> None:
        self.model = model
        self.prompt_tokens = prompt_tokens
        self.patience = patience
        self._source = source
        self._task: asyncio.Task[Finish] | None = None
        self._closed = False

    @property
    def usage(self) -> Usage | None:
        """Nothing is counted."""
        return None

    @property
    def closed(self) -> bool | None:
        """There is no connection that is known of."""
        return None

    async def produce(self, emit: Emit) -> Finish:
        """Emit each item as it comes.

        The generator is iterated in a task of its own: one that takes no notice of a cancellation is
        not waited for, and not heard any more.
        """
        self._task = asyncio.create_task(self._iterate(emit))
        await asyncio.wait({self._task})
        return self._task.result()

    async def close(self) -> None:
        """Cancel the generator where it waits, and wait until it has ended, for at most a second."""
        self._closed = True
        task = self._task
        if task is None or task.done():
            return
        task.cancel()
        await asyncio.wait({task}, timeout=_CLOSE_SECONDS)
        if not task.done():
            _log.warning("a generator does not end: it is left to itself", model=self.model)
        task.add_done_callback(self._report)

    async def _iterate(self, emit: Emit) -> Finish:
        try:
            async for item in self._source:
                if self._closed:
                    raise asyncio.CancelledError
                emit((Chunk(whole(item)) if isinstance(item, str) else item,))
        finally:
            await self._source.aclose()
        return Finish()

    def _report(self, task: asyncio.Task[Finish]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a generator failed when it was closed", model=self.model, exc_info=error)
