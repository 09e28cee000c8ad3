"""AG-UI's own client: runs, ends, and every way to go on after a cut, at every place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER, THOUGHT
from support.clients import Program, node_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.conftest import Door
    from stream_serve.testing import Record, ScriptedUpstream

Json = dict[str, Any]

ARGUMENTS = {"city": "杭州", "unit": "celsius"}


@pytest.fixture(scope="module")
def agent() -> Iterator[Program]:
    """AG-UI's client."""
    made = node_program("ag_ui_joins")
    yield made
    made.close()


def words(door: Door, run: str = "run-1", **more: Any) -> Json:
    """Return what a case is told."""
    return {"url": f"{door.url}/ag-ui", "key": door.key, "runId": run, **more}


def own(found: Json) -> list[Json]:
    """Return the messages of the run; those before it have to be as they were."""
    assert [one["id"] for one in found["messages"][:3]] == ["r0", "a0", "u1"]
    return found["messages"][3:]


def gone(record: Record) -> bool:
    return record.closed_by == "peer"


async def test_a_run_is_thoughts_and_an_answer_and_nothing_that_the_client_does_not_know(
    agent: Program, door: Door
) -> None:
    found = await agent.run("run", **words(door, model="thinking"))
    assert [one["content"] for one in own(found)] == [THOUGHT, ANSWER]
    assert found["newMessages"] == own(found)
    assert found["warnings"] == []
    assert (found["rejected"], found["error"]) == (None, None)
    assert found["finished"]["outcome"] == "success"
    assert found["finished"]["usage"][0]["reasoningTokens"] == 798


async def test_calls_come_with_their_arguments_and_wait_for_their_results(
    agent: Program, door: Door
) -> None:
    found = await agent.run("run", **words(door, model="tools"))
    assert [(name, arguments) for _, name, arguments in found["calls"]] == [
        ("get_weather", ARGUMENTS),
        ("get_time", ARGUMENTS),
    ]
    assert found["finished"]["pending"] == [name for name, *_ in found["calls"]]
    assert found["warnings"] == []


async def test_a_failure_in_the_middle_is_told(agent: Program, door: Door) -> None:
    found = await agent.run("run", **words(door, model="error-mid"))
    assert own(found)[-1]["content"] == ANSWER[:12]
    assert found["error"]["code"].startswith("upstream")
    assert (found["rejected"], found["warnings"]) == (None, [])


async def test_a_refusal_is_said_in_words(agent: Program, keyed_door: Door) -> None:
    found = await agent.run("run", **{**words(keyed_door), "key": "wrong"})
    assert found["rejected"].startswith("HTTP 401: ")
    assert "{" not in found["rejected"]


@pytest.mark.parametrize("resuming", [False, True])
async def test_an_abort_stops_the_provider(
    agent: Program, door: Door, upstream: ScriptedUpstream, resuming: bool
) -> None:
    asked = words(door, model="hang-mid", at="TEXT_MESSAGE_CONTENT", resuming=resuming)
    found = await agent.run("abort", **asked)
    assert found["error"]["code"] == "abort"
    await upstream.wait_for(gone)


@pytest.mark.parametrize("model", ["thinking?tokens=3&thoughts=3", "tools"])
async def test_the_example_goes_on_after_a_cut_at_every_place(
    agent: Program, door: Door, upstream: ScriptedUpstream, model: str
) -> None:
    whole = await agent.run("run", **words(door, "whole", model=model))
    for cut in range(len(whole["events"])):
        clean = cut % 2 == 0
        asked = words(door, f"cut-{cut}", model=model, cuts=[cut, 3], clean=clean)
        found = await agent.run("resume", **asked)
        assert shown(found) == shown(whole), cut
        assert found["events"] == whole["events"] or "MESSAGES_SNAPSHOT" in found["events"]
        assert found["connections"] >= 2
        assert found["rejected"] is None
    assert len(upstream.requests) == 1 + len(whole["events"])


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("model", ["thinking?tokens=3&thoughts=3", "tools"])
async def test_every_instance_that_asks_again_has_the_same_thread(
    agent: Program, door: Door, upstream: ScriptedUpstream, model: str, history: bool
) -> None:
    whole = await agent.run("run", **words(door, "whole", model=model))
    for cut in range(len(whole["events"])):
        asked = words(door, f"cut-{cut}", model=model, cut=cut, clean=cut % 2 == 0)
        for found in await agent.run("again", **asked, history=history):
            assert shown(found) == shown(whole), cut
            assert found["finished"]["pending"] == whole["finished"]["pending"]
            assert found["calls"] == whole["calls"]
            assert found["warnings"] == []
    assert len(upstream.requests) == 1 + len(whole["events"])


async def test_a_live_run_is_joined_by_a_reload(
    agent: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    model = "thinking?tokens=30&thoughts=10&interval=0.01"
    asked = words(door, model=model, cut=25, clean=False, history=True)
    answers = {tuple(map(str, shown(found))) for found in await agent.run("again", **asked)}
    assert len(answers) == 1
    assert len(upstream.requests) == 1


def shown(found: Json) -> list[Json]:
    """Return the run's own messages without its ids, which another run has not."""
    names = [one["id"] for one in own(found)]
    return [{**one, "id": names.index(one["id"])} for one in own(found)]
