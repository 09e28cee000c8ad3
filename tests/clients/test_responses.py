"""OpenAI's own clients, in Python and in Node, and its agents: Responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from clients.conftest import BEATEN, BEATS
from stream_serve.testing import ANSWER, THOUGHT, pieces
from support.clients import Program, node_program, python_program, raises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream

TOKENS: Final = 60
SLOW: Final = f"answer?tokens={TOKENS}&interval=0.02"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=TOKENS))


@pytest.fixture(scope="module", params=["python", "node"])
def openai(request: pytest.FixtureRequest) -> Iterator[Program]:
    """OpenAI's client of one language."""
    python = request.param == "python"
    made = python_program("responses_client") if python else node_program("responses")
    yield made
    made.close()


@pytest.fixture(scope="module")
def agents() -> Iterator[Program]:
    """OpenAI's agents for Python."""
    made = python_program("agents_client")
    yield made
    made.close()


async def test_an_answer_in_one_piece_is_what_the_provider_said(
    openai: Program, door: Door
) -> None:
    found = await openai.run("plain", model="answer", **door.words)
    assert found["text_of_it"] == ANSWER
    assert found["status"] == "completed"
    assert found["usage"]["total_tokens"] > found["usage"]["output_tokens"] > 0


async def test_a_stream_has_every_event_in_its_order(openai: Program, door: Door) -> None:
    events = await openai.run("stream", model="thinking", **door.words)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    said = {kind: "".join(e["delta"] for e in events if e["type"] == kind) for kind in (
        "response.output_text.delta", "response.reasoning_summary_text.delta"
    )}  # fmt: skip
    assert list(said.values()) == [ANSWER, THOUGHT]


async def test_the_helper_for_streams_has_the_whole_answer(openai: Program, door: Door) -> None:
    found = await openai.run("helper", model="answer", **door.words)
    assert found["text"] == ANSWER
    assert found["final"]["status"] == "completed"
    assert found["final"]["output"][-1]["content"][0]["text"] == ANSWER


async def test_heartbeats_between_the_tokens_disturb_nothing(
    openai: Program, beating_door: Door
) -> None:
    found = await openai.run("helper", model=BEATS, **beating_door.words)
    assert found["text"] == BEATEN


async def test_a_second_turn_names_the_first(
    openai: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await openai.run("turns", model="answer", **door.words)
    assert found["previous"] == found["first"]
    assert found["text"] == ANSWER
    assert [item["content"][0]["text"] for item in found["items"]] == ["Hello"]
    sent = upstream.requests[1].body["messages"]
    assert [one["role"] for one in sent] == ["user", "assistant", "user"]


async def test_what_goes_on_in_the_background_is_resumed_after_any_event(
    openai: Program, door: Door
) -> None:
    found = await openai.run("background", model=SLOW, **door.words)
    assert found["text"] == found["whole"] == TEXT
    assert found["states"] == ["in_progress", "completed"]
    error = await raises(openai, "retrieve", name=found["id"], **door.words)
    assert error.name == "NotFoundError"


async def test_a_cancel_stops_the_provider_and_is_final(
    openai: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    states = await openai.run("cancel", model="hang-mid", **door.words)
    assert states == ["cancelled"] * 3
    await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_closing_a_stream_stops_the_provider(
    openai: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    assert await openai.run("close", model="hang-mid", **door.words)
    await upstream.wait_for(lambda record: record.closed_by == "peer")


async def test_a_failure_in_the_middle_is_raised(openai: Program, door: Door) -> None:
    error = await raises(openai, "stream", model="error-mid", **door.words)
    assert error.name == "APIError"
    assert "The model crashed" in error.message


async def test_a_wrong_key_and_an_unknown_response_are_said_in_words(
    openai: Program, keyed_door: Door
) -> None:
    words = {**keyed_door.words, "key": "wrong"}
    error = await raises(openai, "plain", model="answer", **words)
    assert (error.name, error.told["code"]) == ("AuthenticationError", "invalid_api_key")
    error = await raises(openai, "retrieve", name="resp_unknown", **keyed_door.words)
    assert error.name == "NotFoundError"


@pytest.mark.parametrize("responses", [True, False], ids=["responses", "chat completions"])
async def test_an_agent_calls_its_tools_and_answers(
    agents: Program, door: Door, upstream: ScriptedUpstream, responses: bool
) -> None:
    found = await agents.run("run", model="tools", turn="answer", responses=responses, **door.words)
    assert found["answer"] == ANSWER
    assert found["called"] == ["杭州", "杭州"]
    roles = [message["role"] for message in upstream.requests[1].body["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]
