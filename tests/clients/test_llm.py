"""The command `llm`, with the service's models in its `extra-openai-models.yaml`."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.testing import ANSWER
from support.clients import environment, python
from support.process import PATIENCE, running

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream

MODELS: Final = """\
- model_id: {name}
  model_name: {name}
  api_base: {url}
{key}"""


@pytest.fixture
def folder(tmp_path: Path, door: Door) -> Path:
    """The folder of `llm`: some models, and where the service wants a key, that in its file of keys."""
    key = "  api_key_name: stream-serve\n" if door.key != "any" else ""
    names = ("answer", "error-mid", "hang-mid")
    listed = (MODELS.format(name=name, url=door.words["base_url"], key=key) for name in names)
    (tmp_path / "extra-openai-models.yaml").write_text("".join(listed))
    (tmp_path / "keys.json").write_text(json.dumps({"stream-serve": door.key}))
    return tmp_path


def start(folder: Path, *arguments: str) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    return running(
        str(python()),
        "-m",
        "llm",
        *arguments,
        env=environment(LLM_USER_PATH=str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ask(folder: Path, *arguments: str) -> tuple[int | None, str, str]:
    async with start(folder, *arguments) as process, asyncio.timeout(PATIENCE):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("options", [[], ["--no-stream"]])
async def test_a_question_is_answered(folder: Path, options: list[str]) -> None:
    code, out, err = await ask(folder, "-m", "answer", "Hello", *options)
    assert (code, out.rstrip("\n")) == (0, ANSWER.rstrip("\n")), err


async def test_a_conversation_goes_on(folder: Path, upstream: ScriptedUpstream) -> None:
    await ask(folder, "-m", "answer", "Hello")
    code, _, err = await ask(folder, "-c", "And now?")
    assert code == 0, err
    said = [message["content"] for message in upstream.requests[1].body["messages"]]
    assert said == ["Hello", ANSWER, "And now?"]


async def test_a_failure_in_the_middle_ends_it_with_an_error(folder: Path) -> None:
    code, out, err = await ask(folder, "-m", "error-mid", "Hello")
    assert code == 1
    assert out.startswith(ANSWER[:12])
    assert "The model crashed" in err


async def test_an_interrupt_stops_the_provider(folder: Path, upstream: ScriptedUpstream) -> None:
    asked = start(folder, "-m", "hang-mid", "Hello")
    async with asked as process, asyncio.timeout(PATIENCE):
        assert process.stdout is not None
        await process.stdout.readexactly(1)
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode != 0
    await upstream.wait_for(lambda record: record.closed_by == "peer")
