"""Our own JavaScript client in Node: what it promises on a network that does everything wrong."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from clients.conftest import KEY, Door, KeyedDoor
from stream_serve.testing import ANSWER, pieces
from support.client import ask
from support.clients import FOREIGN, PORTAL, UNAVAILABLE, own_program, raises
from support.cluster import Node, cluster
from support.proxy import Proxy
from support.service import UPSTREAM_KEY
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.clients import Json, Program
    from support.redis import Redis

TOKENS: Final = 8
SHORT: Final = f"answer?tokens={TOKENS}&interval=0.01"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))
LONG: Final = "answer?tokens=40&interval=0.02"
LONG_TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=40))
BEAT: Final = 0.2
START: Final = {"type": "start", "runId": "r", "model": "m"}


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    """The cases of our client."""
    made = own_program("client")
    yield made
    made.close()


@pytest.fixture
async def door(upstream: ScriptedUpstream) -> AsyncIterator[Door]:
    """A service whose heartbeats come often."""
    async with Door(upstream_url=upstream.url, heartbeat_interval=BEAT) as running:
        yield running


@pytest.fixture
async def network(door: Door) -> AsyncIterator[Proxy]:
    """A network to it that can be cut."""
    async with Proxy(door.url) as proxy:
        yield proxy


def question(model: str, **fields: Any) -> Json:
    return {"message": "你好", "model": model, **fields}


async def chat(program: Program, network: Proxy | Door, model: str = LONG, **words: Any) -> Json:
    return await program.run("chat", url=network.url, question=question(model), **words)


async def under_way(upstream: ScriptedUpstream, events: int = 3) -> None:
    """Wait until the provider has sent a part of the answer."""
    await upstream.until(
        lambda: bool(upstream.requests) and upstream.requests[0].events_sent >= events
    )


def is_whole(found: Json, upstream: ScriptedUpstream, text: str = LONG_TEXT) -> None:
    """Check that the answer is there once, and was generated once."""
    assert found["error"] is None
    assert found["text"] == found["pieces"] == found["result"]["text"] == text
    assert [event["type"] for event in found["events"]] == found["called"]
    assert found["called"][0] == "start"
    assert found["called"][-1] == "end"
    assert found["called"].count("chunk") == found["cursor"] - 2
    assert found["ended"] == found["result"]
    assert found["over"]
    assert found["states"][-1] == "over"
    assert len(upstream.requests) == 1


# A run that goes well


async def test_an_answer_comes_by_an_iterator_and_by_callbacks(
    program: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await chat(program, door, SHORT)
    is_whole(found, upstream, TEXT)
    assert found["states"] == ["streaming", "over"]
    assert found["result"]["finishReason"] == "stop"
    assert found["result"]["usage"]["completionTokens"]
    assert found["events"][0]["runId"] == found["id"] == found["result"]["runId"]
    assert len(found["id"]) == 22


async def test_thinking_and_tools_are_typed_events(program: Program, door: Door) -> None:
    found = await chat(program, door, "thinking?thought=THOUGHT&text=ANSWER")
    assert (found["reasoning"], found["text"]) == ("THOUGHT", "ANSWER")
    assert found["result"]["reasoning"] == "THOUGHT"


async def test_an_iterator_begins_with_the_first_event_whenever_it_begins(
    program: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await program.run("twice", url=door.url, question=question(SHORT))
    assert found == [TEXT, TEXT]
    assert len(upstream.requests) == 1


async def test_what_a_callback_throws_is_the_programs_and_the_run_goes_on(door: Door) -> None:
    own = own_program("client")
    found = await own.run("thrown", url=door.url, question=question(SHORT))
    own.close()
    assert found["text"] == TEXT
    assert found["uncaught"] == ["of the page"] * TOKENS


# A network that does everything wrong


@pytest.mark.parametrize("beyond", [0, 7], ids=["between events", "within an event"])
@pytest.mark.parametrize("events", [1, 2, 3])
async def test_a_cut_after_every_event_loses_and_doubles_nothing(
    program: Program, network: Proxy, upstream: ScriptedUpstream, events: int, beyond: int
) -> None:
    network.events, network.beyond = events, beyond
    found = await chat(program, network, SHORT)
    is_whole(found, upstream, TEXT)
    assert "lost" in found["states"]
    assert network.connections >= TOKENS / events


async def test_cuts_at_any_moment_lose_and_double_nothing(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    reading = asyncio.create_task(chat(program, network))
    for events in (3, 12, 25):
        await under_way(upstream, events)
        network.cut()
    is_whole(await reading, upstream)


async def test_a_connection_that_is_open_in_name_only_is_left_by_its_silence(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    reading = asyncio.create_task(chat(program, network))
    await under_way(upstream)
    network.freeze("POST")
    found = await reading
    is_whole(found, upstream)
    assert "lost" in found["states"]


async def test_a_silent_run_keeps_its_connection_by_its_heartbeats(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    found = await chat(program, network, "answer?tokens=3&interval=0.8")
    is_whole(found, upstream, "".join(pieces(ANSWER, size=4, tokens=3)))
    assert network.connections == 1


async def test_a_network_that_goes_and_comes_back_is_waited_for(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    reading = asyncio.create_task(chat(program, network))
    await under_way(upstream)
    network.down()
    before = network.connections
    await until(lambda: network.connections > before)
    network.up()
    is_whole(await reading, upstream)


@pytest.mark.parametrize("answer", [UNAVAILABLE, PORTAL], ids=["503", "a page that wants a login"])
async def test_what_answers_in_the_place_of_the_service_is_waited_out(
    program: Program, network: Proxy, upstream: ScriptedUpstream, answer: bytes
) -> None:
    reading = asyncio.create_task(chat(program, network))
    await under_way(upstream)
    network.answer = answer
    network.cut()
    before = network.connections
    await until(lambda: network.connections > before)
    network.answer = None
    is_whole(await reading, upstream)


async def test_a_start_that_is_refused_for_a_while_begins_later_and_once(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    network.answer = UNAVAILABLE
    reading = asyncio.create_task(chat(program, network, SHORT))
    await until(lambda: network.connections > 0)
    network.answer = None
    found = await reading
    is_whole(found, upstream, TEXT)
    assert "lost" not in found["states"]


async def test_a_start_whose_answer_is_lost_is_repeated_and_starts_one_run(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    network.events = 0
    reading = asyncio.create_task(chat(program, network, LONG))
    await upstream.until(lambda: len(upstream.requests) == 1)
    await until(lambda: network.connections > 1)
    network.events = None
    is_whole(await reading, upstream)


@pytest.mark.parametrize("how", ["safari", "suspended", "nothing"])
@pytest.mark.parametrize("before", [True, False], ids=["before the answer", "in it"])
async def test_whatever_a_browser_calls_a_lost_connection_it_is_made_again(
    program: Program, door: Door, upstream: ScriptedUpstream, how: str, before: bool
) -> None:
    words = {"how": how, "before": before, "times": 2}
    found = await program.run("failing", url=door.url, question=question(SHORT), **words)
    is_whole(found, upstream, TEXT)
    assert found["asked"] >= 2


async def test_a_service_that_is_away_for_too_long_is_an_error(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    network.down()
    found = await chat(program, network, options={"patience": 0.4})
    assert found["error"]["name"] == "ConnectionError"
    assert found["error"]["retryable"]
    assert found["error"]["cause"]
    assert found["failed"] == found["error"]
    assert found["over"]
    assert upstream.requests == []


def stream(*events: tuple[int | None, Json]) -> bytes:
    """Return an answer whose stream has these events, each with its number if it has one."""
    frames = [
        (f"id: {number}\n" if number else "") + f"data: {json.dumps(event)}\n\n"
        for number, event in events
    ]
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    return (head + "".join(frames)).encode()


async def test_events_that_are_lost_to_this_reader_are_an_error(
    program: Program, network: Proxy
) -> None:
    lost = {"type": "error", "message": "gone", "code": "events_lost", "retryable": True}
    network.answer = stream((1, START), (2, {"type": "chunk", "content": "a"}), (None, lost))
    found = await chat(program, network)
    assert (found["error"]["name"], found["error"]["code"]) == ("RunError", "events_lost")
    assert found["text"] == "a"
    assert network.connections == 1


async def test_a_stream_with_a_hole_is_asked_for_again_and_never_shown(
    program: Program, network: Proxy
) -> None:
    network.answer = stream((1, START), (3, {"type": "chunk", "content": "b"}))
    found = await chat(program, network)
    assert found["error"]["name"] == "ConnectionError"
    assert "event 3 came after 1" in found["error"]["message"]
    assert found["text"] == ""
    assert network.answered == 4


async def test_the_end_of_a_run_that_another_process_had_to_end_has_a_number_past_all_others(
    program: Program, network: Proxy
) -> None:
    error = {"type": "error", "message": "no", "code": "run_interrupted", "retryable": True}
    network.answer = stream((1, START), (200_001, error))
    found = await chat(program, network)
    assert (found["error"]["name"], found["error"]["code"]) == ("RunError", "run_interrupted")
    assert network.connections == 1


# A service that ends and begins anew


async def test_a_run_that_went_with_its_process_is_an_error_and_never_started_twice(
    program: Program, upstream: ScriptedUpstream, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    node = Node(
        tmp_path,
        STREAM_SERVE_UPSTREAM_URL=upstream.url,
        STREAM_SERVE_UPSTREAM_API_KEY=UPSTREAM_KEY,
        STREAM_SERVE_MODEL="answer",
    )
    node.start()
    await node.up(client)
    async with Proxy(node.url) as network:
        reading = asyncio.create_task(chat(program, network))
        await under_way(upstream)
        await node.kill()
        node.start()
        found = await reading
    await node.kill()
    assert (found["error"]["name"], found["error"]["code"]) == ("RequestError", "run_not_found")
    assert found["error"]["status"] == 404
    assert found["text"]
    assert LONG_TEXT.startswith(found["text"])
    assert len(upstream.requests) == 1


async def test_a_process_that_begins_anew_costs_nobody_a_word_where_there_are_several(
    program: Program, upstream: ScriptedUpstream, client: aiohttp.ClientSession, server: Redis
) -> None:
    async with cluster(client, upstream, server) as (owner, other):
        async with ask(client, owner.url, model=LONG, onDisconnect="continue") as stream:
            run_id = stream.run_id
        reading = asyncio.create_task(program.run("follow", url=other.url, runId=run_id))
        await under_way(upstream, 10)
        await other.end()
        other.start()
        found = await reading
    assert found["error"] is None
    assert found["text"] == LONG_TEXT
    assert found["result"]["finishReason"] == "stop"
    assert len(upstream.requests) == 1


# A reload


@pytest.mark.parametrize("anew", [False, True], ids=["from its cursor", "from the beginning"])
async def test_a_run_goes_on_after_a_reload(
    program: Program, door: Door, upstream: ScriptedUpstream, anew: bool
) -> None:
    words = {"question": question(LONG), "half": len(LONG_TEXT) // 2, "anew": anew}
    found = await program.run("reload", url=door.url, **words)
    assert found["text"] == found["result"]["text"] == LONG_TEXT
    assert (found["called"][0] == "start") == anew
    assert len(upstream.requests) == 1


async def test_a_run_that_was_read_to_its_end_has_no_more_to_say(
    program: Program, door: Door
) -> None:
    whole = await chat(program, door, SHORT)
    words = {"runId": whole["id"], "from": {"after": whole["cursor"], "text": whole["text"]}}
    found = await program.run("follow", url=door.url, **words)
    assert found["events"] == []
    assert found["result"] == whole["result"] | dict.fromkeys(("finishReason", "usage", "end"))


async def test_a_run_that_nobody_knows_is_refused(program: Program, door: Door) -> None:
    found = await program.run("follow", url=door.url, runId="somebody/elses")
    assert (found["error"]["name"], found["error"]["status"]) == ("RequestError", 404)


# Stops


async def test_a_stop_gives_a_receipt_and_the_rest_of_the_run(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    found = await chat(program, network, "answer?tokens=2000&interval=0.02", stopAt=3)
    assert found["receipt"]["outcome"] == "stopped"
    assert found["receipt"]["upstreamClosed"]
    assert found["result"]["finishReason"] == "stopped"
    assert found["called"][-1] == "end"
    assert found["cursor"] == len(found["events"])
    assert upstream.requests[0].closed_by == "peer"


async def test_a_stop_lets_go_of_the_clients_own_reader_first(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    network.limit = 1
    found = await chat(program, network, "answer?tokens=2000&interval=0.02", stopAt=3)
    assert found["receipt"]["outcome"] == "stopped"
    assert found["result"]["finishReason"] == "stopped"


async def test_a_stop_without_a_network_is_delivered_when_it_is_back(
    program: Program, network: Proxy, upstream: ScriptedUpstream
) -> None:
    reading = asyncio.create_task(
        chat(program, network, "answer?tokens=2000&interval=0.02", stopAt=40)
    )
    await under_way(upstream)
    network.answer = UNAVAILABLE
    before = network.connections
    await until(lambda: network.connections > before)
    network.answer = None
    found = await reading
    assert found["receipt"]["outcome"] == "stopped"
    assert upstream.requests[0].closed_by == "peer"


async def test_a_stop_that_is_faster_than_its_start_leaves_nothing_running(
    program: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await program.run("stopEarly", url=door.url, question=question("silent"))
    assert found["receipt"] is None or found["receipt"]["outcome"] == "stopped"
    assert found["result"]["finishReason"] == "stopped"
    assert found["result"]["text"] == ""
    await until(lambda: all(record.closed_by for record in upstream.requests))


@pytest.mark.parametrize("how", ["leaveAt", "abortAt"])
async def test_leaving_the_loop_or_aborting_stops_a_run_that_was_started_here(
    program: Program, door: Door, upstream: ScriptedUpstream, how: str
) -> None:
    found = await chat(program, door, "answer?tokens=2000&interval=0.02", **{how: 3})
    assert found["result"]["finishReason"] == "stopped"
    await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_leaving_a_run_that_was_joined_does_not_stop_it(
    program: Program, door: Door, upstream: ScriptedUpstream, client: aiohttp.ClientSession
) -> None:
    async with ask(client, door.url, model=LONG) as stream:
        found = await program.run("follow", url=door.url, runId=stream.run_id, leaveAt=3)
        assert found["result"]["finishReason"] is None
        assert (await stream.rest())[-1]["finishReason"] == "stop"


# Refusals and failures


async def test_a_refused_question_is_an_error_with_its_fields(program: Program, door: Door) -> None:
    words = {"question": {"message": "Hello", "temperature": 7}}
    found = await program.run("chat", url=door.url, **words)
    error = found["error"]
    assert (error["name"], error["status"], error["code"]) == (
        "RequestError",
        422,
        "invalid_fields",
    )
    assert [one["field"] for one in error["fields"]] == ["temperature"]
    assert not error["retryable"]


async def test_another_server_at_the_address_is_an_error_at_once(
    program: Program, network: Proxy
) -> None:
    network.answer = FOREIGN
    found = await chat(program, network)
    assert (found["error"]["name"], found["error"]["status"]) == ("RequestError", 404)
    assert network.connections == 1


async def test_a_wait_that_is_longer_than_its_patience_is_an_error_with_retry_after(
    program: Program, network: Proxy
) -> None:
    network.answer = UNAVAILABLE.replace(b"After: 1", b"After: 3600")
    found = await chat(program, network)
    assert (found["error"]["status"], found["error"]["retryAfter"]) == (503, 3600)
    assert found["error"]["retryable"]
    assert network.connections == 1


async def test_a_run_that_fails_is_an_error_that_keeps_the_text(
    program: Program, door: Door
) -> None:
    found = await chat(program, door, "error-mid")
    assert (found["error"]["name"], found["error"]["code"]) == ("RunError", "upstream_error")
    assert found["error"]["event"]["type"] == found["called"][-1] == "error"
    assert found["text"]
    assert [event["type"] for event in found["events"]].count("error") == 0


async def test_a_key_is_sent_and_a_wrong_one_is_refused_at_once(
    program: Program, upstream: ScriptedUpstream
) -> None:
    async with KeyedDoor(upstream_url=upstream.url, api_keys=KEY) as door:
        is_whole(await chat(program, door, SHORT, key=KEY), upstream, TEXT)
        found = await chat(program, door, SHORT, key="wrong")
        assert (found["error"]["status"], found["error"]["code"]) == (401, "unauthorized")


async def test_a_key_that_has_expired_is_asked_for_again_once(
    program: Program, upstream: ScriptedUpstream
) -> None:
    async with KeyedDoor(upstream_url=upstream.url, api_keys=KEY) as door:
        words = {"url": door.url, "question": question(SHORT)}
        found = await program.run("keys", keys=["old", KEY], **words)
        is_whole(found, upstream, TEXT)
        found = await program.run("keys", keys=["old", "older", KEY], **words)
        assert (found["error"]["status"], found["left"]) == (401, [KEY])


@pytest.mark.parametrize(
    "options", [{"baseUrl": "not a url"}, {"baseUrl": "http://a", "key": "a\nb"}, {}]
)
async def test_wrong_options_are_refused_where_they_are_given(
    program: Program, options: Json
) -> None:
    error = await raises(program, "made", options=options)
    assert error.name == "TypeError"
