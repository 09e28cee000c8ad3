"""`LocalPeers` and `LocalIndex`: a service of a single process."""

from __future__ import annotations

import time
from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from stream_serve.cluster.index import KEPT, never
from stream_serve.errors import PeerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_serve.cluster.base import Respond
    from stream_serve.cluster.index import Lasts

_MOST_NAMES: Final = 100_000
_ASKED: Final = 8
"""How many of the oldest names are asked for each new one, which is one too many. With one, names that
last would be added to the others; with all, each new name would ask for all that last."""


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


class _Name(Struct):
    """What is recorded under a name, the newest first; forgotten at `until`, on the monotonic clock."""

    until: float
    values: list[str]
    lasts: Lasts


class LocalIndex:
    """An index in the memory of this process. A name is forgotten `ttl` seconds after its newest value;
    of too many names the oldest go first, but for those that last."""

    def __init__(self, *, ttl: float) -> None:
        self._ttl = ttl
        self._names: OrderedDict[str, _Name] = OrderedDict()

    async def record(self, name: str, value: str, *, lasts: Lasts = never) -> list[str]:
        """Record a value as the newest one of a name; return those older than the newest `KEPT`."""
        now = time.monotonic()
        self._expire(now)
        known = self._names.pop(name, None)
        values = [] if known is None else known.values
        self._names[name] = _Name(now + self._ttl, [value, *values], lasts)
        self._make_room(now)
        return values[KEPT - 1 :]

    async def remove(self, name: str, value: str) -> None:
        """Take the newest record of a value back."""
        known = self._names.get(name)
        if known is not None and value in known.values:
            known.values.remove(value)
            if not known.values:
                # A place that is held by nothing would be another name's.
                del self._names[name]

    async def newest(self, name: str) -> list[str]:
        """Return the values of a name, the newest first."""
        self._expire(time.monotonic())
        known = self._names.get(name)
        return [] if known is None else list(known.values)

    def _expire(self, now: float) -> None:
        # The oldest are at the front: a name goes to the end with each new value.
        while self._names:
            oldest = next(iter(self._names))
            if self._names[oldest].until > now:
                return
            del self._names[oldest]

    def _make_room(self, now: float) -> None:
        """Forget the oldest names above the most there may be; those that last become the newest.

        So there are hardly more than that and those that last.
        """
        for oldest in list(islice(self._names, min(_ASKED, len(self._names) - 1))):
            if len(self._names) <= _MOST_NAMES:
                return
            known = self._names.pop(oldest)
            if known.lasts(known.values):
                known.until = now + self._ttl
                self._names[oldest] = known
