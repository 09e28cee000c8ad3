"""Jobs, wherever they write: the same for a store and for a service over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest

from stream_serve import JobEnded, JobTaken, Stopped
from stream_serve.streams.errors import StreamConflict, StreamNotFound
from support.jobs import WAYS, Site, contents, ended, messages, site
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import aiohttp

    from stream_serve import Job
    from stream_serve.jobs.outbox import Outbox


@pytest.fixture(params=WAYS)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with site(str(request.param), tmp_path) as made:
        yield made


def outbox(job: Job) -> Outbox:
    return cast("Outbox", vars(vars(job)["_opened"])["_outbox"])


def appends(job: Job) -> int:
    """Return how many appends a job has made so far."""
    return vars(outbox(job))["_number"]


class Interrupted:
    """A place before one of whose methods something else is done, once."""

    def __init__(self, place: Any, step: str, before: Callable[[], Awaitable[object]]) -> None:
        self._place = place
        self._step = step
        self._before = [before]

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._place, name)
        return method if name != self._step else partial(self._later, method)

    async def _later(self, method: Callable[..., Awaitable[object]], *given: object) -> object:
        if self._before:
            await self._before.pop()()
        return await method(*given)


def meanwhile(job: Job, step: str, before: Callable[[], Awaitable[object]]) -> None:
    """Let something be done before the job's place is asked for a step."""
    connect = vars(job)["_connect"]

    @asynccontextmanager
    async def interrupted() -> AsyncGenerator[Interrupted]:
        async with connect() as place:
            yield Interrupted(place, step, before)

    vars(job)["_connect"] = interrupted


async def test_what_a_job_says_is_a_stream_with_one_typed_end(
    client: aiohttp.ClientSession, place: Site
) -> None:
    async with place.open("job-42") as job:
        assert not job.resumed
        await job.progress(0.4, "unpacking")
        await job.log("a line\ud800", source="stderr")
        await job.write({"any": ["json", None]})
        await job.chunk("a piece")
        job.check()
    said = await ended(client, place.stream("job-42"))
    for one in said:
        if one["type"] != "chunk":
            assert datetime.fromisoformat(one.pop("at")).utcoffset() is not None
    assert said == [
        {"type": "progress", "value": 0.4, "content": "unpacking"},
        {"type": "log", "content": "a line?", "source": "stderr"},
        {"type": "data", "data": {"any": ["json", None]}},
        {"type": "chunk", "content": "a piece"},
        {"type": "end", "finishReason": "completed"},
    ]


async def test_an_exception_is_the_end_in_words_and_goes_on(
    client: aiohttp.ClientSession, place: Site
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with place.open("failing"):
            raise ZeroDivisionError("no")
    end = (await ended(client, place.stream("failing")))[-1]
    assert (end["finishReason"], end["error"]) == ("failed", "ZeroDivisionError: no")


async def test_a_cancelled_job_says_so(client: aiohttp.ClientSession, place: Site) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with place.open("cancelled"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    end = (await ended(client, place.stream("cancelled")))[-1]
    assert (end["finishReason"], end["error"]) == ("failed", "CancelledError")


async def test_a_stop_is_seen_by_check_and_acknowledged_by_the_end(
    client: aiohttp.ClientSession, place: Site
) -> None:
    stream = place.stream("stopped")

    async def work() -> None:
        async with place.open("stopped") as job:
            await client.post(f"{stream}/stop")
            await until(lambda: job.stopping)
            await job.log("the rest")
            job.check()

    with pytest.raises(Stopped):
        await work()
    said = await ended(client, stream)
    assert contents(said) == ["the rest"]
    assert said[-1]["finishReason"] == "stopped"
    async with client.post(f"{stream}/stop") as response:
        assert (await response.json())["acknowledged"]


async def test_a_stop_comes_to_a_job_that_says_nothing(
    client: aiohttp.ClientSession, place: Site
) -> None:
    async with place.open("silent", lease=86_400) as job:
        await client.post(f"{place.stream('silent')}/stop")
        await until(lambda: job.stopping)
        assert appends(job) == 0


async def test_a_stop_cancels_a_block_that_asked_for_that(
    client: aiohttp.ClientSession, place: Site
) -> None:
    stream = place.stream("asked")

    async def work() -> None:
        async with place.open("asked", on_stop="cancel"):
            await client.post(f"{stream}/stop")
            await asyncio.Event().wait()

    with pytest.raises(Stopped):
        await work()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    assert (await ended(client, stream))[-1]["finishReason"] == "stopped"


async def test_many_lines_are_few_appends_in_their_order(
    client: aiohttp.ClientSession, place: Site
) -> None:
    async with place.open("many", lease=3_000) as job:
        for number in range(2_000):
            await job.log(str(number))
        assert appends(job) < 200
    said = await ended(client, place.stream("many"))
    assert contents(said) == [str(number) for number in range(2_000)]


async def test_after_a_flush_everything_is_there(
    client: aiohttp.ClientSession, place: Site
) -> None:
    async with place.open("flushed") as job:
        for number in range(10):
            await job.log(str(number))
            await job.flush()
            said = await messages(client, place.stream("flushed"))
            assert contents(said) == [str(one) for one in range(number + 1)]


async def test_who_opens_a_job_that_goes_on_takes_it_over(
    client: aiohttp.ClientSession, place: Site
) -> None:
    async def work() -> None:
        async with place.open("two") as first:
            await first.log("first")
            await first.flush()
            async with place.open("two") as second:
                assert second.resumed
                await second.log("second")
                await second.flush()
                await first.log("too late")
                with pytest.raises(JobTaken):
                    await first.flush()
                await second.log("second again")
            first.check()

    with pytest.raises(JobTaken):
        await work()
    said = await ended(client, place.stream("two"))
    assert contents(said) == ["first", "second", "second again"]
    assert [one["finishReason"] for one in said if one["type"] == "end"] == ["completed"]


async def test_of_many_who_open_at_once_one_writes(
    client: aiohttp.ClientSession, place: Site
) -> None:
    opened = asyncio.Barrier(8)

    async def work(number: int) -> bool:
        try:
            async with place.open("race") as job:
                await opened.wait()
                await job.log(str(number))
        except JobTaken:
            return False
        return True

    won = await asyncio.gather(*(work(number) for number in range(8)))
    said = await ended(client, place.stream("race"))
    assert contents(said) == [str(won.index(True))]
    assert won.count(True) == 1


async def test_a_job_that_has_ended_is_begun_again_only_on_request(
    client: aiohttp.ClientSession, place: Site
) -> None:
    async with place.open("again") as job:
        await job.log("first")
    with pytest.raises(JobEnded, match="again=True"):
        async with place.open("again"):
            raise AssertionError
    async with place.open("again", again=True) as job:
        assert not job.resumed
        await job.log("second")
    assert contents(await ended(client, place.stream("again"))) == ["second"]


async def test_what_another_has_begun_again_is_not_removed(
    client: aiohttp.ClientSession, place: Site
) -> None:
    """Two have seen that the job has ended; the second removes it after the first has begun."""
    async with place.open("both") as job:
        await job.log("old")
    first, second = (place.open("both", again=True) for _ in range(2))
    meanwhile(second, "remove", first.__aenter__)
    async with second:
        assert second.resumed
        await second.log("second")
        with pytest.raises(JobTaken):
            await first.__aexit__(None, None, None)
    said = await ended(client, place.stream("both"))
    assert contents(said) == ["second"]


@pytest.mark.parametrize("step", ["create", "append"])
async def test_a_job_that_ends_while_another_one_opens_it_is_looked_at_anew(
    client: aiohttp.ClientSession, place: Site, step: str
) -> None:
    async def whole() -> None:
        async with place.open("quick"):
            """It ends at once."""

    late = place.open("quick")
    meanwhile(late, step, whole)
    with pytest.raises(JobEnded, match="again=True"):
        await late.__aenter__()
    again = place.open("quick", again=True)
    meanwhile(again, "remove", partial(client.delete, place.stream("quick")))
    async with again:
        await again.log("again")
    assert contents(await ended(client, place.stream("quick"))) == ["again"]


async def test_a_stream_of_another_kind_is_no_job(
    client: aiohttp.ClientSession, place: Site
) -> None:
    await client.put(place.stream("text"), headers={"Content-Type": "text/plain"})
    with pytest.raises(StreamConflict):
        async with place.open("text"):
            raise AssertionError


async def test_a_job_whose_stream_was_closed_or_removed_is_told(
    client: aiohttp.ClientSession, place: Site
) -> None:
    async def work(name: str) -> None:
        async with place.open(name) as job:
            if name == "closed":
                await client.post(place.stream(name), headers={"Stream-Closed": "true"})
            else:
                await client.delete(place.stream(name))
            await job.log("too late")

    for name in ("closed", "removed"):
        with pytest.raises(JobEnded):
            await work(name)


async def test_a_lease_is_renewed_while_the_block_is_open(
    client: aiohttp.ClientSession, place: Site
) -> None:
    async with place.open("leased", lease=0.6) as job:
        before = appends(job)
        await until(lambda: appends(job) > before + 4)  # which is longer than the lease
    assert (await ended(client, place.stream("leased")))[-1]["finishReason"] == "completed"


async def test_who_speaks_waits_while_too_much_waits(place: Site) -> None:
    async with place.open("flood") as job:
        for _ in range(40):
            await job.write("x" * 100_000)
            assert vars(outbox(job))["_size"] < 1_048_576 + 100_200
        with pytest.raises(ValueError, match="in parts"):
            await job.write("x" * 1_048_576)


async def test_a_job_is_opened_once_and_used_in_its_block(place: Site) -> None:
    job = place.open("once")
    with pytest.raises(RuntimeError, match="not open"):
        await job.log("early")
    async with job:
        pass
    with pytest.raises(RuntimeError, match="opened once"):
        async with job:
            raise AssertionError
    with pytest.raises(ValueError, match="lease"):
        place.open("once", lease=0)


async def test_names_that_no_stream_can_have_are_refused(place: Site) -> None:
    with pytest.raises((StreamNotFound, ValueError)):
        async with place.open("a//b"):
            raise AssertionError
