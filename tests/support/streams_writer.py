"""A process that appends to a stream as fast as it can, and says what was acknowledged.

Arguments: the file or the URL of a Redis, and for each producer the number that it begins with. On the
standard output there is a line for each acknowledged append: the producer and its number.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import structlog

from stream_serve.streams.base import Quota
from stream_serve.streams.decisions import Append, Rules
from stream_serve.streams.redis.store import RedisStore
from stream_serve.streams.service import Streams
from stream_serve.streams.sqlite import SQLiteStore

KEY = ("owner", "killed")
JSON = "application/json"


async def produce(streams: Streams, name: str, seq: int) -> None:
    """Append the numbers from `seq` on."""
    while True:
        data = b'"%b:%d"\n' % (name.encode(), seq)
        request = Append(data=data, content_type=JSON, producer=(name, 0, seq))
        await streams.append(KEY, request)
        os.write(1, b"%b %d\n" % (name.encode(), seq))
        seq += 1


async def main(place: str, *begins: str) -> None:
    """Run all producers for ever."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    rules, quota = Rules(stream_bytes=2**40, retention=1e9), Quota(10, 2**40)
    store = RedisStore(place, 5.0) if "://" in place else SQLiteStore(Path(place))
    streams = Streams(store, rules, quota, clock=time.time)
    await streams.open()
    await asyncio.gather(
        *(produce(streams, str(number), int(begin)) for number, begin in enumerate(begins))
    )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
