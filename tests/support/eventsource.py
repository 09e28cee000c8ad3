"""Reading a run's events again, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp


async def read_raw(
    client: aiohttp.ClientSession,
    url: str,
    run_id: str,
    *,
    after: int | None = None,
    header: bool = True,
    key: str | None = None,
) -> tuple[int, bytes]:
    """Return the status and all bytes of a run's events after a cursor."""
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    query = ""
    if after is not None:
        if header:
            headers["Last-Event-ID"] = str(after)
        else:
            query = f"?after={after}"
    async with client.get(f"{url}/ai/runs/{run_id}/events{query}", headers=headers) as response:
        return response.status, await response.read()
