"""The examples of the page on clients, run as they stand; both languages have the same."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from playwright.async_api import expect

from clients.conftest import KEY, KeyedDoor
from stream_serve.testing import ANSWER
from support.browser import browser
from support.clients import NODE_MODULES, PATIENCE, PROGRAMS, bundle_code, environment, node, python
from support.pages import READMES, pair, read
from support.site import Site

if TYPE_CHECKING:
    from pathlib import Path

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream

URL: Final = "http://localhost:3000"
PYTHON: Final = {
    "openai for Python": "clients",
    "LangChain": "clients",
    "LlamaIndex": "clients-llama-index",
    "OpenAI Agents": "clients",
}
NODE: Final = ["openai for Node and browsers", "AI SDK", "AG-UI"]
PAGE: Final = pair("dialects")[0]


def example(language: str, heading: str, door: Door) -> str:
    """Return the code of a client's section, for this service."""
    (section,) = (one for one in sections(PAGE) if one.partition("\n")[0] == heading)
    (code,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return re.sub(r"\bany\b", door.key, str(code).replace(URL, door.url))


def sections(page: str) -> list[str]:
    """Return what the page says of each client, which begins with its name."""
    return read(page).split("\n## ")[1].split("\n### ")[1:]


def output(command: list[str], code: str, **variables: str) -> str:
    """Return what a program prints that is given its code on standard input."""
    ended = subprocess.run(
        command,
        input=code.encode(),
        env=environment(**variables),
        cwd=PROGRAMS / "node",
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode()


@pytest.mark.parametrize("heading", PYTHON)
async def test_an_example_in_python_prints_the_answer(heading: str, keyed_door: Door) -> None:
    code = example("python", heading, keyed_door)
    command = [str(python(PYTHON[heading])), "-"]
    assert await asyncio.to_thread(output, command, code) == ANSWER


@pytest.mark.parametrize("heading", NODE)
async def test_an_example_for_node_prints_the_answer(heading: str, keyed_door: Door) -> None:
    code = example("js", heading, keyed_door)
    assert await asyncio.to_thread(output, [str(node()), "--input-type=module"], code) == ANSWER


async def test_the_example_of_llm_prints_the_answer(keyed_door: Door, tmp_path: Path) -> None:
    models = example("yaml", "llm", keyed_door)
    models += "  api_key_name: stream-serve\n"
    (tmp_path / "keys.json").write_text(json.dumps({"stream-serve": keyed_door.key}))
    (tmp_path / "extra-openai-models.yaml").write_text(models)
    _, *arguments = shlex.split(example("bash", "llm", keyed_door))
    command = [str(python()), "-m", "llm", *arguments]
    printed = await asyncio.to_thread(output, command, "", LLM_USER_PATH=str(tmp_path))
    assert printed.rstrip("\n") == ANSWER.rstrip("\n")


async def test_the_example_of_codex_prints_the_answer(keyed_door: Door, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(example("toml", "Codex", keyed_door))
    setting, _, *arguments = shlex.split(example("bash", "Codex", keyed_door))
    name, _, key = setting.partition("=")
    command = [str(node()), str(NODE_MODULES / "@openai" / "codex" / "bin" / "codex.js")]
    options = [*arguments[:1], "--skip-git-repo-check", *arguments[1:]]
    variables = {name: key, "CODEX_HOME": str(tmp_path), "HOME": str(tmp_path)}
    printed = await asyncio.to_thread(output, [*command, *options], "", **variables)
    assert printed.strip() == ANSWER.strip()


async def test_the_example_of_usechat_shows_the_answer(upstream: ScriptedUpstream) -> None:
    async with Site() as site, browser() as open_page:
        origin = site.url.removesuffix("/")
        service = KeyedDoor(upstream_url=upstream.url, api_keys=KEY, cors_origins=origin)
        async with service as keyed_door:
            code = example("jsx", "useChat", keyed_door)
            show = 'createRoot(document.getElementById("root")).render(<Chat id="a chat" />);'
            site.script = bundle_code(
                f'import {{ createRoot }} from "react-dom/client";\n{code}\n{show}'
            )
            page = await open_page()
            await page.goto(site.url)
            await page.locator("input").fill("Hello")
            await page.get_by_text("Send").click()
            await expect(page.locator("p.assistant")).to_have_text(ANSWER)
            assert await page.locator("p.user").text_content() == "Hello"
            await page.close()


def test_both_languages_have_the_same_examples() -> None:
    english, chinese = (
        re.findall(r"```.*?```", "".join(sections(page)), re.DOTALL) for page in pair("dialects")
    )
    assert english == chinese


def test_the_first_page_names_the_clients_of_the_page_on_clients() -> None:
    pages = [*pair("dialects"), *READMES]
    named = [re.findall(r"^\| .*?\| (`http[^|]+`) \|", read(page), re.MULTILINE) for page in pages]
    assert named[0]
    assert named[0] == named[1]
    assert set(named[2]) == set(named[3]) == set(named[0])
