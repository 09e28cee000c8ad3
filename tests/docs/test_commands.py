"""Every command that a page names is there after `./scripts/serve` has set up a fresh clone."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
from importlib.metadata import distribution
from typing import TYPE_CHECKING, Final

import pytest

from support.pages import READMES, ROOT, blocks, pair, read

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES: Final = [
    *READMES,
    "CONTRIBUTING.md",
    "docs/performance.md",
    "docs/performance.zh-CN.md",
    *(
        page
        for name in ("settings", "providers", "api", "deployment", "testing")
        for page in pair(name)
    ),
]
SYSTEM: Final = {"cd", "cp", "curl", "git"}
SEPARATORS: Final = {"&&", "||", "|", ";", "&"}


def commands(script: str) -> Iterator[list[str]]:
    """Split a script into commands, without comments and without settings in front of them."""
    for line in script.replace("\\\n", " ").replace("<this repository>", "URL").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if word not in SEPARATORS:
                if command or not re.match(r"\w+=", word):
                    command.append(word)
            elif command:
                yield command
                command = []


def inline(page: str) -> list[str]:
    """Return the commands in a page's text and tables."""
    texts = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", read(page), flags=re.DOTALL))
    return [text for text in texts if re.match(r"\./|scripts/|\.venv/|(\w[\w-]*) \S", text)]


def installed() -> set[str]:
    """Return the programs that `scripts/setup serve` puts into `.venv/bin`."""
    listed = (ROOT / "requirements" / "serve.txt").read_text(encoding="ascii")
    names = {"stream-serve", *re.findall(r"^([\w.-]+)(?:\[.*\])?==", listed, re.MULTILINE)}
    programs = {"python"}
    for name in names:
        if importlib.util.find_spec(name.replace("-", "_")) is not None:
            points = distribution(name).entry_points
            programs |= {point.name for point in points if point.group == "console_scripts"}
    return programs


def check(command: list[str]) -> None:
    """Fail with a reason for a command that a fresh clone does not have."""
    program, arguments = command[0], command[1:]
    folder, _, name = program.removeprefix("./").rpartition("/")
    if folder == "scripts":
        assert os.access(ROOT / "scripts" / name, os.X_OK), program
    elif folder == ".venv/bin":
        assert name in installed(), program
        if name == "python":
            assert arguments[0] == "-m"
            assert importlib.util.find_spec(arguments[1]) is not None, arguments[1]
    else:
        assert program in SYSTEM, f"{program} may be missing on a fresh machine"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_there_in_a_fresh_clone(page: str) -> None:
    scripts = [*blocks(page, "bash"), *(inline(page) if page in READMES else [])]
    found = [command for script in scripts for command in commands(script)]
    assert found
    for command in found:
        check(command)


@pytest.mark.parametrize(
    "command", ["stream-serve chat", "uv build", "python -m stream_serve.testing.upstream"]
)
def test_a_command_that_a_fresh_clone_does_not_have_is_noticed(command: str) -> None:
    with pytest.raises(AssertionError, match="fresh machine"):
        check(command.split())
