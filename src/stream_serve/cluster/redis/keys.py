"""The keys in Redis that belong to the processes. Each room has the keys that it owns.

The part of a name in {braces} decides the slot of a Redis Cluster: keys with the same part are in one
slot, so that a script may touch them together.
"""

from __future__ import annotations

from typing import Final

PROCESSES: Final = "stream-serve:processes"
"""Sorted set: the ids of the processes, by the time of Redis in ms at which their lease runs out."""


def inbox(process: str) -> str:
    """Return the key of a stream: questions, statements and replies for a process.

    It expires with the lease of the process.
    """
    return f"stream-serve:{{{process}}}:inbox"


def unfinished(process: str) -> str:
    """Return the key of a set: the names of the logs that a process is writing and has not finished."""
    return f"stream-serve:{{{process}}}:logs"


def index(name: str) -> str:
    """Return the key of a list: the values that were recorded under a name, the newest first.

    It expires some time after the newest one.
    """
    return f"stream-serve:{{{name}}}:index"
