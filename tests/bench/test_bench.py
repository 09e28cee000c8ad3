"""The benchmark's tools count and time what really comes, and its report judges by the bounds."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest
from bench.report import markdown
from bench.results import Figures, Results
from bench.verdicts import QUICK_RUN_LIMIT, quick_problem, verdicts

from bench import dialects
from stream_serve.testing import unused_port
from support.missing import lack
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from stream_serve.testing import ScriptedUpstream

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 30.0


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled tools."""
    if shutil.which(os.environ.get("CC", "cc")) is None:
        lack("there is no C compiler")
    folder = tmp_path_factory.mktemp("bench")
    built = subprocess.run([ROOT / "bench/load/build", folder], check=False)
    assert built.returncode == 0, "the tools do not compile without warnings"
    return folder


@asynccontextmanager
async def running(program: Path, *arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def port(programs: Path) -> AsyncIterator[int]:
    """The port of the stamping upstream."""
    async with running(programs / "upstream") as process:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            yield int(await process.stdout.readline())


async def load(programs: Path, port: int, path: str, **options: object) -> dict[str, Any]:
    """Run the load generator to its end; return its report."""
    return await measured(programs / "load", port, path, **options)


async def measured(program: Path, port: int, path: str, **options: object) -> dict[str, Any]:
    """Run a tool to its end; return its report."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    async with running(program, f"--port={port}", f"--path={path}", *arguments) as process:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(output)


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])


COMPLETIONS: Final = "/v1/chat/completions"
CHAT: Final = "/ai/chat/stream-sse"


def wish(words: str, **fields: object) -> str:
    return json.dumps({"model": words, "message": "Hello", **fields})


def check_whole(report: dict[str, Any], *, streams: int, tokens: int) -> None:
    assert report["complete"] == report["opened"] == streams
    assert report["tokens"] == report["added"]["count"] == streams * tokens
    assert report["first"]["count"] == report["first_added"]["count"] == streams
    for name in ("added", "first_added", "first", "duration"):
        times = report[name]
        assert 0 < times["min"] <= times["p50"] <= times["p99"] <= times["max"] < PATIENCE * 1000
    assert report["first"]["mean"] >= report["first_added"]["mean"]


async def test_every_token_of_the_upstream_is_counted_and_timed(programs: Path, port: int) -> None:
    report = await load(
        programs,
        port,
        COMPLETIONS,
        body=wish("bench?tokens=30&rate=200"),
        streams=20,
        arrival=200,
        tokens=30,
    )
    check_whole(report, streams=20, tokens=30)
    assert report["duration"]["min"] >= 29 / 200 * 1000


async def test_every_token_comes_through_the_service(programs: Path, port: int) -> None:
    async with Service(upstream_url=f"http://127.0.0.1:{port}/v1") as service:
        report = await load(
            programs,
            port_of(service.url),
            CHAT,
            body=wish("bench?tokens=40&rate=100"),
            streams=10,
            tokens=40,
        )
    check_whole(report, streams=10, tokens=40)


async def test_each_stream_puts_its_number_into_the_body(
    programs: Path, upstream: ScriptedUpstream
) -> None:
    said = {"role": "user", "content": "thread-########"}
    body = {"model": "answer", "stream": True, "messages": [said]}
    report = await load(
        programs, port_of(upstream.origin), COMPLETIONS, body=json.dumps(body), streams=3
    )
    assert report["complete"] == 3
    asked = {request.body["messages"][0]["content"] for request in upstream.requests}
    assert asked == {"thread-00000000", "thread-00000001", "thread-00000002"}


async def test_every_door_of_the_benchmark_brings_each_token_as_often_as_it_says(
    programs: Path, port: int
) -> None:
    async with Service(upstream_url=f"http://127.0.0.1:{port}/v1") as service:
        for door in dialects.DOORS:
            if door.asked is None:
                continue
            body = json.dumps(door.asked("bench?tokens=7&rate=500"))
            expected = 7 * door.copies
            report = await load(
                programs,
                port_of(service.url),
                door.path,
                body=body,
                streams=4,
                tokens=expected,
            )
            assert (door.name, report["complete"]) == (door.name, 4)


async def test_every_dialect_of_the_benchmark_brings_a_run_to_its_readers(
    programs: Path, port: int
) -> None:
    run_id = "bench-0123456789abcdef"
    async with Service(upstream_url=f"http://127.0.0.1:{port}/v1") as service:
        asked = wish("bench?tokens=7&rate=500", runId=run_id)
        own = port_of(service.url)
        assert (await load(programs, own, CHAT, body=asked, tokens=7))["complete"] == 1
        for door in dialects.DOORS:
            if door.asked is not None:
                continue
            path = f"/ai/runs/{run_id}/events?dialect={door.path}"
            report = await load(
                programs, own, path, method="GET", streams=4, tokens=7 * door.copies
            )
            assert (door.name, report["complete"]) == (door.name, 4)


async def test_every_append_of_each_writer_is_in_its_stream_and_comes_to_its_reader(
    programs: Path,
) -> None:
    path, text = "/v1/stream/w-########", {"Content-Type": "text/plain"}
    streams = [path.replace("########", f"{number:08d}") for number in range(3)]
    async with Service(streams_url="memory") as service, aiohttp.ClientSession() as client:
        port = port_of(service.url)
        for one in streams:
            async with client.put(service.url + one, headers=text) as made:
                assert made.status == 201
        follow = f"{path}?offset=-1&live=sse"
        reading = asyncio.create_task(
            load(programs, port, follow, method="GET", streams=3, tokens=5)
        )
        found = await measured(programs / "append", port, path, writers=3, count=5, size=200)
        for one in streams:
            async with client.post(service.url + one, headers={"Stream-Closed": "true"}) as ended:
                assert ended.headers["Stream-Next-Offset"] == f"{5 * 200:016d}"
        report = await reading
    assert (found["appends"], found["failed"], found["times"]["count"]) == (15, 0, 15)
    assert (report["complete"], report["tokens"]) == (3, 15)


async def test_a_flood_comes_through_whole(programs: Path, port: int) -> None:
    report = await load(
        programs, port, COMPLETIONS, body=wish("bench?tokens=20000&rate=0"), streams=3, tokens=20000
    )
    assert report["complete"] == 3
    assert report["tokens"] == 60_000


async def test_a_stream_without_stamps_is_complete_when_no_tokens_are_expected(
    programs: Path, upstream: ScriptedUpstream
) -> None:
    body = {"model": "answer", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    report = await load(
        programs, port_of(upstream.origin), COMPLETIONS, body=json.dumps(body), streams=5
    )
    assert (report["complete"], report["tokens"], report["malformed"]) == (5, 0, 0)
    assert len(upstream.requests) == 5


async def test_what_is_refused_is_counted_with_its_status(
    programs: Path, upstream: ScriptedUpstream
) -> None:
    report = await load(programs, port_of(upstream.origin), "/nowhere", body="{}", streams=4)
    assert (report["complete"], report["wrong_status"], report["status"]) == (0, 4, 404)


async def test_what_nobody_answers_is_counted(programs: Path) -> None:
    report = await load(programs, unused_port(), "/", body="{}", streams=3)
    assert (report["complete"], report["refused"]) == (0, 3)


async def test_too_few_tokens_make_a_stream_incomplete(programs: Path, port: int) -> None:
    report = await load(
        programs,
        port,
        COMPLETIONS,
        body=wish("bench?tokens=9&rate=1000"),
        streams=2,
        tokens=10,
    )
    assert (report["complete"], report["incomplete"], report["tokens"]) == (0, 2, 18)


async def test_the_upstream_tells_when_a_marked_run_was_closed(programs: Path, port: int) -> None:
    begin = time.monotonic_ns()
    report = await load(
        programs,
        port,
        COMPLETIONS,
        body=wish("bench?tokens=1000&rate=50&mark=here"),
        seconds=0.3,
    )
    end = time.monotonic_ns()
    assert report["incomplete"] == 1
    async with aiohttp.ClientSession() as client, asyncio.timeout(PATIENCE):
        url = f"http://127.0.0.1:{port}/closed?mark="
        at = None
        while at is None:
            async with client.get(url + "here") as response:
                at = (await response.json())["at"]
        assert begin < at < end + PATIENCE * 1e9
        async with client.get(url + "elsewhere") as response:
            assert await response.json() == {"at": None}


def of(samples: Figures) -> Results:
    """Results of these samples and nothing else."""
    return Results(
        made="",
        command="",
        machine={},
        rounds=max(len(rounds) for one in samples.values() for rounds in one.values()),
        titles=dict.fromkeys(samples, ""),
        targets={target: target for one in samples.values() for target in one},
        samples=samples,
    )


def results(ours: list[float], nginx: list[float], run: float = 80.0) -> Results:
    """Results of the cost of a token in each round; a run costs nginx 10 in each, and us `run`."""
    both = (("ours", ours), ("nginx", nginx))
    samples = {
        name: [{"cpu_us_a_token": one, "failed_streams": 0.0} for one in figures]
        for name, figures in both
    }
    runs = {
        name: [{"cpu_us_a_run_new": cost, "failed_new": 0.0} for _ in figures]
        for (name, figures), cost in zip(both, (run, 10.0), strict=True)
    }
    return of({"cpu": samples, "runs": runs})


def test_the_quick_run_fails_only_beyond_the_bound_and_its_margin() -> None:
    assert quick_problem(results([29.0, 28.0, 70.0], [10.0, 10.0, 10.0])) == ""
    assert "token costs 3.10 times" in quick_problem(results([31.0, 31.0], [10.0, 10.0]))
    dear = results([10.0], [10.0], run=10 * QUICK_RUN_LIMIT * 1.3)
    assert "run costs" in quick_problem(dear)


def test_the_quick_run_fails_when_there_is_nothing_to_compare_with() -> None:
    alone = results([10.0], [])
    alone.missing["nginx"] = "nginx is not installed"
    assert quick_problem(alone) == "nginx is not installed"
    assert quick_problem(results([10.0], [])) == "what a token costs was not measured"


def test_the_report_names_what_is_missing_and_what_was_not_measured() -> None:
    made = results([30.0, 20.0], [10.0, 10.0])
    made.missing["litellm"] = "its installation failed"
    text = markdown(made, [])
    assert "| CPU a token beside nginx | ≤ 2.1 × | ≤ 1.6 × | 2.5 × | NOT MET |" in text
    assert "| CPU a token beside the Node pattern | ≤ 0.4 × |  | – | not measured |" in text
    assert "| ours | 25 [20 – 30] |" in text
    assert "- litellm: missing: its installation failed" in text


@pytest.mark.parametrize(
    ("one", "many", "met"),
    [
        (0.4, 0.7, ["met", "met"]),
        (0.39, 0.69, ["NOT MET", "NOT MET"]),
        (1.0, 1.0, ["met", "aim met"]),
    ],
)
def test_appends_in_memory_are_judged_beside_the_reference(
    one: float, many: float, met: list[str]
) -> None:
    peer = {"appends_1": 1_000.0, "appends_64": 1_000.0}
    ours = {"appends_1": 1_000 * one, "appends_64": 1_000 * many}
    made = of({"appends": {"ours-streams-memory": [ours], "reference-memory": [peer]}})
    found = [row.met for row in verdicts(made) if "memory" in row.what]
    assert found == met


def test_a_run_on_a_kept_connection_is_judged_beside_nginxs_on_a_new_one() -> None:
    ours = {"cpu_us_a_run_new": 800.0, "cpu_us_a_run_kept": 710.0}
    nginx = {"cpu_us_a_run_new": 100.0, "cpu_us_a_run_kept": 50.0}
    made = of({"runs": {"ours": [ours], "nginx": [nginx]}})
    found = {row.what: (row.measured, row.met) for row in verdicts(made)}
    assert found["CPU a run beside nginx, new, ours"] == (8.0, "met")
    assert found["CPU a run, kept, beside nginx's, new, ours"] == (7.1, "met")


def test_a_dialect_is_judged_by_its_least_cost_beside_the_native_door_that_does_the_same() -> None:
    made = of(
        {
            "dialects": {
                "ours": [
                    {"native_us": 20.0, "ag-ui_us": 90.0, "native-kept_us": 40.0},
                    {"native_us": 50.0, "ag-ui_us": 31.0, "ai-sdk-kept_us": 50.0},
                ]
            }
        }
    )
    found = {verdict.what: verdict for verdict in verdicts(made)}
    assert found["CPU a token, ag-ui beside native"].measured == 31 / 20
    assert found["CPU a token, ag-ui beside native"].met == "NOT MET"
    assert found["CPU a token, ai-sdk-kept beside native-kept"].measured == 50 / 40
    assert found["CPU a token, chat-completions beside native"].met == "not measured"
    assert "CPU a token, native beside native" not in found
