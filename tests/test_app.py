"""The composition root: what the settings make of the service."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from stream_serve.app import Hooks, create_app
from stream_serve.backends import create_provider
from stream_serve.conversations.sql.schema import VERSION_TABLE
from stream_serve.events.types import Chunk
from stream_serve.producers.base import Patience
from stream_serve.producers.demo import DemoProvider
from stream_serve.producers.openai.provider import OpenAIProvider
from stream_serve.producers.provider import ChatRequest
from stream_serve.settings import DASHSCOPE_MODEL, DASHSCOPE_URL, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from stream_serve.events.types import Delta


@pytest.mark.parametrize("asked", ["Hello there", "你好，世界"])
async def test_the_demo_says_which_settings_connect_a_real_model(asked: str) -> None:
    provider = create_provider(Settings.load())
    assert isinstance(provider, DemoProvider)
    provider.pace = 0
    producer = provider.ask(ChatRequest("demo", [{"role": "user", "content": asked}], {}))
    deltas: list[Delta] = []
    await producer.produce(deltas.extend)
    advice = "".join(delta.content for delta in deltas if isinstance(delta, Chunk))
    advice = advice.split("\n\n")[-1]
    assert advice.startswith(("To connect", "要接入"))
    for setting in ("DASHSCOPE_API_KEY", "STREAM_SERVE_UPSTREAM_URL", "STREAM_SERVE_MODEL"):
        assert setting in advice


async def test_a_file_that_becomes_a_newer_one_while_the_service_starts_is_told_to_the_operator(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chat.db"
    settings = Settings.load(database_url=str(file))
    later: list[Callable[[], Coroutine[None, None, None]]] = []

    def lifespan() -> AbstractAsyncContextManager[Any]:
        app = create_app(settings, hooks=Hooks(open_later=later.append))
        return app.router.lifespan_context(app)

    async with lifespan() as state:
        await state["conversations"].history()
    async with lifespan():
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        with capture_logs() as logs:
            await later[0]()
    (line,) = logs
    assert line["log_level"] == "error"
    assert "made by a newer stream-serve" in line["error"]


async def test_a_key_makes_a_real_model_answer_with_the_patience_of_the_settings() -> None:
    settings = Settings.load(
        dashscope_api_key="sk-1", first_token_timeout=11.0, idle_timeout=7.0, require_finish=False
    )
    provider = create_provider(settings)
    assert isinstance(provider, OpenAIProvider)
    endpoint = provider.endpoint
    assert (endpoint.url, endpoint.key, endpoint.model, endpoint.key_name) == (
        *(DASHSCOPE_URL, "sk-1", DASHSCOPE_MODEL, "DASHSCOPE_API_KEY"),
    )
    assert provider.endpoint.traits.require_finish is False
    producer = provider.ask(ChatRequest("m", [{"role": "user", "content": "a"}], {}))
    assert producer.patience == Patience(first_token=11.0, idle=7.0)
    await provider.close()
