"""The pages of the documentation, and what is in them: code blocks, tables, links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
READMES: Final = ["README.md", "README.zh-CN.md"]


def pair(name: str) -> list[str]:
    """Return a page of `docs/` in both languages."""
    return [f"docs/{name}.md", f"docs/{name}.zh-CN.md"]


def everything() -> list[str]:
    """Return every page of the project, as paths from its root."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def read(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", read(page), re.DOTALL)


def rows(page: str, *, columns: int) -> list[list[str]]:
    """Return the cells of every table row that begins with code and has so many columns."""
    lines = [line for line in read(page).splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if len(row) == columns]
