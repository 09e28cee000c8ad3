"""What the figures were made on: the machine, and the versions of what was measured."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import msgspec

from bench.targets import PEERS, redis_program
from stream_serve import __version__


def describe() -> dict[str, str]:
    """Name the processor, the system and the programs."""
    facts = {
        "processor": _processor(),
        "processors": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "stream-serve": __version__,
        "nginx": _version("nginx", "-v"),
        "Node": _version("node", "--version"),
        "Redis": _version(redis_program() or "redis-server", "--version"),
        "packages": ", ".join(_packages()),
    }
    return {name: value for name, value in facts.items() if value}


def _packages() -> list[str]:
    """Name what the peers are made of, with the versions that are asked for."""
    node = msgspec.json.decode((PEERS / "node" / "package.json").read_bytes(), type=_Package)
    names = [f"{name} {version} (Node)" for name, version in node.dependencies.items()]
    for path in sorted(PEERS.glob("*/requirements.txt")):
        names += [line.replace("==", " ") for line in path.read_text().splitlines() if "==" in line]
    return names


class _Package(msgspec.Struct):
    dependencies: dict[str, str]


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _version(program: str, option: str) -> str:
    if shutil.which(program) is None:
        return ""
    result = subprocess.run([program, option], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", result.stdout + result.stderr)
    return found[0] if found else ""
