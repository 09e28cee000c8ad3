"""A run that is read to its end, and what is true of every end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.client import Json, ask, show
from support.service import UPSTREAM_KEY, Service

if TYPE_CHECKING:
    import aiohttp


async def run(client: aiohttp.ClientSession, service: Service, model: str) -> list[Json]:
    """Run a scenario to its end; check what is true of every end."""
    async with ask(client, service.url, model=model) as stream:
        events = await stream.rest()
    ends = [event for event in events if event["type"] in {"end", "error"}]
    assert ends == events[-1:], "there is exactly one terminal event, and it is the last"
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    state = await show(client, service.url, stream.run_id)
    assert state["events"] == len(events)
    assert state["state"] == ("completed" if ends[0]["type"] == "end" else "failed")
    assert UPSTREAM_KEY not in str(events) + str(state)
    return events
