"""`LocalPeers` and `LocalIndex`: a service of a single process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from stream_serve.cluster.index import KEPT
from stream_serve.errors import PeerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.cluster.base import Respond

_MOST_NAMES: Final = 100_000


class LocalPeers:
    """The peers of a process that has none."""

    async def open(self, respond: Respond, *, gone: Callable[[str], None]) -> None:
        """Do nothing: nobody will ask."""
        del respond, gone

    async def close(self) -> None:
        """Do nothing."""

    async def ask(self, process: str, question: str, data: bytes = b"", *, timeout: float) -> bytes:
        """Raise `PeerUnreachable`: there is no other process."""
        del question, data, timeout
        raise PeerUnreachable(process)

    async def tell(self, process: str, statement: str, data: bytes = b"") -> None:
        """Do nothing: a process that is gone is no error."""


class LocalIndex:
    """An index in the memory of this process. A name is forgotten `ttl` seconds after its newest value;
    of too many names the oldest go first."""

    def __init__(self, *, ttl: float) -> None:
        self._ttl = ttl
        self._names: dict[str, tuple[float, list[str]]] = {}

    async def record(self, name: str, value: str) -> None:
        """Record a value as the newest one of a name."""
        now = time.monotonic()
        _, values = self._names.pop(name, (0.0, []))
        self._names[name] = (now + self._ttl, [value, *values][:KEPT])
        self._forget(now)

    async def remove(self, name: str, value: str) -> None:
        """Take the newest record of a value back."""
        values = self._names.get(name, (0.0, []))[1]
        if value in values:
            values.remove(value)

    async def newest(self, name: str) -> list[str]:
        """Return the newest values of a name, the newest first."""
        self._forget(time.monotonic())
        return list(self._names.get(name, (0.0, []))[1])

    def _forget(self, now: float) -> None:
        # The oldest are at the front: a name goes to the end with each new value.
        while self._names:
            oldest = next(iter(self._names))
            if self._names[oldest][0] > now and len(self._names) <= _MOST_NAMES:
                return
            del self._names[oldest]
