"""A network between a service and its provider that drops every packet from a moment on.

How it works: `in_network` runs a program in a network of its own. There the
provider listens on `ADDRESS`. When the kernel no longer knows that address, what either side sends to the
other goes nowhere, and nobody is told; when it knows it again, the two sides find each other.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from support.missing import lack

ADDRESS: Final = "127.0.0.2"
_TESTS: Final = Path(__file__).parents[1]
_BEGIN: Final = f"""
set -e
ip link set lo up
ip address add 127.0.0.1/32 dev lo
ip address add {ADDRESS}/32 dev lo
ip address delete 127.0.0.1/8 dev lo
exec "$@"
"""
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_SECONDS: Final = 100


def in_network(*program: str) -> None:
    """Run a Python program, such as `-m support.x`, in a network of its own; it has to end well.

    Skips the test, or fails in CI, where there can be no such network.
    """
    for tool in ("unshare", "ip"):
        if shutil.which(tool, path=_PATH) is None:
            lack(f"{tool} is not installed")
    unshare = ["unshare", "--map-root-user", "--net", "sh", "-c", _BEGIN, "sh"]
    environment = {**os.environ, "PATH": _PATH, "PYTHONPATH": str(_TESTS)}
    tried = subprocess.run([*unshare, "true"], env=environment, capture_output=True, check=False)
    if tried.returncode != 0:
        lack("this machine allows no network of one's own")
    subprocess.run(
        [*unshare, sys.executable, *program], env=environment, timeout=_SECONDS, check=True
    )


async def drop(*, packets: bool) -> None:
    """Drop every packet to and from the provider from now on, or pass them on again."""
    action = "delete" if packets else "add"
    process = await asyncio.create_subprocess_exec(
        *("ip", "address", action, f"{ADDRESS}/32", "dev", "lo")
    )
    assert await process.wait() == 0
