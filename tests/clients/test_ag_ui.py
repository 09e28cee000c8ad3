"""AG-UI's own client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from clients.conftest import BEATEN, BEATS
from stream_serve.testing import ANSWER, pieces
from support.clients import Program, node_program, raises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream

TOKENS: Final = 60
SLOW: Final = f"answer?tokens={TOKENS}&interval=0.02"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))
WEATHER: Final = {
    "name": "get_weather",
    "description": "Return the weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture(scope="module")
def agent() -> Iterator[Program]:
    """AG-UI's HttpAgent."""
    made = node_program("ag_ui")
    yield made
    made.close()


def words(door: Door) -> dict[str, Any]:
    return {"url": f"{door.url}/ag-ui", "key": door.key}


def texts(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["role"], one.get("content") or "") for one in messages]


async def test_a_run_is_answered_with_its_thinking_and_its_usage(
    agent: Program, door: Door
) -> None:
    found = await agent.run("run", model="thinking", **words(door))
    roles = [message["role"] for message in found["messages"]]
    assert roles == ["user", "reasoning", "assistant"]
    assert found["messages"][2]["content"] == ANSWER
    assert found["kinds"][0] == "RUN_STARTED"
    assert found["kinds"][-1] == "RUN_FINISHED"
    assert found["outcome"] == "success"
    assert found["usage"][0]["totalTokens"] == 868
    assert found["errors"] == []


async def test_heartbeats_between_the_tokens_disturb_nothing(
    agent: Program, beating_door: Door
) -> None:
    found = await agent.run("run", model=BEATS, **words(beating_door))
    assert texts(found["messages"]) == [("user", "Hello"), ("assistant", BEATEN)]


async def test_a_second_turn_has_the_first(
    agent: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await agent.run("turns", model="answer", **words(door))
    turns = [("user", "Hello"), ("assistant", ANSWER), ("user", "And now?")]
    assert texts(found["messages"]) == [*turns, ("assistant", ANSWER)]
    system, *sent = upstream.requests[1].body["messages"]
    assert system["role"] == "system"  # the service's own
    assert [(one["role"], one["content"]) for one in sent] == turns


async def test_a_failure_in_the_middle_is_an_error_after_the_text(
    agent: Program, door: Door
) -> None:
    found = await agent.run("run", model="error-mid", **words(door))
    assert texts(found["messages"])[1] == ("assistant", ANSWER[:12])
    assert found["errors"][0]["code"] == "upstream_error"
    assert "The model crashed" in found["errors"][0]["message"]
    assert "RUN_FINISHED" not in found["kinds"]


async def test_a_wrong_key_is_said_in_words(agent: Program, keyed_door: Door) -> None:
    error = await raises(agent, "run", model="answer", **{**words(keyed_door), "key": "wrong"})
    assert "401" in error.message
    assert "API key" in error.message


async def test_an_abort_stops_the_provider(
    agent: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await agent.run("abort", model="hang-mid", **words(door))
    assert found["errors"][-1]["code"] == "abort"
    await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_a_second_client_joins_the_run_in_the_middle(
    agent: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await agent.run("join", model=SLOW, **words(door))
    expected = [("user", "Hello"), ("assistant", TEXT)]
    assert texts(found["first"]["messages"]) == expected
    assert texts(found["second"]["messages"]) == expected
    assert len(upstream.requests) == 1


async def test_tools_are_called_and_their_results_answered(
    agent: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await agent.run("tools", model="tools", turn="answer", tools=[WEATHER], **words(door))
    assert found["pending"] == ["call_w1", "call_t2"]
    assert [call["function"]["name"] for call in found["calls"]] == ["get_weather", "get_time"]
    assert texts(found["second"]["messages"])[-1] == ("assistant", ANSWER)
    roles = [message["role"] for message in upstream.requests[1].body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool"]
