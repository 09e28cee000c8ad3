"""A run with thoughts and tool calls, read on in each dialect after any event, by both cursors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.client import ask
from support.telling import TELLING, Told, native

if TYPE_CHECKING:
    import aiohttp

    from support.service import Service

MODELS = ("tool-call-sealed?calls=2", "tool-calls-interleaved?calls=2&thought=Let me see.")
TEXT_ONLY = {"completions"}
RETOLD = {"ag-ui"}
"""A run that has ended is told at once there; a reader that was cut is tried in `test_pairs`."""


class Ended:
    """A run that has ended: `frames` are its events in the native format."""

    def __init__(self, client: aiohttp.ClientSession, url: str, frames: list[bytes]) -> None:
        self.client = client
        self.url = url
        self.frames = frames

    async def read(
        self, dialect: str, *, after: int | None = None, last: int | None = None
    ) -> bytes:
        """Return what a reader gets: after a cursor of its own, or where its connection ended."""
        query = {"dialect": dialect} | ({} if after is None else {"after": str(after)})
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        async with self.client.get(self.url, params=query, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.read()


async def ended(client: aiohttp.ClientSession, service: Service, model: str) -> Ended:
    async with ask(client, service.url, model=model) as stream:
        data = await stream.response.read()
        url = f"{service.url}/ai/runs/{stream.run_id}/events"
    frames = [block + b"\n\n" for block in data.split(b"\n\n") if b"id: " in block]
    assert b"tool_arguments" in data
    assert b"reasoning" in data
    return Ended(client, url, frames)


def same(dialect: str, told: Told, wanted: Told) -> bool:
    if dialect in TEXT_ONLY:
        return (told.text, told.ends) == (wanted.text, wanted.ends)
    calls = (sorted(map(tuple, one.calls.values())) for one in (told, wanted))
    return (told.text, told.thought, told.ends) == (wanted.text, wanted.thought, 1) and (
        next(calls) == next(calls)
    )


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dialect", TELLING)
async def test_a_new_reader_after_any_event_has_the_rest_of_thoughts_and_calls_once(
    service: Service, client: aiohttp.ClientSession, dialect: str, model: str
) -> None:
    run = await ended(client, service, model)
    wanted = native(b"".join(run.frames))
    for cut in range(1, len(run.frames)):
        begun = native(b"".join(run.frames[:cut]))
        told = begun.then(TELLING[dialect](await run.read(dialect, after=cut)))
        assert same(dialect, told, wanted), cut


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dialect", sorted(TELLING.keys() - RETOLD))
async def test_the_same_reader_after_any_event_gets_the_very_bytes_that_it_has_not_had(
    service: Service, client: aiohttp.ClientSession, dialect: str, model: str
) -> None:
    run = await ended(client, service, model)
    whole = await run.read(dialect)
    assert same(dialect, TELLING[dialect](whole), native(b"".join(run.frames)))
    shorter = len(whole)
    for cut in range(1, len(run.frames)):
        rest = await run.read(dialect, last=cut)
        assert whole.endswith(rest), cut
        assert 0 < len(rest) <= shorter, cut
        shorter = len(rest)
