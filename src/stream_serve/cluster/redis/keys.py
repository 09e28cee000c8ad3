"""The names of all keys in Redis.

What stands in {braces} decides the slot of a cluster: the keys of one log are in one slot, so that a
script may touch them together.
"""

from __future__ import annotations

from typing import Final

PROCESSES: Final = "stream-serve:processes"
"""Sorted set: the ids of the processes, by the time of Redis in ms at which their lease runs out."""


def inbox(process: str) -> str:
    """Stream: questions, statements and answers for a process. Ends with its lease."""
    return f"stream-serve:{{{process}}}:inbox"


def logs(process: str) -> str:
    """Set: the names of the logs that a process is writing and has not finished."""
    return f"stream-serve:{{{process}}}:logs"


def meta(name: str) -> str:
    """Hash: `epoch`, `process`, `about` and `note` of a log; `ended` is 1 when it is finished."""
    return f"stream-serve:{{{name}}}:log"


def frames(name: str, epoch: str) -> str:
    """Stream: the frames of a log, written by whoever has this epoch.

    An entry's id is `<number of its first frame>-0`. `d` has the frames, joined; `n` their lengths
    (uint32, little-endian), absent for a single frame; `e` is 1 on the entry that finishes the log;
    `g` is 1 where numbers were skipped in front of the entry.
    """
    return f"stream-serve:{{{name}}}:frames:{epoch}"


def forbidden(name: str) -> str:
    """String, for a while: no log of this name may be made."""
    return f"stream-serve:{{{name}}}:forbidden"


def owner(owner: str) -> str:
    """Sorted set: the names of an owner's runs, by the time in ms at which each counts no more."""
    return f"stream-serve:{{{owner}}}:runs"
