"""`Connection`: how a connection of uvicorn's begins, for as little as a short run allows.

How it works: what all connections of a server have in common is made for the first one, and copied for
the others. The addresses of both ends cost a system call each, so they are looked up where a request is
told them. An event that writers wait for is made when a client reads too slowly.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Transport
    from collections.abc import Sized

    from uvicorn import Config
    from uvicorn.server import ServerState

_COMMON: Final = "_stream_serve_common"


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


class Connection(HttpToolsProtocol):
    """A connection of a client, before anything was read from it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        common: dict[str, Any] | None = vars(server_state).get(_COMMON)
        if common is None:
            super().__init__(config, server_state, app_state, _loop)
            self.prepare()
            common = {**vars(self), "parser": cast("Any", type(self.parser))}
            vars(server_state)[_COMMON] = common
        vars(self).update(common)
        self.parser = common["parser"](self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.pipeline = deque()

    def prepare(self) -> None:
        """Make what all connections of a server have in common, beside what uvicorn makes."""

    def connection_made(self, transport: Transport) -> None:
        """Begin with a connection."""
        self.connections.add(self)
        self.transport = transport
        self.flow = PipelineFlow(transport, self.pipeline)
        self.scheme = "https" if is_ssl(transport) else "http"

    def find_addresses(self) -> None:
        """Look up the addresses of both ends, unless that was done."""
        if self.server is None:
            self.server = get_local_addr(self.transport)
            self.client = get_remote_addr(self.transport)
