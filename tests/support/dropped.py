"""End a run whose provider's packets are dropped in mid-stream; see `dropping`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import aiohttp
import uvloop

from stream_serve.testing import ScriptedUpstream
from support.client import ask, stop
from support.dropping import ADDRESS, drop
from support.service import Service

if TYPE_CHECKING:
    from support.client import Stream


async def main(end: str) -> None:
    """Let the limit of silence end the run, or a stop; then look at what is left."""
    upstream = ScriptedUpstream()
    await upstream.start(ADDRESS)
    try:
        limit = 0.5 if end == "silence" else 60.0
        async with (
            aiohttp.ClientSession() as client,
            Service(upstream_url=upstream.url, idle_timeout=limit) as service,
            ask(client, service.url, model="forever") as stream,
        ):
            await stream.until("chunk")
            await drop(packets=True)
            if end == "silence":
                await check_silence(stream)
            else:
                receipt = await stop(client, service.url, stream.run_id)
                assert receipt["upstreamClosed"] is True, receipt
                await stream.until("end")
            assert upstream.open_connections == 1, "no packet of the end came through"
            await service.runs.idle()
            await drop(packets=False)
            await upstream.until(lambda: upstream.open_connections == 0)
    finally:
        await upstream.stop()


async def check_silence(stream: Stream) -> None:
    """Check the words of the error."""
    error = await stream.until("error")
    assert error["code"] == "upstream_timeout", error
    assert "no more tokens came within 0.5 s" in error["message"], error
    assert "STREAM_SERVE_IDLE_TIMEOUT" in error["message"], error


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
