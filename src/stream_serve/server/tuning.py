"""Process limits for many open streams: file descriptors and the garbage collector.

Each function is called once for each serving process. Where the system refuses a change, the process
serves with what it has.
"""

from __future__ import annotations

import gc
import os
import resource
from contextlib import suppress
from typing import Final

_MAX_DESCRIPTORS: Final = 1_048_576
_RESERVED_DESCRIPTORS: Final = 24
_PREALLOCATED_DESCRIPTORS: Final = 65_536
_DESCRIPTORS_PER_RUN: Final = 2


def raise_descriptor_limit() -> int:
    """Raise the soft limit of file descriptors (RLIMIT_NOFILE) to the hard one.

    Return the number of client connections that fit: each run needs a second descriptor for its
    provider's connection, and some stay reserved for log files, the database and Redis.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(_MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard, _MAX_DESCRIPTORS)
    with suppress(ValueError, OSError):  # some systems allow less than their hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(1, (soft - _RESERVED_DESCRIPTORS) // _DESCRIPTORS_PER_RUN)


def preallocate_descriptor_table() -> None:
    """Make the kernel allocate this process's descriptor table at its full size now.

    The kernel doubles the table as it fills, and each time stops a process with threads for about
    20 ms. Opening and closing one high descriptor does all of that at the start.
    """
    size = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _PREALLOCATED_DESCRIPTORS)
    with suppress(OSError):
        null = os.open(os.devnull, os.O_RDONLY)
        try:
            os.close(os.dup2(null, size - 1))
        finally:
            os.close(null)


def tune_garbage_collector() -> None:
    """Let the garbage collector run, but never stop the streams for long.

    Objects that exist now are frozen: the collector never scans them again. The few of them that are
    garbage stay: to find them would take a tenth of the start. Young objects are looked at in small
    portions, so that no stream waits for long when many begin at once, and the older ones rarely,
    because a stream leaves almost no cycles behind: more rarely still, one look would take longer.
    """
    gc.freeze()
    gc.set_threshold(2_000, 25, 20)
    gc.enable()
