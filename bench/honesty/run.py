"""Try who tells a client the truth: `scripts/honesty`, which sets up what this needs.

The scripted provider plays every fault through every peer. The result is a table in Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from bench.honesty.client import Door, Seen, Verdict, ask, events
from bench.honesty.faults import FAULTS, LEAVING, WHOLE
from bench.honesty.peers import EVERYONE, KEY, Place
from bench.honesty.table import Result, cell, setups, table
from bench.processes import ServerFailedError, free_port
from bench.targets import MissingError
from bench.tools import ROOT
from stream_serve.testing import ScriptedUpstream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.honesty.peers import Peer

PATIENCE: Final = 45.0
_READY: Final = 90.0
_REPEATS: Final = 3


def main(argv: Sequence[str] | None = None) -> None:
    """Run what the command line asks for, and write the table."""
    options = _options(argv)
    wanted = [peer for peer in EVERYONE if not options.only or peer.name in options.only]
    results, missing = asyncio.run(_everyone(wanted))
    report = _report(results, missing)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "honesty.md").write_text(report)
    _say(f"\n{report}\nwritten to {options.out / 'honesty.md'}")


async def _everyone(peers: Sequence[Peer]) -> tuple[list[Result], dict[str, str]]:
    """Try all peers, one after the other; return what came, and why some could not be tried."""
    results: list[Result] = []
    missing: dict[str, str] = {}
    for peer in peers:
        try:
            await asyncio.to_thread(peer.prepare)
            results.append(await try_peer(peer))
        except (MissingError, ServerFailedError, OSError) as error:
            missing[peer.title] = str(error)
            _say(f"{peer.name} could not be tried: {error}")
    return results, missing


async def try_peer(peer: Peer) -> Result:
    """Start a peer and play every fault through it. Raises `ServerFailedError`."""
    with tempfile.TemporaryDirectory(prefix="stream-serve-honesty-") as folder:
        async with ScriptedUpstream() as upstream:
            port = int(upstream.origin.rpartition(":")[2])
            place = Place(Path(folder), free_port(), port)
            stack = ExitStack()
            # In a thread: a peer that starts looks at the provider, which is in this loop.
            await asyncio.to_thread(stack.enter_context, peer.start(place))
            try:
                return await _Trial(peer, place, upstream).play()
            finally:
                await asyncio.to_thread(stack.close)


class _Trial:
    """One peer that runs, between the scripted provider and a client."""

    def __init__(self, peer: Peer, place: Place, upstream: ScriptedUpstream) -> None:
        self._door: Final = Door(f"http://127.0.0.1:{place.port}{peer.path}", peer.native)
        self._upstream: Final = upstream
        self._result: Final = Result(peer, peer.version())

    async def play(self) -> Result:
        """Play everything."""
        for fault in (WHOLE, *FAULTS):
            await self._until_it_relays()
            async with _client() as client:
                seen = await ask(client, self._door, fault.scenario, PATIENCE)
            self._result.seen[fault.scenario] = seen
            self._tell(fault.scenario, f"{cell(fault, seen)} {seen}")
        for scenario, _ in LEAVING:
            await self._until_it_relays()
            self._result.left[scenario] = seconds = await self._leave(scenario)
            self._tell(f"leaving {scenario}", str(seconds))
        return self._result

    async def _until_it_relays(self) -> None:
        """Wait until a whole answer comes through, so that no fault pays for the one before it."""
        end = time.monotonic() + _READY
        seen = Seen()
        while time.monotonic() < end:
            async with _client() as client:
                seen = await ask(client, self._door, WHOLE.scenario, PATIENCE)
            if seen.verdict is Verdict.COMPLETE:
                self._upstream.clear()
                return
            await asyncio.sleep(0.5)
        raise ServerFailedError(f"it relays no answer: {seen}")

    async def _leave(self, scenario: str) -> float | None:
        """Leave in the middle several times; return the longest time until the provider knew."""
        longest = 0.0
        for _ in range(_REPEATS):
            seconds = await self._leave_once(scenario)
            if seconds is None:
                return None
            longest = max(longest, seconds)
        return longest

    async def _leave_once(self, scenario: str) -> float | None:
        """Leave after the first text; return the seconds until the provider's connection was closed."""
        seen = Seen()
        async with (
            _client() as client,
            client.post(self._door.url, json=self._door.body(scenario)) as response,
        ):
            async for data in events(response):
                self._door.note(data, seen)
                if seen.text:
                    break
            record = self._upstream.requests[-1]
            left = time.time()
            response.close()
            try:
                await self._upstream.until(lambda: record.closed_at is not None, PATIENCE)
            except TimeoutError:
                return None
        return max(0.0, (record.closed_at or left) - left)

    def _tell(self, what: str, found: str) -> None:
        _say(f"{self._result.peer.name}, {what}: {found}")


def _client() -> aiohttp.ClientSession:
    """Return a client that keeps no connection."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        headers={"Authorization": f"Bearer {KEY}"},
        timeout=aiohttp.ClientTimeout(total=None),
    )


def _report(results: list[Result], missing: dict[str, str]) -> str:
    made = datetime.now(UTC).date().isoformat()
    parts = [f"Tried on {made}.\n", table(results, PATIENCE), setups(results)]
    parts += [f"{title} could not be tried: {why}\n" for title, why in missing.items()]
    return "\n".join(parts)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    names = [peer.name for peer in EVERYONE]
    parser = argparse.ArgumentParser(
        prog="scripts/honesty", description="Try what a client is told when the provider fails."
    )
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results", help="folder of the table")
    return parser.parse_args(argv)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
