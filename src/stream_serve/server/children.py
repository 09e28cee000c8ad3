"""What runs in a child process: of the supervisor over several workers, or of the reloader.

A child is handed one of these functions by name, so that this module loads nothing: the service is
loaded by them, as lean as in the parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_serve.server.loading import load_libraries

if TYPE_CHECKING:
    import socket


def serve_reloaded(sockets: list[socket.socket] | None) -> None:
    """Serve in the child process that the reloader restarts; `sockets` are its listeners."""
    _serve(sockets, channel=None)


def serve_worker(listener: socket.socket, channel: socket.socket) -> None:
    """Serve in a worker process; `channel` is the worker's end of its channel to the supervisor."""
    _serve([listener], channel=channel)


def _serve(sockets: list[socket.socket] | None, *, channel: socket.socket | None) -> None:
    load_libraries()
    from stream_serve.server.lifetime import serve_child

    serve_child(sockets, channel=channel)
