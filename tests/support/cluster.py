"""A service of several real processes over one Redis, and clients that come back when they are cut."""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from support.client import Json, Stream
from support.postgres import free_port
from support.process import environment
from support.service import UPSTREAM_KEY
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from stream_serve.testing import ScriptedUpstream
    from support.redis import Redis

PATIENCE: Final = 30.0

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_PAUSE: Final = 0.02
_AWAY: Final = {502, 503, 504}


class Node:
    """One `stream-serve serve` on a port of its own, which it keeps when it is started anew."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._file = folder / f"node-{self.port}.log"
        self._settings = settings
        self._command = [
            *(sys.executable, "-m", "stream_serve", "serve"),
            *("--port", str(self.port), *arguments),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Return all that it has written to its log."""
        return self._file.read_text(encoding="utf-8")

    @property
    def running(self) -> bool:
        """Say whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def descriptors(self) -> int:
        """Count what it has open."""
        assert self._process is not None
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def start(self) -> None:
        """Start; it is not there yet."""
        # A file, and not a pipe that nobody empties and that holds up who writes to it.
        with self._file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                preexec_fn=_hear_hangups,  # noqa: PLW1509 - it takes no lock
                env=environment(**self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        assert self._process is not None
        self._process.send_signal(number)

    def freeze(self) -> None:
        """Stop it where it is: its connections stay open, and nothing answers."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.send(signal.SIGCONT)

    async def kill(self) -> None:
        """End it as by a crash."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it in order; return the exit code."""
        self.send(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end; return the exit code."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, PATIENCE)

    async def up(self, client: aiohttp.ClientSession) -> None:
        """Wait until it can start runs."""

        async def ready() -> bool:
            assert self.running, f"it ended at its start: {self.log}"
            return await readiness(client, self.url) == 200

        await until(ready)


class Footprint(NamedTuple):
    """What is open: descriptors of some processes, and connections to the provider and to Redis."""

    descriptors: int
    provider: int
    redis: int

    @classmethod
    def of(cls, nodes: Sequence[Node], upstream: ScriptedUpstream, redis: Redis) -> Footprint:
        """Count now."""
        descriptors = sum(node.descriptors for node in nodes)
        clients = len(redis.cli("CLIENT", "LIST").splitlines())
        return cls(descriptors, upstream.open_connections, clients)


class Caller:
    """A client that comes back with its cursor to `url` until it has the end of its run.

    It starts the run if it is given what to ask, else it reads the run.
    """

    def __init__(
        self, client: aiohttp.ClientSession, url: str, run_id: str | None = None, **body: Any
    ) -> None:
        self.url = url
        self.run_id = run_id or secrets.token_urlsafe(16)
        self.events: list[Json] = []
        self.cuts = 0
        self._client = client
        self._body = {"message": "你好", "runId": self.run_id, **body} if body else None
        self._task = asyncio.create_task(self._call())

    @property
    def done(self) -> bool:
        """Say whether it has the end."""
        return bool(self.events) and self.events[-1]["type"] in {"end", "error"}

    @property
    def conversation(self) -> str:
        """The conversation that the run belongs to."""
        return self.events[0]["conversationId"]

    async def has(self, kind: str) -> None:
        """Wait for an event of a type."""

        async def seen() -> bool:
            if self._task.done():
                await self._task
            return any(event["type"] == kind for event in self.events)

        await until(seen)

    async def whole(self) -> list[Json]:
        """Wait for the end; return all events."""
        async with asyncio.timeout(2 * PATIENCE):
            await self._task
        return self.events

    async def close(self) -> None:
        """Go away."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _call(self) -> None:
        while not self.done:
            try:
                async with self._open() as response:
                    if response.status in _AWAY:
                        await asyncio.sleep(_PAUSE)
                        continue
                    assert response.status == 200, f"{response.status} {await response.text()}"
                    stream = Stream(response)
                    while (event := await stream.next()) is not None:
                        self.events.append(event)
            except aiohttp.ClientError:
                pass  # cut, or nobody there: it comes back
            if not self.done:
                self.cuts += 1
                await asyncio.sleep(_PAUSE)

    def _open(self) -> Any:
        if not self.events and self._body is not None:
            return self._client.post(f"{self.url}/ai/chat/stream-sse", json=self._body)
        headers = {"Last-Event-ID": str(self.events[-1]["id"])} if self.events else {}
        return self._client.get(f"{self.url}/ai/runs/{self.run_id}/events", headers=headers)


class Watched(NamedTuple):
    """A run: its `caller`, and a `reader` of it on another process."""

    caller: Caller
    reader: Caller

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.caller.run_id


@asynccontextmanager
async def cluster(
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    redis: Redis,
    settings: Mapping[str, str] = _NONE,
    *,
    nodes: int = 2,
    workers: int = 1,
) -> AsyncGenerator[list[Node]]:
    """Run a service of some nodes with some workers each, until the block ends.

    At its end every node that still runs must end with 0, and no log may have a secret or a defect.
    """
    given = {
        "STREAM_SERVE_REDIS_URL": redis.url,
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_UPSTREAM_API_KEY": UPSTREAM_KEY,
        "STREAM_SERVE_MODEL": "answer",
        "STREAM_SERVE_GRACE_TIMEOUT": "4",
        **settings,
    }
    redis.flush()
    folder = Path.cwd()  # the test's own
    made = [Node(folder, "--workers", str(workers), **given) for _ in range(nodes)]
    try:
        for node in made:
            node.start()
        await asyncio.gather(*(node.up(client) for node in made))

        async def complete() -> bool:
            return len(await processes(redis)) == nodes * workers

        await until(complete)
        yield made
    finally:
        left = [node for node in made if node.running]
        for node in left:
            node.thaw()
            node.send(signal.SIGTERM)
        codes = await asyncio.gather(*(node.ended() for node in left))
    assert codes == [0] * len(left)
    database = urlsplit(settings.get("STREAM_SERVE_DATABASE_URL", "")).password
    for node in made:
        assert "Traceback" not in node.log, node.log
        for secret in (UPSTREAM_KEY, redis.password, *([database] if database else [])):
            assert secret not in node.log


@asynccontextmanager
async def watching(
    client: aiohttp.ClientSession, here: Node, there: Node, *models: str, **body: Any
) -> AsyncGenerator[list[Watched]]:
    """Start a run for each model here, and read it there as well, until the first chunk is seen."""
    watched: list[Watched] = []
    try:
        callers = [Caller(client, here.url, model=model, **body) for model in models]
        for caller in callers:
            await caller.has("start")
            reader = Caller(client, there.url, caller.run_id)
            watched.append(Watched(caller, reader))
        for one in watched:
            await one.caller.has("chunk")
            await one.reader.has("chunk")
        yield watched
    finally:
        for one in watched:
            await one.caller.close()
            await one.reader.close()


@asynccontextmanager
async def unpooled() -> AsyncGenerator[aiohttp.ClientSession]:
    """A client that keeps no connection: each request may reach another process, and what is open
    belongs to what goes on."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


def _hear_hangups() -> None:
    """Undo what `nohup` does, under which the tests may run: a service would ignore SIGHUP, too."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


async def readiness(client: aiohttp.ClientSession, url: str) -> int:
    """Return the status of `/health/ready`, 0 when nobody is there."""
    try:
        async with client.get(f"{url}/health/ready") as response:
            return response.status
    except aiohttp.ClientError:
        return 0


async def processes(redis: Redis) -> set[str]:
    """Name the processes that have a lease, or had one that nobody has taken away yet."""
    listed = await asyncio.to_thread(redis.cli, "ZRANGE", "stream-serve:processes", "0", "-1")
    return set(listed.split())


async def flushed(redis: Redis, run_id: str) -> bool:
    """Say whether Redis has a part of a run's log: its readers in the same process are ahead of it."""
    key = f"stream-serve:{{{run_id}}}"
    epoch = await asyncio.to_thread(redis.cli, "HGET", f"{key}:log", "epoch")
    return await asyncio.to_thread(redis.cli, "XLEN", f"{key}:frames:{epoch}") != "0"


async def process_of(redis: Redis, run_id: str) -> str:
    """Name the process that wrote a run's log."""
    key = f"stream-serve:{{{run_id}}}:log"
    return await asyncio.to_thread(redis.cli, "HGET", key, "process")


async def read(
    client: aiohttp.ClientSession, url: str, run_id: str, *, after: int = 0
) -> list[Json]:
    """Read a run's events after a cursor to their end, in one go."""
    headers = {"Last-Event-ID": str(after)} if after else {}
    async with client.get(f"{url}/ai/runs/{run_id}/events", headers=headers) as response:
        assert response.status == 200, f"{response.status} {await response.text()}"
        return await Stream(response).rest()


async def stored(client: aiohttp.ClientSession, url: str, conversation: str) -> Json:
    """Return the answer of a conversation that has one."""
    async with client.get(f"{url}/ai/conversations/{conversation}") as response:
        assert response.status == 200, await response.text()
        return (await response.json())["messages"][1]


async def settle(
    nodes: Sequence[Node], upstream: ScriptedUpstream, redis: Redis, before: Footprint, slack: int
) -> None:
    """Wait until everything is back where it was, but for `slack` more in the pools."""
    now = before

    async def back() -> bool:
        nonlocal now
        now = await asyncio.to_thread(Footprint.of, nodes, upstream, redis)
        quiet = all(record.closed_by is not None for record in upstream.requests)
        return quiet and all(count <= most + slack for count, most in zip(now, before, strict=True))

    try:
        await until(back)
    except TimeoutError:
        left = [record.model for record in upstream.requests if record.closed_by is None]
        raise AssertionError(f"{now}, and before {before}; at the provider: {left}") from None


def check(events: list[Json]) -> None:
    """One log from its start: gapless, with one end. A run that was taken over jumps to its end."""
    ids = [event["id"] for event in events]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "start"
    assert [kind for kind in kinds if kind in {"end", "error"}] == kinds[-1:]
    assert ids[:-1] == list(range(1, len(ids)))
    if events[-1].get("code") == "run_interrupted":
        assert ids[-1] >= len(ids)
    else:
        assert ids[-1] == len(ids)
