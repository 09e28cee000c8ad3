"""The types of jobs and of tails, as a program sees them: checked and never run.

Each line with `pyright: ignore` has to be an error: one that is none is an error itself.
"""

from __future__ import annotations

from typing import assert_type

from stream_serve import (
    Job,
    JobEnded,
    JobError,
    JobTaken,
    Stopped,
    Streams,
    StreamServeError,
    SyncJob,
)
from stream_serve.client import AsyncClient, Client

streams = Streams.sqlite("chat.db")
assert_type(streams.open("job-42", owner="alice", lease=5, on_stop="cancel"), Job)
assert_type(streams.open_sync("job-42", key="sk-1", again=True), SyncJob)
streams.open("job-42", "alice")  # pyright: ignore[reportCallIssue]
streams.open("job-42", on_stop="stop")  # pyright: ignore[reportArgumentType]
streams.open_sync(42)  # pyright: ignore[reportArgumentType]


async def unpack() -> None:
    async with streams.open("job-42") as job:
        assert_type(job, Job)
        assert_type(await job.log("a line"), None)
        await job.progress(0.4, "unpacking")
        await job.progress("0.4")  # pyright: ignore[reportArgumentType]
        await job.write({"any": ["json", 1, None]})
        assert_type(job.check(), None)
    async with AsyncClient("http://localhost:3000") as client:
        assert_type(client.job("job-42"), Job)
        async for message in client.tail("job-42", after=3):
            str(message)


def work() -> None:
    with streams.open_sync("job-42") as job:
        assert_type(job, SyncJob)
        assert_type(job.log("a line"), None)
        job.progress(0.4, "unpacking")
        job.write(None)
        job.check()
    with Client("http://localhost:3000") as client:
        assert_type(client.job("job-42"), SyncJob)
        for message in client.tail("job-42"):
            str(message)


def ended(error: Stopped | JobTaken | JobEnded) -> StreamServeError | JobError:
    return error
