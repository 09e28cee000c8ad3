"""The AI SDK's chat, which `useChat` is made of, at its own door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from stream_serve.testing import ANSWER, pieces
from support.clients import Program, node_program
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from clients.conftest import Door
    from stream_serve.testing import ScriptedUpstream

SLOW: Final = "answer?tokens=60&interval=0.02"
TEXT: Final = "".join(pieces(ANSWER, size=4, tokens=60))


@pytest.fixture(scope="module")
def ui() -> Iterator[Program]:
    """The AI SDK."""
    made = node_program("ui_chat")
    yield made
    made.close()


@pytest.fixture
async def lasting(upstream: ScriptedUpstream) -> AsyncIterator[Service]:
    """A service whose answers go on when a page is gone."""
    async with Service(upstream_url=upstream.url, continue_doors="ai-sdk") as running:
        yield running


def at(door: Door) -> dict[str, str]:
    return {"door": door.url, "key": door.key}


def roles(found: dict[str, Any]) -> list[str]:
    return [message["role"] for message in found["messages"]]


def text(message: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in message["parts"])


async def test_two_turns_and_another_answer_are_five_messages_and_no_more(
    ui: Program, door: Door
) -> None:
    found = await ui.run("turns", model="answer", **at(door))
    before, after = found["before"], found["after"]
    assert roles(before) == roles(after) == ["user", "assistant"] * 2
    assert [text(message) for message in after["messages"]] == ["one", ANSWER, "two", ANSWER]
    assert before["messages"][:3] == after["messages"][:3]
    assert before["messages"][3]["id"] != after["messages"][3]["id"]
    assert after["messages"][3]["metadata"]["usage"]["totalTokens"] > 0
    assert found["finishes"] == ["stop"] * 3


async def test_a_stop_in_the_page_stops_the_provider(
    ui: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await ui.run("stop", model="hang-mid", **at(door))
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    assert (found["status"], found["aborts"]) == ("ready", [True])
    assert ANSWER.startswith(text(found["messages"][1]))


async def test_a_stop_by_the_chats_id_ends_the_message_of_the_page(
    ui: Program, lasting: Service, upstream: ScriptedUpstream
) -> None:
    found = await ui.run("stopById", model="hang-mid", door=lasting.url, key="any")
    await upstream.wait_for(lambda record: record.closed_by == "peer")
    assert (found["status"], found["receipt"]["outcome"]) == ("ready", "stopped")
    assert found["messages"][1]["metadata"]["finishReason"] == "stopped"


@pytest.mark.parametrize("stored", ["question", "partial", "nothing"])
async def test_a_page_that_is_loaded_anew_has_the_whole_answer_once(
    ui: Program, lasting: Service, stored: str
) -> None:
    words = {"door": lasting.url, "key": "any"}
    found = await ui.run("resume", model=SLOW, stored=stored, **words)
    assert roles(found) == (["assistant"] if stored == "nothing" else ["user", "assistant"])
    assert (found["messages"][-1]["id"], text(found["messages"][-1])) == (found["id"], TEXT)
    assert (found["status"], found["statuses"], found["same"]) == ("ready", [200, 204], True)


async def test_tools_run_in_the_page_and_their_results_are_sent_once(
    ui: Program, door: Door, upstream: ScriptedUpstream
) -> None:
    found = await ui.run("tools", model="tools", turn="answer", **at(door))
    assert [call["toolCallId"] for call in found["called"]] == ["call_w1", "call_t2"]
    assert found["called"][0]["input"] == {"city": "杭州", "unit": "celsius"}
    assert len(found["requests"]) == len(upstream.requests) == 2
    assert roles(found) == ["user", "assistant"]
    kinds = [part["type"] for part in found["messages"][1]["parts"]]
    assert kinds == ["step-start", "tool-get_weather", "tool-get_time", "step-start", "text"]
    told = [message["role"] for message in upstream.requests[1].body["messages"]]
    assert told[1:] == ["user", "assistant", "tool", "tool"]


async def test_a_call_that_was_cut_is_not_sent_again_by_the_page(ui: Program, door: Door) -> None:
    found = await ui.run("cut", model="tools?interval=0.3", **at(door))
    assert found["status"] == "ready"
    assert found["messages"][1]["parts"][1]["state"] == "input-streaming"
    assert len(found["requests"]) == 1


async def test_a_failure_is_the_words_and_what_programs_read(ui: Program, door: Door) -> None:
    found = await ui.run("ask", model="reset-mid", **at(door))
    assert found["status"] == "error"
    assert "broke in the middle" in found["error"]
    assert found["data"][0]["data"]["code"] == "upstream_disconnected"
    assert text(found["messages"][1])


async def test_a_wrong_key_is_said_in_plain_words(ui: Program, keyed_door: Door) -> None:
    found = await ui.run("ask", model="answer", door=keyed_door.url, key="wrong")
    assert found["status"] == "error"
    assert found["error"].startswith("the API key is not one of this service's")
