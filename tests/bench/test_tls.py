"""The benchmark's provider behind TLS relays, to whoever trusts its authority."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, cast

import pytest
from bench.honesty.client import Door, Verdict, ask
from bench.processes import free_port
from bench.targets import MissingError, Place, need_nginx, serve_nginx
from bench.tls import encrypt

from support.missing import lack

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

PATIENCE: Final = 20.0


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place without the benchmark's own provider; skips, or fails in CI, where there is no nginx."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")  # as scripts/bench does
    try:
        need_nginx()
    except MissingError as error:
        lack(str(error))
    cpus = frozenset(os.sched_getaffinity(0))
    return Place(tmp_path, free_port(), cast("Any", None), cpus, cpus)


async def test_an_answer_comes_whole_from_behind_tls(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, place: Place
) -> None:
    provider = int(upstream.origin.rpartition(":")[2])
    with ExitStack() as stack:
        port, trusted = await asyncio.to_thread(encrypt, place, provider, stack)
        server = serve_nginx(place, port, authority=trusted)
        await asyncio.to_thread(stack.enter_context, server)
        door = Door(f"http://127.0.0.1:{place.port}/v1/chat/completions", native=False)
        seen = await ask(client, door, "answer", PATIENCE)
    assert seen.verdict is Verdict.COMPLETE
