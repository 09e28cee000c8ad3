"""The scripted upstream as a command: `python -m stream_serve.testing.upstream`.

It prints its base URL on one line as soon as it listens, and serves until SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from stream_serve.testing.server import ScriptedUpstream

__all__ = ["ScriptedUpstream", "main"]


async def serve(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM comes. Raises as `ScriptedUpstream.start` does."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    upstream = ScriptedUpstream()
    await upstream.start(host, port)
    sys.stdout.write(f"{upstream.url}\n")
    sys.stdout.flush()
    try:
        await stopped.wait()
    finally:
        await upstream.stop()


def main(argv: list[str] | None = None) -> None:
    """Run the command; tests pass `argv`. Exits with code 2 if it cannot listen."""
    parser = argparse.ArgumentParser(
        prog="python -m stream_serve.testing.upstream",
        description="A scripted OpenAI-compatible provider; GET /scenarios lists what it can play.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    arguments = parser.parse_args(argv)
    try:
        asyncio.run(serve(arguments.host, arguments.port))
    except (OSError, OverflowError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
