"""The keys of the logs in Redis.

All keys of one log are in one slot of a Redis Cluster, because the log's name is in {braces}: a script
may touch them together.
"""

from __future__ import annotations


def meta(name: str) -> str:
    """Return the key of a log's hash.

    Its fields are `epoch`, `process`, `about` (the fingerprint) and `note` (the summary); `ended` is 1
    as soon as the log is finished, and `by` and `until` say which process recovers it, and for how long
    that process may take.
    """
    return f"stream-serve:{{{name}}}:log"


def frames(name: str, epoch: str) -> str:
    """Return the key of a stream: the frames of a log, written by the process that has this epoch.

    The id of an entry is `<number of its first frame>-0`. The field `d` has the frames, joined; `n` has
    their lengths (uint32, little-endian) and is absent for a single frame; `e` is 1 on the entry that
    finishes the log; `g` is 1 if numbers were skipped before the entry.
    """
    return f"stream-serve:{{{name}}}:frames:{epoch}"


def forbidden(name: str) -> str:
    """Return the key of a string: while it exists, no log of this name may be made."""
    return f"stream-serve:{{{name}}}:forbidden"


def erased(name: str) -> str:
    """Return the key of a string: the birth mark of the epochs of a log that another process has erased.

    Its writer, if it comes back, does not write it again.
    """
    return f"stream-serve:{{{name}}}:erased"
