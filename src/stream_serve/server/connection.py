"""`Connection`: how a connection of uvicorn's begins, for as little as a short run allows.

How it works: what all connections of a server have in common is made for the first one, and belongs to a
class of the server's own. The addresses of both ends cost a system call each, so they are looked up
where a request is told them. An event that writers wait for is made when a client reads too slowly. A
parser is there while there is something to read, and not while a response goes on for minutes. The timer
of a connection without a request is not set anew for a request that has its response at once: when it
rings, it is known when the last one came.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final, Self, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Transport
    from collections.abc import Callable, Sized

    from uvicorn import Config
    from uvicorn.server import ServerState

_OWN: Final = "_stream_serve_connection"


class PipelineFlow(FlowControl):
    """Reads on only while no request waits for its turn.

    A response makes uvicorn read on, and so does an application that asks for the body or waits for a
    disconnect. That never has to wait: a request that has another one behind it has its whole body.
    """

    def __init__(self, transport: Transport, waiting: Sized) -> None:
        self._transport = transport
        self._waiting = waiting
        self.read_paused = False
        self.write_paused = False

    async def drain(self) -> None:
        """Wait until the client reads."""
        if self.write_paused:
            await self._is_writable_event.wait()

    def resume_reading(self) -> None:
        """Read on, unless requests wait."""
        if self.read_paused and not self._waiting:
            super().resume_reading()

    def pause_writing(self) -> None:
        """Let writers wait."""
        if not self.write_paused:
            self.write_paused = True
            self._is_writable_event = asyncio.Event()


class Pipeline(list[Any]):
    """The requests that wait for their turn, in place of uvicorn's deque, which keeps 700 bytes empty."""

    __slots__ = ()

    def appendleft(self, request: object) -> None:
        """Let a request wait behind all others: `pop` returns the oldest one."""
        self.insert(0, request)


class Connection(HttpToolsProtocol):
    """A connection of a client, before anything was read from it."""

    _new_parser: Callable[[HttpToolsProtocol], Any]
    _used_at = -math.inf

    def __new__(
        cls,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> Self:
        """Make a connection, of the server's own class."""
        own: Any = vars(server_state).get(_OWN)
        if own is None:
            first = super().__new__(cls)
            HttpToolsProtocol.__init__(first, config, server_state, app_state, _loop)
            first.prepare()
            own = vars(server_state)[_OWN] = type(cls.__name__, (cls,), _shared(first))
            first.rest_reading()  # else the two refer to each other until the garbage collector runs
        return super().__new__(own)

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        del config, server_state, app_state, _loop  # its class has them
        self.pipeline = cast("Any", Pipeline())

    def begin_reading(self) -> None:
        """Make the parser, unless there is one."""
        if cast("object", self.parser) is None:
            self.parser = self._new_parser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def rest_reading(self) -> None:
        """Let the parser go between two requests: the next one has a parser of its own."""
        self.parser = cast("Any", None)

    def prepare(self) -> None:
        """Make what all connections of a server have in common, beside what uvicorn makes."""

    def connection_made(self, transport: Transport) -> None:
        """Begin with a connection."""
        self.connections.add(self)
        self.transport = transport
        self.flow = PipelineFlow(transport, self.pipeline)
        self.scheme = "https" if is_ssl(transport) else "http"

    def has_room(self) -> bool:
        """Return whether the server has room for one more request, as uvicorn counts."""
        return max(len(self.connections), len(self.tasks)) < (self.limit_concurrency or math.inf)

    def may_respond(self) -> bool:
        """Return whether a response could be written now, to a request that comes now."""
        return (not self.cycle or self.cycle.response_complete) and not self.flow.write_paused

    def count_request(self) -> None:
        """Count a request that had its response at once. It has left the timer as it was."""
        self.server_state.total_requests += 1
        self._used_at = self.loop.time()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection without a request, or wait on where one has left the timer as it was."""
        rest = self._used_at + self.timeout_keep_alive - self.loop.time()
        if rest > 0:
            call = self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(rest, call)
        else:
            super().timeout_keep_alive_handler()

    def find_addresses(self) -> None:
        """Look up the addresses of both ends, unless that was done."""
        if self.server is None:
            self.server = get_local_addr(self.transport)
            self.client = get_remote_addr(self.transport)


def _shared(first: Connection) -> dict[str, Any]:
    """Return what the first connection of a server has, as the attributes of a class."""
    found: dict[str, Any] = {**vars(first), "_new_parser": type(first.parser), "parser": None}
    # A function would become a method.
    return {
        name: staticmethod(one) if hasattr(one, "__get__") else one for name, one in found.items()
    }
