"""The keys of streams in Redis.

A script touches keys of one owner, of its streams' data, and the one of what is due. They are not in one
slot of a Redis Cluster, which is not supported.
"""

from __future__ import annotations

from typing import Final

DUE: Final = "stream-serve:streams:due"
"""Sorted set: the streams of all owners (see `member`), by the time at which each is due."""


def member(owner: str, path: str) -> str:
    """Return what names a stream in `DUE`. No owner has a zero in it."""
    return f"{owner}\0{path}"


def stream(owner: str, path: str) -> str:
    """Return the key of a stream's hash: `v` is its version, `s` its state.

    It is also the channel on which is published who has changed the stream.
    """
    return f"stream-serve:{{{owner}}}:stream:{path}"


def totals(owner: str) -> str:
    """Return the key of a hash: how many `streams` an owner has, and how many `bytes` in them."""
    return f"stream-serve:{{{owner}}}:streams"


def chunks(data_id: str) -> str:
    """Return the key of a hash: the bytes of a data by the number of their chunk, all of one size."""
    return f"stream-serve:{{{data_id}}}:chunks"


def tail(data_id: str) -> str:
    """Return the key of a string: the bytes of a data after its last chunk, which are fewer than one."""
    return f"stream-serve:{{{data_id}}}:tail"
