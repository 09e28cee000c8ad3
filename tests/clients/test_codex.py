"""Codex CLI, with the service as a provider of its own."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from stream_serve.testing import ANSWER
from support.clients import NODE_MODULES, environment, node
from support.process import PATIENCE, running

if TYPE_CHECKING:
    from pathlib import Path

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream

CONFIG: Final = """\
model_provider = "stream-serve"
[model_providers.stream-serve]
name = "stream-serve"
base_url = "{url}"
env_key = "STREAM_SERVE_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


async def ask(folder: Path, door: Door, model: str) -> tuple[int | None, list[dict[str, Any]], str]:
    """Ask one question; return the exit code, the events, and what else was said."""
    home = folder / "codex"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG.format(url=door.words["base_url"]))
    async with running(
        str(node()),
        str(NODE_MODULES / "@openai" / "codex" / "bin" / "codex.js"),
        *("exec", "--json", "--skip-git-repo-check", "-m", model, "Hello"),
        cwd=folder,
        env=environment(CODEX_HOME=str(home), HOME=str(folder), STREAM_SERVE_KEY=door.key),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    ) as process:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    events = [json.loads(line) for line in out.decode().splitlines() if line.startswith("{")]
    return process.returncode, events, err.decode()


async def test_a_question_is_answered(
    tmp_path: Path, door: Door, upstream: ScriptedUpstream
) -> None:
    code, events, err = await ask(tmp_path, door, "answer")
    assert code == 0, err
    items = [event["item"] for event in events if event["type"] == "item.completed"]
    said = [item["text"] for item in items if item["type"] == "agent_message"]
    assert [text.strip() for text in said] == [ANSWER.strip()]
    sent = upstream.requests[0].body
    assert sent["tools"]
    assert {tool["type"] for tool in sent["tools"]} == {"function"}


async def test_a_failure_in_the_middle_is_said(tmp_path: Path, door: Door) -> None:
    code, events, err = await ask(tmp_path, door, "error-mid")
    assert code != 0
    assert "The model crashed" in json.dumps(events) + err
