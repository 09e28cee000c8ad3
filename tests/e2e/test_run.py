"""`stream-serve run`: any program as a stream, as real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

import pytest

from support.jobs import contents, ended, messages
from support.process import PATIENCE, command, environment
from support.process import running as running_program
from support.proxy import Proxy
from support.service import Service
from support.waiting import until

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream

PYTHON: Final = (sys.executable, "-u", "-c")
KEY: Final = "sk-alice-0123456789"
STUBBORN: Final = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
print("begun", flush=True)
while True: time.sleep(0.05)
"""
ASKED: Final = """
import signal, sys, time
def leave(number, _):
    print(signal.Signals(number).name, flush=True)
    sys.exit(7)
signal.signal(signal.SIGINT, leave)
signal.signal(signal.SIGTERM, leave)
print("begun", flush=True)
while True: time.sleep(0.05)
"""


def running(
    *arguments: str, stdin: int = asyncio.subprocess.DEVNULL, **settings: str
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Let `stream-serve run` run."""
    return running_program(
        *(sys.executable, "-m", "stream_serve", "run", *arguments),
        env=environment(**settings),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def line_of(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return await process.stdout.readline()


async def test_what_a_program_prints_is_the_stream_and_its_end_the_end(
    client: aiohttp.ClientSession, service: Service
) -> None:
    program = r"import os, sys; os.write(1, b'out\r\n\xff\n'); os.write(2, b'err'); os._exit(3)"
    code, out, err = await command(
        *("run", "--stream", "job-42", "--url", service.url, "--", *PYTHON, program),
        errors="replace",
    )
    assert code == 3
    said = await ended(client, f"{service.url}/v1/stream/job-42")
    lines = [(one["source"], one["content"]) for one in said if one["type"] == "log"]
    assert sorted(lines) == [("stderr", "err"), ("stdout", "out"), ("stdout", "\ufffd")]
    end = said[-1]
    assert (end["finishReason"], end["exitCode"]) == ("failed", 3)
    assert end["error"] == "the command ended with exit code 3"
    assert (out, err) == ("out\r\n\ufffd\n", "err")


async def test_a_line_that_is_longer_than_the_service_takes_comes_in_parts(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    program = r"print('x' * 70_000 + '\nafter')"
    async with Service(upstream_url=upstream.url, max_append_bytes=2_000) as service:
        options = ("--stream", "long", "--url", service.url)
        code, _, err = await command("run", *options, "--", *PYTHON, program)
        assert (code, err) == (0, "")
        said = await ended(client, f"{service.url}/v1/stream/long")
    *parts, after = contents(said)
    assert ("".join(parts), after) == ("x" * 70_000, "after")
    assert said[-1]["finishReason"] == "completed"


async def test_the_exit_code_is_the_commands_own(
    client: aiohttp.ClientSession, service: Service
) -> None:
    for name, program, code, reason in (
        ("good", "", 0, "completed"),
        ("killed", "import os; os.kill(os.getpid(), 9)", 137, "failed"),
    ):
        url = ("--url", service.url)
        assert (await command("run", "--stream", name, *url, "--", *PYTHON, program))[0] == code
        end = (await ended(client, f"{service.url}/v1/stream/{name}"))[-1]
        assert (end["finishReason"], end["exitCode"]) == (reason, code)
    code, _, err = await command("run", "--stream", "none", *url, "--", "/no/such/program")
    assert code == 127
    assert "No such file" in err
    assert (await ended(client, f"{service.url}/v1/stream/none"))[-1]["exitCode"] == 127


async def test_a_stop_is_sigterm_to_the_group(
    client: aiohttp.ClientSession, service: Service
) -> None:
    stream = f"{service.url}/v1/stream/stopped"
    options = ("--stream", "stopped", "--url", service.url)
    async with running(*options, "--", *PYTHON, ASKED) as process:
        assert await line_of(process) == b"begun\n"
        await client.post(f"{stream}/stop")
        assert await line_of(process) == b"SIGTERM\n"
        assert await process.wait() == 7
    said = await ended(client, stream)
    assert contents(said) == ["begun", "SIGTERM"]
    assert (said[-1]["finishReason"], said[-1]["exitCode"]) == ("stopped", 7)


async def test_a_program_that_takes_no_notice_of_a_stop_is_killed(
    client: aiohttp.ClientSession, service: Service
) -> None:
    stream = f"{service.url}/v1/stream/stubborn"
    options = ("--stream", "stubborn", "--url", service.url, "--grace", "0.3")
    async with running(*options, "--", *PYTHON, STUBBORN) as process:
        assert await line_of(process) == b"begun\n"
        await client.post(f"{stream}/stop")
        assert await process.wait() == 128 + signal.SIGKILL
    said = await ended(client, stream)
    assert contents(said) == ["begun", "no"]
    assert (said[-1]["finishReason"], said[-1]["exitCode"]) == ("stopped", 137)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_is_sent_on(
    client: aiohttp.ClientSession, service: Service, number: signal.Signals
) -> None:
    options = ("--stream", "signal", "--url", service.url)
    async with running(*options, "--", *PYTHON, ASKED) as process:
        assert await line_of(process) == b"begun\n"
        process.send_signal(number)
        assert await line_of(process) == f"{number.name}\n".encode()
        assert await process.wait() == 7
    assert (await ended(client, f"{service.url}/v1/stream/signal"))[-1]["finishReason"] == "stopped"


async def test_killed_itself_its_stream_is_lost(
    client: aiohttp.ClientSession, service: Service
) -> None:
    options = ("--stream", "lost", "--url", service.url, "--lease", "1")
    program = "import sys; print('begun'); sys.stdin.read()"
    async with running(*options, "--", *PYTHON, program, stdin=asyncio.subprocess.PIPE) as process:
        assert await line_of(process) == b"begun\n"
        process.kill()
        said = await ended(client, f"{service.url}/v1/stream/lost")
    assert said[-1]["finishReason"] == "lost"


async def test_the_beginning_of_a_line_is_there_before_its_end(
    client: aiohttp.ClientSession, service: Service
) -> None:
    stream = f"{service.url}/v1/stream/partial"
    options = ("--stream", "partial", "--url", service.url)
    code = "import sys; print('working... ', end='', flush=True); input(); print('done')"

    async def is_there() -> bool:
        if (await client.head(stream)).status != 200:
            return False
        return contents(await messages(client, stream)) == ["working... "]

    async with running(*options, "--", *PYTHON, code, stdin=asyncio.subprocess.PIPE) as process:
        await until(is_there)
        assert (await process.communicate(b"\n"))[0] == b"working... done\n"
    said = await ended(client, stream)
    assert [(one["content"], one.get("partial")) for one in said[:-1]] == [
        ("working... ", True),
        ("done", None),
    ]


async def test_while_the_service_is_away_the_command_goes_on_and_is_told_at_the_end(
    client: aiohttp.ClientSession, service: Service
) -> None:
    code = "print('begun'); input(); [print('x' * 1000) for _ in range(20_000)]; print('over')"
    async with Proxy(service.url) as proxy:
        options = ("--stream", "away", "--url", proxy.url)
        begun = running(*options, "--", *PYTHON, code, stdin=asyncio.subprocess.PIPE)
        async with begun as process:
            assert await line_of(process) == b"begun\n"
            proxy.down()
            async with asyncio.timeout(PATIENCE):
                out, err = await process.communicate(b"\n")
        assert process.returncode == 0
    assert out.endswith(b"over\n")
    assert len(out) == 20_000 * 1001 + 5
    assert b"the end of away and " in err
    assert b"lines of it were not written" in err
    assert KEY.encode() not in err


async def test_a_flood_of_output_stays_bounded_and_is_whole(
    client: aiohttp.ClientSession, service: Service
) -> None:
    program = (
        "import os, resource\n"
        "[print(f'{n:0100d}') for n in range(100_000)]\n"
        "status = open(f'/proc/{os.getppid()}/status').read()\n"
        "print(next(l for l in status.splitlines() if 'VmHWM' in l).split()[1])"
    )
    options = ("--stream", "flood", "--url", service.url)
    async with running(*options, "--", sys.executable, "-c", program) as process:
        out, _ = await process.communicate()
    peak = int(out.split()[-1])
    assert peak < 300_000, "kB, of which Python and its libraries take the most"
    await ended(client, f"{service.url}/v1/stream/flood?offset=now")
    head = await client.head(f"{service.url}/v1/stream/flood")
    assert int(head.headers["Stream-Next-Offset"]) > 100_000 * 150


async def test_a_name_that_has_ended_is_refused_before_the_command_begins(
    service: Service, tmp_path: Path
) -> None:
    options = ("run", "--stream", "twice", "--url", service.url)
    made = tmp_path / "made"
    assert (await command(*options, "--", "true"))[0] == 0
    code, _, err = await command(*options, "--", "touch", str(made))
    assert code == 2
    assert "--again" in err
    assert not made.exists()
    assert (await command(*options, "--again", "--", "touch", str(made)))[0] == 0
    assert made.exists()


async def test_the_key_is_in_a_variable_that_the_command_does_not_get(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/kept.db"
    program = "import os; print(os.environ.get('MY_KEY'), os.environ.get('OTHER'))"
    async with Service(upstream_url=upstream.url, api_keys=KEY, database_url=database) as served:
        here = {"STREAM_SERVE_DATABASE_URL": database, "STREAM_SERVE_API_KEYS": KEY}
        for name, where in (("elsewhere", ("--url", served.url)), ("here", ())):
            options = ("run", "--stream", name, *where)
            code, _, err = await command(*options, "--", "true", **here)
            assert code == 2
            assert "wants an API key" in err or "belongs to an API key" in err
            assert "STREAM_KEY, or name another one with --key-env" in err
            code, _, err = await command(
                *options, "--", "true", **here, STREAM_KEY="sk-wrong-0123456"
            )
            assert code == 2
            assert "the API key in STREAM_KEY" in err or "the key in STREAM_KEY is none" in err
            assert "sk-wrong" not in err
            own = "import os; print(os.environ.get('STREAM_KEY'))"
            code, out, err = await command(
                *("run", "--stream", f"{name}-default", *where, "--", *PYTHON, own),
                **here,
                STREAM_KEY=KEY,
            )
            assert (code, out, err) == (0, "None\n", "")
            code, out, err = await command(
                *(*options, "--key-env", "MY_KEY", "--", *PYTHON, program),
                **here,
                MY_KEY=KEY,
                OTHER="seen",
            )
            assert (code, out) == (0, "None seen\n"), err
            headers = {"Authorization": f"Bearer {KEY}"}
            async with client.get(f"{served.url}/v1/stream/{name}", headers=headers) as response:
                assert contents(await response.json()) == ["None seen"]
            code, _, err = await command(
                *(*options, "--key-env", "MY_KEY", "--", "true"), **here, MY_KEY="another"
            )
            assert code == 2
            assert "the API key in MY_KEY" in err or "the key in MY_KEY is none" in err
        code, _, err = await command("run", "--stream", "a", "--key-env", "NO_KEY", "--", "true")
        assert code == 2
        assert "NO_KEY is not set" in err


async def test_an_address_where_no_service_is_is_told_in_a_sentence_and_the_program_runs() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        code, out, err = await command(
            *("run", "--stream", "a", "--url", url, "--", "echo", "it runs"), STREAM_KEY=KEY
        )
    assert (code, out) == (0, "it runs\n")
    assert f"no connection to {url} lasts: ConnectError" in err
    assert "start the service, or check the host and the port of --url" in err
    assert KEY not in err


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "http://a b", "ftp://a"])
async def test_an_address_that_is_none_is_refused_in_a_sentence(url: str) -> None:
    code, out, err = await command("run", "--stream", "a", "--url", url, "--", "echo", "no")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "is not the address of a service" in err


async def test_what_is_not_this_service_is_told_before_the_program_begins(
    service: Service,
) -> None:
    async with Proxy(service.url) as proxy:
        proxy.answer = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
        options = ("run", "--stream", "a", "--url", proxy.url)
        code, out, err = await command(*options, "--", "echo", "no")
    assert (code, out) == (2, "")
    assert f"{proxy.url} answers with status 404" in err
    assert "check the host, the port and the path" in err


async def test_streams_in_the_memory_of_a_service_are_reached_over_http_only() -> None:
    code, _, err = await command(
        *("run", "--stream", "a", "--", "true"), STREAM_SERVE_STREAMS_URL="memory"
    )
    assert code == 2
    assert "--url" in err
    for wrong in (("--stream", "runs/a"), ("--stream", "a", "--url", "nowhere")):
        code, _, err = await command("run", *wrong, "--", "true")
        assert code == 2
        assert "Traceback" not in err


async def test_what_the_command_has_begun_does_not_hold_up_the_end(
    client: aiohttp.ClientSession, service: Service
) -> None:
    options = ("run", "--stream", "left", "--url", service.url)
    program = "import os, subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    code, out, _ = await command(*options, "--", *PYTHON, program)
    os.kill(int(out), signal.SIGKILL)
    assert code == 0
    assert (await ended(client, f"{service.url}/v1/stream/left"))[-1]["finishReason"] == "completed"
