"""Writes the lines that are added to a file to a stream, until somebody stops it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from stream_serve import Stopped, StreamServeError
from stream_serve.client import AsyncClient


def read(path: Path, place: int) -> tuple[bytes, int]:
    """Return what a file has after a place, and the next place; one that became shorter begins anew."""
    with path.open("rb") as file:
        file.seek(place if place <= path.stat().st_size else 0)
        return file.read(65_536), file.tell()


async def tail(path: Path, url: str, name: str) -> None:
    """Write the lines that the file has, and those that come."""
    async with (
        AsyncClient(url, key=os.environ.get("STREAM_KEY")) as client,
        client.job(name, on_stop="cancel", again=True) as job,
    ):
        place, rest = 0, b""
        while True:
            data, place = read(path, place)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                await job.log(line.decode(errors="replace"))
            if not lines:
                await asyncio.sleep(0.2)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="such as /var/log/syslog")
    parser.add_argument("url", help="of the service, such as http://localhost:3000")
    parser.add_argument("stream", help="its name")
    given = parser.parse_args()
    if not given.file.exists():
        parser.error(f"there is no file {given.file}")
    try:
        asyncio.run(tail(given.file, given.url, given.stream))
    except (Stopped, KeyboardInterrupt):
        sys.exit("stopped")
    except StreamServeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
