"""Our service's command, which tells how many asyncio tasks it has: on SIGUSR1, into a file.

`BENCH_TASKS` names the file. The arguments are those of `stream-serve`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from stream_serve.commands.cli import main

if TYPE_CHECKING:
    from types import FrameType


def tell(number: int, frame: FrameType | None) -> None:
    """Write the number of tasks of the loop that this signal has interrupted."""
    del number, frame
    path = Path(os.environ["BENCH_TASKS"])
    new = path.with_suffix(".new")
    new.write_text(str(len(asyncio.all_tasks())))
    new.replace(path)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell)
    main()
