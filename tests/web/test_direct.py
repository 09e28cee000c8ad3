"""Endpoints that the guard calls itself: what the framework would have done for them is still done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import httpx2
import pytest

from stream_serve.app import create_app
from stream_serve.settings import Settings
from stream_serve.streams.service import Streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

URL: Final = "http://127.0.0.1"
PATH: Final = "/v1/stream/a%20b"
TEXT: Final = {"Content-Type": "text/plain"}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """A caller of the application, without a server between."""
    app = create_app(Settings.load(port=0, streams_url="memory"))
    async with app.router.lifespan_context(app) as state:

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"] = {**(state or {})}
            await app(scope, receive, send)

        transport = httpx2.ASGITransport(cast("Any", serve), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=URL, headers=TEXT) as made:
            yield made


async def test_a_defect_is_a_problem_that_says_nothing_of_itself(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise ValueError("a secret")

    monkeypatch.setattr(Streams, "append", fail)
    response = await client.post(PATH, content=b"x")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


async def test_the_path_is_decoded_and_another_method_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.put(PATH)).status_code == 201
    assert (await client.head("/v1/stream/a b")).status_code == 200
    response = await client.patch(PATH)
    assert response.status_code == 405
    assert "POST" in response.headers["allow"]
