"""Ports that refuse connections, and ports that never respond; no server can play these failures."""

from __future__ import annotations

import contextlib
import select
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

_HOST: Final = "127.0.0.1"
_PATIENCE: Final = 0.1  # a loopback connect that can succeed needs far less
_ATTEMPTS: Final = 64


def unused_port() -> int:
    """Return a port on 127.0.0.1 on which nothing listens, so that it refuses connections."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def refusing() -> Generator[int]:
    """Yield a port on 127.0.0.1 that refuses connections and stays reserved meanwhile."""
    with socket.socket() as bound:
        bound.bind((_HOST, 0))
        yield int(bound.getsockname()[1])


@contextlib.contextmanager
def blackhole() -> Generator[int]:
    """Yield a port on 127.0.0.1 to which a connect neither succeeds nor fails.

    Its listener never accepts, and its accept queue is full, so that Linux drops the next SYN. Raises
    `RuntimeError` if the kernel completes connections nevertheless.
    """
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind((_HOST, 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(_ATTEMPTS):
            filler = sockets.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(address)
            _, connected, _ = select.select([], [filler], [], _PATIENCE)
            if not connected:
                filler.close()
                break
        else:
            raise RuntimeError("this kernel completes connects to a full backlog")
        yield int(address[1])
