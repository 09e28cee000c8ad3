"""The one loader of scripts. Each script is a file NAME.lua beside the code that runs it."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def load(package: str, name: str) -> str:
    """Return the text of a script beside the modules of `package`. Raises `FileNotFoundError`."""
    return (files(package) / f"{name}.lua").read_text(encoding="utf-8")
