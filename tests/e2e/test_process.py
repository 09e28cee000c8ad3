"""The commands as a person types them: real processes, real signals."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from stream_serve import __version__
from stream_serve.testing import ANSWER, ScriptedUpstream, unused_port
from support.client import ask, text
from support.process import PATIENCE, command, environment, running, serving

KEY = "sk-canary-0123456789abcdef"


def provider(upstream: ScriptedUpstream, model: str = "answer") -> dict[str, str]:
    return {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_UPSTREAM_API_KEY": KEY,
        "STREAM_SERVE_MODEL": model,
    }


async def test_the_version_is_printed() -> None:
    assert await command("--version") == (0, f"stream-serve {__version__}\n", "")


async def test_a_server_process_answers_and_writes_one_line_a_run_without_the_text(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with serving(**provider(upstream)) as server:
        async with ask(client, server.url, message="a secret question") as stream:
            assert text(await stream.rest()) == ANSWER
        line = await server.line("run")
        assert await server.end() == 0
    assert line["run_id"] == stream.run_id
    assert (line["model"], line["state"], line["usage_source"]) == (
        "answer",
        "completed",
        "provider",
    )
    assert line["first_token_ms"] <= line["duration_ms"]
    for secret in ("a secret question", ANSWER[:8], KEY):
        assert secret not in server.raw
    assert server.raw.count(stream.run_id) == 1


async def test_a_run_that_was_retried_has_one_line_too(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with serving(**provider(upstream)) as server:
        async with ask(client, server.url, model="http-500") as stream:
            await stream.rest()
        await server.line("run")
        assert await server.end() == 0
    assert len(upstream.requests) == 2
    assert [line["event"] for line in server.lines] == ["listening", "run"]
    assert server.raw.count("\n") == 2


async def test_few_descriptors_are_no_end_of_the_service(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    """Connections that it has no descriptors for get 503, and later ones are served."""
    limited = ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash"]
    async with serving(command=limited, **provider(upstream)) as server:
        responses = [
            await client.post(
                f"{server.url}/ai/chat/stream-sse", json={"message": "hi", "model": "hang-mid"}
            )
            for _ in range(40)
        ]
        statuses = [response.status for response in responses]
        assert statuses.count(200) >= 10
        assert set(statuses) == {200, 503}
        for response in responses:
            response.close()
        async with aiohttp.ClientSession() as second:
            status, answer = 503, ""
            async with asyncio.timeout(20):
                while status == 503:
                    async with second.post(
                        f"{server.url}/ai/chat/stream-sse", json={"message": "hi"}
                    ) as response:
                        status = response.status
                        answer = await response.text()
        assert '"finishReason":"stop"' in answer
        assert await server.end() == 0
    assert "Traceback" not in server.raw


async def test_a_client_that_leaves_during_its_body_writes_nothing_to_the_log(
    upstream: ScriptedUpstream,
) -> None:
    async with serving(**provider(upstream)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        for _ in range(3):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"POST /ai/chat/stream-sse HTTP/1.1\r\nHost: localhost\r\n"
                b'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"mess'
            )
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert await server.end() == 0
    assert server.raw.count("\n") == 1


async def test_options_without_a_command_are_those_of_serve() -> None:
    code, _, err = await command("--host", "0.0.0.0", "--port", "0")
    assert code == 2
    assert "STREAM_SERVE_API_KEYS" in err


async def test_a_misspelt_setting_is_named_at_start() -> None:
    async with serving(STREAM_SERVE_API_KEY="k" * 20) as server:
        assert "STREAM_SERVE_API_KEY is not" in (await server.line("STREAM_SERVE_"))["event"]


async def test_a_star_for_the_origins_is_the_operators_word_and_said_at_the_start() -> None:
    async with serving(STREAM_SERVE_CORS_ORIGINS="*") as server:
        said = (await server.line("STREAM_SERVE_CORS_ORIGINS is *"))["event"]
        assert "spend the tokens" in said
    async with serving(STREAM_SERVE_CORS_ORIGINS="*", STREAM_SERVE_API_KEYS="k" * 20) as server:
        assert "spend" not in (await server.line("STREAM_SERVE_CORS_ORIGINS is *"))["event"]


async def test_without_configuration_the_demo_answers_and_the_start_up_says_how_to_change_that() -> (
    None
):
    async with serving(DASHSCOPE_API_KEY="sk-your-api-key-here") as server:
        await server.line("the API key is the placeholder")
        assert "DASHSCOPE_API_KEY" in (await server.line("no provider"))["event"]


async def test_a_dotenv_file_is_read(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    settings = "\n".join(f"{name}={value}" for name, value in provider(upstream).items())
    Path(".env").write_text(settings)
    async with serving() as server, ask(client, server.url) as stream:
        assert text(await stream.rest()) == ANSWER


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_short_grace_time_ends_every_stream_with_a_typed_end_and_closes_the_provider(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, number: int
) -> None:
    settings = {**provider(upstream), "STREAM_SERVE_GRACE_TIMEOUT": "1"}
    async with serving(**settings) as server:
        async with (
            ask(client, server.url, model="silent") as waiting,
            ask(client, server.url, model="hang-mid") as streaming,
        ):
            await waiting.next()
            await streaming.until("chunk")
            await upstream.until(lambda: upstream.open_connections == 2)
            server.process.send_signal(number)
            for stream in (waiting, streaming):
                last = (await stream.rest())[-1]
                assert (last["type"], last["code"]) == ("error", "run_interrupted")
                assert last["retryable"] is True
            await upstream.until(lambda: upstream.open_connections == 0)
        assert await server.finish() == 0
    assert "Traceback" not in server.raw


async def test_a_killed_server_cuts_its_readers_and_its_provider_at_once(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with serving(**provider(upstream)) as server:
        async with ask(client, server.url, model="hang-mid") as stream:
            await stream.until("chunk")
            server.process.kill()
            with pytest.raises(aiohttp.ClientError):
                await stream.rest()
        await upstream.until(lambda: upstream.open_connections == 0)


async def test_listening_to_others_without_keys_is_refused_in_words() -> None:
    code, _, err = await command("serve", "--host", "0.0.0.0", "--port", "0")
    assert code == 2
    assert "STREAM_SERVE_API_KEYS" in err
    assert "--allow-anonymous" in err
    assert "Traceback" not in err


async def test_listening_to_others_is_allowed_with_keys_or_when_asked_for() -> None:
    async with serving("--host", "0.0.0.0", STREAM_SERVE_API_KEYS="k" * 20) as server:
        assert await server.end() == 0
    async with serving("--host", "0.0.0.0", "--allow-anonymous") as server:
        assert await server.end() == 0


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"PORT": "many"}, "PORT"),
        ({"STREAM_SERVE_IDLE_TIMEOUT": "-1"}, "STREAM_SERVE_IDLE_TIMEOUT"),
        ({"STREAM_SERVE_UPSTREAM_URL": "localhost:8000"}, "STREAM_SERVE_UPSTREAM_URL"),
        ({"STREAM_SERVE_UPSTREAM_KIND": "vlm"}, "STREAM_SERVE_UPSTREAM_KIND"),
    ],
)
async def test_a_wrong_setting_is_refused_by_name(settings: dict[str, str], name: str) -> None:
    code, _, err = await command("serve", **settings)
    assert code == 2
    assert name in err
    assert "Traceback" not in err


async def test_a_port_in_use_is_said_in_words(upstream: ScriptedUpstream) -> None:
    port = upstream.origin.rsplit(":", 1)[1]
    code, _, err = await command("serve", "--port", port)
    assert code != 0
    assert "address already in use" in err
    assert "server process" not in err, "what uvicorn says of its own start is nobody's"
    assert err.count("--port and --host (STREAM_SERVE_PORT, STREAM_SERVE_HOST)") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [(), ("--reload",)], ids=["alone", "reload"])
async def test_a_signal_while_it_loads_ends_it_without_a_word(
    tmp_path: Path, options: tuple[str, ...], number: signal.Signals
) -> None:
    slow = "import signal\nprint('loads', flush=True)\nwhile True:\n    signal.pause()\n"
    (tmp_path / "structlog.py").write_text(slow)
    async with running(
        *(sys.executable, "-m", "stream_serve", "serve", "--port", "0", *options),
        env=environment(PYTHONPATH=str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            assert await process.stdout.readline() == b"loads\n"
            process.send_signal(number)
            out, err = await process.communicate()
    assert (process.returncode, out, err) == (0, b"", b"")


async def test_reload_serves_too(client: aiohttp.ClientSession) -> None:
    port = unused_port()
    status = 0
    reloading = running(
        *(sys.executable, "-m", "stream_serve", "serve", "--reload", "--port", str(port)),
        env=environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    async with reloading, asyncio.timeout(30):
        while status != 200:
            try:
                async with client.get(f"http://127.0.0.1:{port}/health") as response:
                    status = response.status
            except OSError:
                await asyncio.sleep(0.01)


# chat


async def test_chat_streams_the_answer_to_standard_output(upstream: ScriptedUpstream) -> None:
    code, out, err = await command("chat", "你好", **provider(upstream))
    assert (code, out) == (0, ANSWER + "\n")
    assert "tokens (provider)" in err


async def test_chat_reads_standard_input_and_shows_the_thinking_apart(
    upstream: ScriptedUpstream,
) -> None:
    code, out, _ = await command("chat", stdin="a question", **provider(upstream, "echo"))
    assert (code, out) == (0, "a question\n")
    code, out, err = await command("chat", "--thinking", "hi", **provider(upstream, "thinking"))
    assert (code, out) == (0, ANSWER + "\n")
    assert err.strip()
    assert upstream.requests[-1].body["enable_thinking"] is True


async def test_chat_shows_the_tools_that_the_model_calls_and_its_sources_in_words(
    upstream: ScriptedUpstream,
) -> None:
    code, out, err = await command("chat", "hi", **provider(upstream, "tool-call?calls=2"))
    assert (code, out.strip()) == (0, "")
    shown = err.replace("\n", "")
    assert '[tool call] get_weather({"city": "杭州", "unit": "celsius"})' in shown
    assert '[tool call] get_time({"city": "Zürich", "unit": "celsius"})' in shown
    assert "[tool_calls]" in err
    code, out, err = await command("chat", "hi", **provider(upstream, "citations"))
    assert (code, out) == (0, ANSWER + "\n")
    assert "[source] Weather https://example.com/weather" in err


async def test_chat_refuses_a_prompt_that_is_no_text() -> None:
    async with running(
        *(sys.executable, "-m", "stream_serve", "chat"),
        env=environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    ) as process:
        out, err = await process.communicate(b"secret\xff")
    assert (process.returncode, out) == (2, b"")
    assert b"not UTF-8" in err
    assert b"Traceback" not in err


async def test_chat_says_what_failed(upstream: ScriptedUpstream) -> None:
    code, _, err = await command("chat", "hi", **provider(upstream, "unauthorized"))
    assert code == 1
    assert "upstream_auth" in err
    assert KEY not in err
    assert (await command("chat", stdin=""))[0] == 2


async def test_an_interrupt_of_chat_stops_the_generation_and_not_only_the_display(
    upstream: ScriptedUpstream,
) -> None:
    async with running(
        *(sys.executable, "-m", "stream_serve", "chat", "hi"),
        env=environment(**provider(upstream, "hang-mid")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        await process.stdout.readexactly(3)
        process.send_signal(signal.SIGINT)
        await upstream.wait_for(lambda record: record.closed_by == "peer")
        async with asyncio.timeout(20):
            _, err = await process.communicate()
    assert process.returncode == 130
    assert "connection to the provider: closed" in err.decode()
    assert "Traceback" not in err.decode()
