"""One's own generator in one's own application: stop, resume, readers, and who asks."""

from __future__ import annotations

import asyncio
import contextvars
import re
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urljoin

import aiohttp
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from structlog.testing import capture_logs

from stream_serve import ChatRequest, Chunk, Reasoning, Streams, UpstreamError
from support.host import serving
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from stream_serve.producers.functions import Function

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Talk:
    """A function that answers, and what happened to it."""

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []
        self.ended: list[str] = []
        self.go_on = asyncio.Event()

    async def answer(self, request: ChatRequest) -> AsyncGenerator[str | Reasoning | Chunk]:
        self.requests.append(request)
        try:
            yield Reasoning("hm")
            yield "one "
            await self.go_on.wait()
            yield Chunk("two")
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        else:
            self.ended.append("done")


@pytest.fixture
def talk() -> Talk:
    return Talk()


def hosted(streams: Streams, prefix: str = "/ai") -> FastAPI:
    app = FastAPI(lifespan=streams.lifespan, openapi_url=None)  # its own pages would be before ours
    app.mount(prefix, streams.routes())
    return app


async def ask(session: aiohttp.ClientSession, url: str, **body: object) -> aiohttp.ClientResponse:
    return await session.post(f"{url}/chat/stream-sse", json={"message": "hi", **body})


@pytest.mark.parametrize("prefix", ["/ai", "/deep/down", ""])
async def test_a_generator_is_stopped_resumed_and_read_twice_below_any_prefix(
    prefix: str, talk: Talk
) -> None:
    streams = Streams.memory()
    streams.chat(talk.answer)
    async with serving(hosted(streams, prefix)) as url, aiohttp.ClientSession() as session:
        base = url + (prefix or "/ai")
        first = await ask(session, base, onDisconnect="continue")
        run_id = first.headers["X-Run-Id"]
        second = await session.get(f"{base}/runs/{run_id}/events?after=2")
        async with asyncio.timeout(10):
            assert b'"one "' in await second.content.readuntil(b'one "}\n\n')
        first.close()
        resumed = await session.get(f"{base}/runs/{run_id}/events", headers={"Last-Event-ID": "1"})
        receipt = await session.post(f"{base}/runs/{run_id}/stop")
        assert (await receipt.json())["outcome"] == "stopped"
        for reader in (second, resumed):
            assert '"finishReason":"stopped"' in await reader.text()
        assert talk.ended == ["cancelled"]


async def test_the_other_doors_are_below_the_prefix_too(talk: Talk) -> None:
    streams = Streams.memory()
    streams.chat(talk.answer)
    talk.go_on.set()
    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        body = {"model": "answer", "messages": [{"role": "user", "content": "hi"}]}
        response = await session.post(f"{url}/ai/v1/chat/completions", json=body)
        answer = (await response.json())["choices"][0]["message"]
        assert answer["content"] == "one two"
        assert answer["reasoning_content"] == "hm"
        page = await session.get(f"{url}/ai/")
        assert page.status == 200
        assert str(page.url).startswith(f"{url}/ai/")
        info = await session.get(f"{url}/ai/info")
        assert (await info.json())["demo"] is False


@pytest.mark.parametrize("page", ["test-stream.html", "docs", "streams/jobs/42"])
@pytest.mark.parametrize("prefix", ["/ai", "/deep/down", ""])
async def test_a_page_has_its_files_below_any_prefix(prefix: str, page: str) -> None:
    async with (
        serving(hosted(Streams.memory(), prefix)) as url,
        aiohttp.ClientSession() as session,
    ):
        shown = await (await session.get(f"{url}{prefix}/{page}")).text()
        files = set(re.findall(r'(?:href|src)="([^"#]+)"', shown))
        assert files
        for file in {*files, f"{prefix}/openapi.json"}:
            async with session.get(urljoin(f"{url}{prefix}/{page}", file)) as response:
                assert (file, response.status) == (file, 200)
                assert await response.read()


@pytest.mark.parametrize("prefix", ["/ai", "/deep/down", ""])
async def test_a_stream_has_its_page_its_events_and_its_stop_below_any_prefix(prefix: str) -> None:
    streams = Streams.memory()
    async with serving(hosted(streams, prefix)) as url, aiohttp.ClientSession() as session:
        async with streams.open("jobs/42") as job:
            await job.log("a line")
        for name in ("jobs/42", "jobs"):
            async with session.get(f"{url}{prefix}/streams/{name}") as page:
                assert page.content_type == "text/html"
        for below in {"/ai", prefix or "/ai", f"{prefix}/ai"}:  # the last is what the page asks
            if not below.startswith(prefix):
                continue
            async with session.get(f"{url}{below}/streams/jobs/42/events") as events:
                assert '"a line"' in await events.text()
            async with session.post(f"{url}{below}/streams/jobs/42/stop") as stop:
                assert (stop.status, stop.content_type) == (200, "application/json")


async def test_nobody_but_this_machine_is_answered_unless_the_caller_is_known(talk: Talk) -> None:
    streams = Streams.memory()
    streams.chat(talk.answer)
    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        response = await session.post(
            f"{url}/ai/chat/stream-sse", json={"message": "hi"}, headers={"Host": "example.com"}
        )
        assert response.status == 421
        assert talk.requests == []


def user(authorization: Annotated[str | None, Header()] = None) -> str:
    if authorization is None:
        raise HTTPException(401, "log in", {"WWW-Authenticate": "Session"})
    return authorization.removeprefix("User ")


async def owner(name: Annotated[str, Depends(user)]) -> str:
    WHO.set(name)
    return name


async def test_the_application_says_whose_a_request_is(talk: Talk) -> None:
    streams = Streams.memory(owner=owner)
    seen: list[str] = []

    @streams.chat
    async def answer(request: ChatRequest) -> AsyncGenerator[str]:
        seen.extend((str(request.owner), WHO.get()))
        yield request.question

    alice, bob = ({"Authorization": f"User {name}"} for name in ("alice", "bob"))
    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        chat = f"{url}/ai/chat/stream-sse"
        nobody = await session.post(chat, json={"message": "hi"})
        assert nobody.status == 401
        assert nobody.headers["WWW-Authenticate"] == "Session"
        hers = await session.post(
            chat, json={"message": "hi"}, headers={**alice, "Host": "a.example"}
        )
        assert '"content":"hi"' in await hers.text()
        assert seen == ["alice", "alice"]
        run = f"{url}/ai/runs/{hers.headers['X-Run-Id']}"
        assert (await session.get(run, headers=alice)).status == 200
        assert (await session.get(run, headers=bob)).status == 404
        foreign = {**alice, "Origin": "http://localhost:5173"}
        assert (await session.post(chat, json={"message": "hi"}, headers=foreign)).status == 403


@pytest.mark.parametrize(
    ("name", "status"), [(None, 401), ("", 401), (7, 500), ("a b", 500), ("a" * 129, 500)]
)
async def test_a_dependency_that_names_nobody_lets_nobody_in(
    name: object, status: int, talk: Talk
) -> None:
    async def nobody() -> object:
        return name

    streams = Streams.memory(owner=nobody)
    streams.chat(talk.answer)
    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        assert (await ask(session, f"{url}/ai")).status == status
        assert (await session.get(f"{url}/ai/conversations")).status == status
        assert (await session.get(f"{url}/ai/info")).status == 200
        assert talk.requests == []


async def test_without_its_lifespan_it_starts_with_the_first_request(talk: Talk) -> None:
    streams = Streams.memory()
    streams.chat(talk.answer)
    talk.go_on.set()
    app = FastAPI()
    app.mount("/ai", streams.routes())
    with capture_logs() as log:
        async with serving(app) as url, aiohttp.ClientSession() as session:
            every = await asyncio.gather(*(ask(session, f"{url}/ai") for _ in range(5)))
            for response in every:
                assert '"finishReason":"stop"' in await response.text()
    (said,) = (line["event"] for line in log if line["log_level"] == "warning")
    assert "pass lifespan=streams.lifespan to FastAPI" in said


async def test_after_its_lifespan_it_says_so(talk: Talk) -> None:
    streams = Streams.memory()
    streams.chat(talk.answer)
    app = FastAPI()
    app.mount("/ai", streams.routes())
    async with serving(app) as url, aiohttp.ClientSession() as session:
        async with streams.lifespan():
            with pytest.raises(RuntimeError, match="run already"):
                async with streams.lifespan():
                    pass
            assert (await session.get(f"{url}/ai/models")).status == 200
        response = await session.get(f"{url}/ai/models")
        assert response.status == 503
        assert (await response.json())["code"] == "not_started"


async def test_the_end_of_the_application_is_told_to_the_readers(talk: Talk) -> None:
    streams = Streams.memory()
    streams.chat(talk.answer)
    app = FastAPI()
    app.mount("/ai", streams.routes())
    async with serving(app) as url, aiohttp.ClientSession() as session:
        async with streams.lifespan():
            reader = await ask(session, f"{url}/ai")
            await reader.content.readuntil(b'one "}\n\n')
        assert '"code":"run_interrupted"' in await reader.text()
        assert talk.ended == ["cancelled"]


async def test_a_generator_that_is_not_asynchronous_is_stopped_where_it_yields() -> None:
    streams = Streams.memory()
    ended: list[str] = []
    WHO.set("the caller")

    @streams.chat
    def count(request: ChatRequest) -> Generator[str]:
        try:
            number = 0
            while True:
                yield f"{WHO.get()} {number} "
                number += 1
        finally:
            ended.append("closed")

    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        reader = await ask(session, f"{url}/ai")
        await reader.content.readuntil(b'the caller 99 "}\n\n')
        await session.post(f"{url}/ai/runs/{reader.headers['X-Run-Id']}/stop")
        await until(lambda: ended == ["closed"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UpstreamError("the library is closed", retryable=True), "the library is closed"),
        (ValueError("sk-secret"), "the service failed; its log says why"),
    ],
)
@pytest.mark.parametrize("threaded", [False, True])
async def test_what_a_generator_raises_is_the_runs_error(
    error: Exception, said: str, *, threaded: bool
) -> None:
    async def answer(request: ChatRequest) -> AsyncGenerator[str]:
        yield "one"
        raise error

    def threads(request: ChatRequest) -> Generator[str]:
        yield "one"
        raise error

    streams = Streams.memory()
    function: Function = threads if threaded else answer
    streams.chat(function)
    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        text = await (await ask(session, f"{url}/ai")).text()
        assert said in text
        assert "sk-secret" not in text
        assert '"type":"end"' not in text


async def test_each_function_is_a_model_and_the_first_one_answers() -> None:
    streams = Streams.memory()

    @streams.chat
    async def fast(request: ChatRequest) -> AsyncGenerator[str]:
        yield "fast"

    @streams.chat(model="thorough")
    async def other(request: ChatRequest) -> AsyncGenerator[str]:
        yield "thorough"

    with pytest.raises(ValueError, match="already"):
        streams.chat(model="fast")(fast)
    with pytest.raises(TypeError, match="generator"):
        streams.chat(str)  # pyright: ignore[reportArgumentType]

    async def takes_nothing() -> AsyncGenerator[str]:
        yield "nothing"

    with pytest.raises(TypeError, match="one argument"):
        streams.chat(takes_nothing)  # pyright: ignore[reportArgumentType]
    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        models = (await (await session.get(f"{url}/ai/models")).json())["models"]
        assert [one["name"] for one in models] == ["fast", "thorough"]
        assert '"content":"fast"' in await (await ask(session, f"{url}/ai")).text()
        answer = await ask(session, f"{url}/ai", model="thorough")
        assert '"content":"thorough"' in await answer.text()
        assert (await ask(session, f"{url}/ai", model="none")).status == 422


async def test_streams_without_a_function_say_what_to_do() -> None:
    async with serving(hosted(Streams.memory())) as url, aiohttp.ClientSession() as session:
        response = await ask(session, f"{url}/ai")
        assert response.status == 503
        assert "@streams.chat" in await response.text()


async def test_conversations_of_a_generator_are_kept(talk: Talk) -> None:
    streams = Streams.memory()

    @streams.chat
    async def answer(request: ChatRequest) -> AsyncGenerator[str]:
        yield f"{len(request.messages)} messages"

    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        first = await (await ask(session, f"{url}/ai", conversationId="new")).text()
        assert '"content":"1 messages"' in first
        found = (await (await session.get(f"{url}/ai/conversations")).json())["conversations"]
        second = await ask(session, f"{url}/ai", conversationId=found[0]["id"])
        assert '"content":"3 messages"' in await second.text()


async def test_runs_beside_a_file_of_conversations_survive_their_process(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"

    def begin() -> Streams:
        streams = Streams.sqlite(path)
        streams.chat(talk.answer)
        return streams

    talk = Talk()
    talk.go_on.set()
    body = {"conversationId": "new", "runId": "0123456789abcdef"}
    async with serving(hosted(begin())) as url, aiohttp.ClientSession() as session:
        first = await (await ask(session, f"{url}/ai", **body)).text()
    async with serving(hosted(begin())) as url, aiohttp.ClientSession() as session:
        run = f"{url}/ai/runs/0123456789abcdef"
        assert await (await session.get(f"{run}/events")).text() == first
        assert (await (await session.get(run)).json())["state"] == "completed"
        assert await (await ask(session, f"{url}/ai", **body)).text() == first
    assert len(talk.requests) == 1


async def test_a_file_is_a_file_also_where_the_environment_names_a_redis(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAM_SERVE_REDIS_URL", "redis://127.0.0.1:1")
    talk = Talk()
    talk.go_on.set()
    streams = Streams.sqlite(tmp_path / "chat.db")
    streams.chat(talk.answer)
    async with serving(hosted(streams)) as url, aiohttp.ClientSession() as session:
        assert "end" in await (await ask(session, f"{url}/ai")).text()
        async with streams.open("job") as job:
            await job.log("a line")
    assert {"runs.db", "streams.db"} <= {one.name for one in tmp_path.iterdir()}
