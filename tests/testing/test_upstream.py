"""The scripted upstream as a server and as a command: what it plays, how it starts and stops."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import openai
import pytest

from stream_serve.testing import ANSWER, SCENARIOS, ScriptedUpstream
from stream_serve.testing.upstream import main
from support.process import running
from testing.client import KEY
from testing.wire import request_bytes, wire

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops


class TestChoice:
    async def test_a_model_that_is_no_scenario_gets_the_answer(self, client: Client) -> None:
        answer = await client.ask("qwen-plus")
        assert answer.text == ANSWER
        assert client.upstream.requests[0].scenario == "answer"
        assert {chunk["model"] for chunk in answer.chunks} == {"qwen-plus"}

    async def test_parameters_are_read_from_the_model(self, client: Client) -> None:
        answer = await client.ask("answer?text=%E4%BD%A0%E5%A5%BD%26+you&size=2&finish=length")
        texts = [chunk["choices"][0]["delta"].get("content") for chunk in answer.chunks]
        assert texts == ["", "你好", "& ", "yo", "u", None]
        assert answer.chunks[-1]["choices"][0]["finish_reason"] == "length"

    async def test_tokens_repeats_the_text_until_there_are_so_many(self, client: Client) -> None:
        answer = await client.ask("answer?tokens=5&text=abcd&size=2")
        assert answer.text == "abcdabcdab"

    @pytest.mark.parametrize(
        "model",
        [
            "answer?speed=1",
            "answer?tokens=many",
            "answer?tokens=-1",
            "answer?interval=nan",
            "answer?interval=inf",
            "answer?size=0",
            "rate-limited?date=perhaps",
        ],
    )
    async def test_a_parameter_that_does_not_fit_is_refused_by_name(
        self, client: Client, model: str
    ) -> None:
        answer = await client.ask(model)
        assert answer.status == 400
        assert answer.json["error"]["code"] == "invalid_parameter_error"
        assert model.partition("?")[2].partition("=")[0] in answer.json["error"]["message"]

    async def test_the_models_are_the_scenarios(self, client: Client) -> None:
        models = await client.get("/v1/models")
        assert models["object"] == "list"
        assert [model["id"] for model in models["data"]] == list(SCENARIOS)

    async def test_it_is_healthy_and_a_look_at_its_health_is_no_request(
        self, client: Client
    ) -> None:
        assert await client.get("/health") == {"status": "ok"}
        assert client.upstream.requests == []
        assert client.upstream.connections == []

    async def test_every_scenario_is_described(self, client: Client) -> None:
        listed = (await client.get("/scenarios"))["scenarios"]
        assert [one["name"] for one in listed] == list(SCENARIOS)
        assert all(one["description"] for one in listed)
        hang = next(one for one in listed if one["name"] == "hang-mid")
        assert hang["params"] == {"tokens": 3, "interval": 0.0, "hold": 0, "size": 4, "text": ""}

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            (b"", None),
            (b"{", None),
            (b"[]", None),
            (b"[" * 100_000, None),
            (b"{}", "model"),
            (b'{"model":"answer"}', "messages"),
            (b'{"model":"answer","messages":[]}', "messages"),
        ],
    )
    async def test_a_malformed_body_is_refused_in_the_providers_format(
        self, client: Client, body: bytes, param: str | None
    ) -> None:
        url = f"{client.upstream.url}/chat/completions"
        async with client.session.post(url, data=body) as response:
            error = (await response.json())["error"]
        assert response.status == 400
        assert error["type"] == "invalid_request_error"
        assert error["param"] == param

    async def test_another_path_or_method_is_refused(self, client: Client) -> None:
        async with client.session.get(f"{client.upstream.url}/chat/completions") as response:
            assert response.status == 405
        async with client.session.post(f"{client.upstream.url}/responses") as response:
            assert response.status == 404
        for path in ("/scenarios", "/health"):
            async with client.session.post(f"{client.upstream.origin}{path}") as response:
                assert response.status == 405
        async with client.session.get(f"{client.upstream.origin}/release") as response:
            assert response.status == 405


class TestLife:
    async def test_stopping_drops_open_answers_and_leaves_nothing(self) -> None:
        tasks = asyncio.all_tasks()
        upstream = ScriptedUpstream()
        await upstream.start()
        async with wire(upstream) as silent, wire(upstream) as idle, wire(upstream) as looking:
            await silent.send(request_bytes("silent"))
            await looking.send(b"GET /requests HTTP/1.1\r\nHost: x\r\n\r\n")
            await looking.read_until(b"}")
            await upstream.wait_for(lambda record: record.scenario == "silent")
            await upstream.stop()
            assert [await peer.read() for peer in (silent, idle, looking)] == [b"", b"", b""]
        assert upstream.requests[0].closed_by == "script"
        assert upstream.open_connections == 0
        assert asyncio.all_tasks() == tasks

    async def test_starting_and_stopping_twice_is_told_apart(self) -> None:
        upstream = ScriptedUpstream()
        with pytest.raises(RuntimeError, match="not been started"):
            _ = upstream.url
        await upstream.stop()
        await upstream.start()
        with pytest.raises(RuntimeError, match="already started"):
            await upstream.start()
        await upstream.stop()
        await upstream.stop()
        await upstream.start()
        await upstream.stop()

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
    async def test_it_listens_on_loopback_only(self, host: str) -> None:
        with pytest.raises(ValueError, match="loopback only"):
            await ScriptedUpstream().start(host)


class TestOfficialClient:
    async def test_streams_the_answer(self, upstream: ScriptedUpstream) -> None:
        async with openai.AsyncOpenAI(base_url=upstream.url, api_key=KEY) as client:
            stream = await client.chat.completions.create(
                model="answer",
                messages=[{"role": "user", "content": "hello"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
        *with_choice, last = chunks
        text = "".join(chunk.choices[0].delta.content or "" for chunk in with_choice)
        assert text == ANSWER
        assert with_choice[-1].choices[0].finish_reason == "stop"
        assert last.usage is not None
        assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens

    async def test_gathers_the_tool_calls(self, upstream: ScriptedUpstream) -> None:
        arguments: dict[int, str] = {}
        names: dict[int, str] = {}
        async with openai.AsyncOpenAI(base_url=upstream.url, api_key=KEY) as client:
            stream = await client.chat.completions.create(
                model="tools", messages=[{"role": "user", "content": "weather?"}], stream=True
            )
            async for chunk in stream:
                for call in chunk.choices[0].delta.tool_calls or ():
                    assert call.function is not None
                    names[call.index] = names.get(call.index, "") + (call.function.name or "")
                    more = call.function.arguments or ""
                    arguments[call.index] = arguments.get(call.index, "") + more
        assert names == {0: "get_weather", 1: "get_time"}
        assert json.loads(arguments[0]) == {"city": "杭州", "unit": "celsius"}

    async def test_gets_a_whole_completion_and_the_models(self, upstream: ScriptedUpstream) -> None:
        async with openai.AsyncOpenAI(base_url=upstream.url, api_key=KEY) as client:
            whole = await client.chat.completions.create(
                model="answer", messages=[{"role": "user", "content": "hello"}]
            )
            models = [model.id async for model in client.models.list()]
        assert whole.choices[0].message.content == ANSWER
        assert whole.usage is not None
        assert "hang-mid" in models

    async def test_understands_the_errors(self, upstream: ScriptedUpstream) -> None:
        async with openai.AsyncOpenAI(base_url=upstream.url, api_key=KEY, max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                await client.chat.completions.create(
                    model="unauthorized", messages=[{"role": "user", "content": "hello"}]
                )
        assert (refused.value.status_code, refused.value.code) == (401, "invalid_api_key")


class TestCommand:
    async def test_prints_its_url_serves_and_ends_when_told(self) -> None:
        async with running(
            sys.executable,
            *("-W", "error", "-m", "stream_serve.testing.upstream"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), 20)
            url = line.decode().strip()
            assert url.startswith("http://127.0.0.1:")
            models = await asyncio.to_thread(_fetch, f"{url}/models")
            assert "answer" in [model["id"] for model in models["data"]]
            process.terminate()
            rest, complaints = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, rest, complaints) == (0, b"", b"")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [(["--host", "0.0.0.0"], "loopback only"), (["--port", "99999"], "port")],
    )
    def test_says_why_it_cannot_listen(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def _fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)
