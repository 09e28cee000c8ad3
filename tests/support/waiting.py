"""Waiting for the thing itself, and never for a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

PATIENCE: Final = 60.0
"""Seconds after which what is waited for does not come; a busy machine is slow."""


_OFTEN: Final = 0.005, 0.05
"""Seconds between two looks: at first, and when it lasts. What looks keeps the machine busy, too."""


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE) -> None:
    """Wait until something holds. Raises `TimeoutError`."""
    pause, longest = _OFTEN
    async with asyncio.timeout(seconds):
        while True:
            found = holds()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return
            await asyncio.sleep(pause)
            pause = min(1.1 * pause, longest)


async def cut_off(work: Coroutine[Any, Any, object]) -> None:
    """Begin something, and cancel it as soon as it waits."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Openable(Protocol):
    """What is opened once and closed once."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


Given = ParamSpec("Given")
Part = TypeVar("Part", bound=Openable)


@asynccontextmanager
async def starting(make: Callable[Given, Part]) -> AsyncGenerator[Callable[Given, Awaitable[Part]]]:
    """Return what makes and opens parts. At the block's end all are closed, the first one first."""
    started: list[Part] = []

    async def start(*words: Given.args, **named: Given.kwargs) -> Part:
        part = make(*words, **named)
        started.append(part)
        await part.open()
        return part

    yield start
    for part in started:
        await part.close()
