"""`GeneratorProducer`: a run made by an async generator of one's own."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import structlog

from stream_serve.events.types import (
    Chunk,
    Extra,
    Reasoning,
    Source,
    ToolArguments,
    ToolCall,
    whole,
)
from stream_serve.producers.base import Finish

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.events.types import Delta, Usage
    from stream_serve.producers.base import Emit, Patience

_CLOSE_SECONDS: Final = 1.0
_TURN: Final = 0.01
"""Seconds after which others have their turn: a generator that never awaits would hold up the whole loop,
and nothing could stop it."""

_DELTAS: Final = (Chunk, Reasoning, ToolCall, ToolArguments, Source, Extra)
_log: Final = structlog.stdlib.get_logger("stream_serve.producers")


class GeneratorProducer:
    """Produces what a generator yields: text, or deltas. Its end is the answer's end.

    An error that it raises fails the run: a `RunFailure` with its own words, any other as a defect.
    Half of a surrogate pair in its text becomes U+FFFD. What is neither text nor a delta is a defect, and
    so is a call of `sys.exit`. A generator that never awaits lets others have their turn all the same.
    One that does not end when it is closed is in `left` until it does.
    """

    def __init__(
        self,
        source: AsyncGenerator[str | Delta],
        *,
        model: str = "generator",
        prompt_tokens: int = 0,
        patience: Patience | None = None,
        left: set[asyncio.Task[Finish]] | None = None,
    ) -> None:
        self.model = model
        self.prompt_tokens = prompt_tokens
        self.patience = patience
        self._source = source
        self._left: set[asyncio.Task[Finish]] = set() if left is None else left
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
        task, again = self._task, self._closed
        self._closed = True
        if task is None or task.done():
            return
        task.cancel()
        if not again:
            # Not after the wait, which may be cancelled.
            timer = asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._leave, task)
            task.add_done_callback(lambda _: timer.cancel())
            task.add_done_callback(self._report)
        await asyncio.wait({task}, timeout=_CLOSE_SECONDS)

    def _leave(self, task: asyncio.Task[Finish]) -> None:
        """Leave the generator to itself."""
        run_id = structlog.contextvars.get_contextvars().get("run_id")
        _log.warning(
            "a generator does not end: it is left to itself", model=self.model, run_id=run_id
        )
        self._left.add(task)
        task.add_done_callback(self._left.discard)

    async def _iterate(self, emit: Emit) -> Finish:
        try:
            rested = time.monotonic()
            async for item in self._source:
                if self._closed:
                    raise asyncio.CancelledError
                emit((_delta(item),))
                if time.monotonic() - rested > _TURN:
                    await asyncio.sleep(0)
                    rested = time.monotonic()
        except SystemExit as error:
            # From a task it would end the event loop, and all other answers with it.
            raise RuntimeError(f"a generator called sys.exit({error.code!r})") from error
        finally:
            await self._source.aclose()
        return Finish()

    def _report(self, task: asyncio.Task[Finish]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a generator failed when it was closed", model=self.model, exc_info=error)


def _delta(item: object) -> Delta:
    """Return an item as a delta. Raises `TypeError` for what is neither a text nor a delta."""
    if isinstance(item, str):
        return Chunk(whole(item))
    if not isinstance(item, _DELTAS):
        raise TypeError(f"a generator should yield text or deltas, and not {type(item).__name__}")
    if not isinstance(getattr(item, "content", ""), str):
        raise TypeError(f"the content of a {type(item).__name__} should be text")
    return item
