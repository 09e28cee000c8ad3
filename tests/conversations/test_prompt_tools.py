"""What a provider is told of tool calls and their results, held against a checker as strict as any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.conversations import prompt
from stream_serve.conversations.base import Message, Status
from stream_serve.events.transcript import CalledTool
from support.strict import check_strictly

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.fast

CITY: Final = '{"city": "Berlin"}'


def said(role: str, content: Any = "", **more: Any) -> Message:
    fields: dict[str, Any] = {"status": Status.COMPLETE, **more}
    return Message(id="m", parent_id=None, role=role, content=content, created_at=0.0, **fields)


def user(content: Any = "weather?") -> Message:
    return said("user", content)


def calling(*ids: str, text: str = "", arguments: str = CITY, **more: Any) -> Message:
    calls = [CalledTool(one, "weather", arguments) for one in ids]
    return said("assistant", text, tool_calls=calls, **more)


def result(call: str, content: Any = "sunny") -> Message:
    return said("tool", content, tool_call_id=call)


def call_of(one: str, arguments: str = CITY) -> dict[str, object]:
    function = {"name": "weather", "arguments": arguments}
    return {"id": one, "type": "function", "function": function}


def told(one: str, content: Any = "sunny") -> dict[str, object]:
    return {"role": "tool", "tool_call_id": one, "content": content}


def asked(content: str = "weather?") -> dict[str, object]:
    return {"role": "user", "content": content}


IDS: Final = st.sampled_from(["a", "b", "c"])
CALLS: Final = st.builds(
    CalledTool,
    IDS,
    st.just("weather"),
    st.sampled_from([CITY, "{}", "", " ", '{"city": "Ber', "null", "[1]", "{" * 5000]),
)


def ending(text: str, calls: list[CalledTool], status: Status) -> Message:
    return said("assistant", text, tool_calls=calls or None, status=status)


ANSWERS: Final = st.builds(
    ending,
    st.sampled_from(["", " ", "so"]),
    st.lists(CALLS, max_size=3),
    st.sampled_from(Status),
)
RESULTS: Final = st.builds(result, IDS, st.sampled_from(["", "sunny"]))
USERS: Final = st.builds(user, st.sampled_from(["", " ", "why?", "a longer question"]))


@st.composite
def trees(draw: st.DrawFn) -> list[Message]:
    """A path of a random tree: each message hangs on any one before it, and one of them is read up."""
    nodes = draw(st.lists(st.one_of(ANSWERS, RESULTS, RESULTS, USERS), min_size=1, max_size=16))
    parents = [draw(st.integers(max(-1, at - 3), at - 1)) for at in range(len(nodes))]
    path: list[Message] = []
    at = len(nodes) - 1
    while at >= 0:
        path.insert(0, nodes[at])
        at = parents[at]
    return [user("the first"), *path]


@given(path=trees(), tokens=st.integers(0, 80))
def test_a_strict_provider_takes_calls_and_results_of_any_tree_at_any_budget(
    path: list[Message], tokens: int
) -> None:
    if not prompt.answerable(path):
        return
    asked = max(at for at, one in enumerate(path) if one.role == "user")
    if not str(path[asked].content).strip():  # nobody can ask nothing
        path[asked] = user("the last")
    sent = prompt.messages(path, tokens)
    check_strictly(sent)
    assert sent[-1]["role"] == path[-1].role
    whole = prompt.messages(path, 10**6)
    check_strictly(whole)
    steps = [one for one in whole if one["role"] != "user"]
    kept = [one for one in sent if one["role"] != "user"]
    assert kept == steps[len(steps) - len(kept) :], "what is cut is cut at the beginning"
    last = prompt.exchanges(path)[-1]
    assert len(kept) >= sum(len(step.sent()) for step in last.steps)


def test_calls_and_their_results_go_in_the_order_of_the_calls() -> None:
    path = [user(), calling("a", "b", text="let me see"), result("b", "rain"), result("a")]
    step = [
        {"role": "assistant", "content": "let me see", "tool_calls": [call_of("a"), call_of("b")]},
        told("a"),
        told("b", "rain"),
    ]
    assert prompt.messages(path, 1000) == [asked(), *step]
    path += [said("assistant", "It rains."), user("and now?")]
    ended = [{"role": "assistant", "content": "It rains."}, asked("and now?")]
    assert prompt.messages(path, 1000) == [asked(), *step, *ended]


def test_an_answer_that_only_calls_has_no_content() -> None:
    sent = prompt.messages([user(), calling("a"), result("a")], 1000)
    assert sent[1] == {"role": "assistant", "content": None, "tool_calls": [call_of("a")]}


@pytest.mark.parametrize(
    "between",
    [
        [calling("a")],
        [calling("a"), result("b")],
        [result("a")],
        [calling("a", arguments='{"city": "Ber'), result("a")],
        [calling("a", arguments='{"city": "Ber', status=Status.STOPPED), result("a")],
        [calling("a", arguments="", status=Status.STOPPED), result("a")],
        [calling("a", status=Status.GENERATING), result("a")],
        [said("assistant", ""), result("a"), calling("a")],
    ],
)
def test_a_call_without_a_result_and_a_result_without_a_call_are_left_out(
    between: Sequence[Message],
) -> None:
    sent = prompt.messages([user("one"), *between, user("two")], 1000)
    assert sent == [asked("one\n\ntwo")]


def test_of_two_calls_only_the_one_with_a_result_is_sent() -> None:
    path = [user(), calling("a", "b"), result("b"), user("so?")]
    called = {"role": "assistant", "content": None, "tool_calls": [call_of("b")]}
    assert prompt.messages(path, 1000) == [asked(), called, told("b"), asked("so?")]


def test_a_call_without_arguments_is_sent_with_an_empty_object() -> None:
    sent = prompt.messages([user(), calling("a", arguments=""), result("a")], 1000)
    assert sent[1]["tool_calls"] == [call_of("a", "{}")]


def test_answers_between_which_something_is_left_out_are_joined() -> None:
    path = [user(), calling("a", text="one"), said("assistant", "two"), user("so?")]
    sent = prompt.messages(path, 1000)
    assert sent == [asked(), {"role": "assistant", "content": "one\n\ntwo"}, asked("so?")]


def test_an_exchange_is_kept_or_cut_with_its_calls_and_results() -> None:
    old = [user("1" * 10), calling("a", arguments='{"a":1}'), result("a", "2" * 10)]
    path = [*old, said("assistant", "3" * 10), user("4" * 10)]
    whole = prompt.messages(path, 1000)
    assert len(whole) == 5
    every = sum(one.tokens for one in prompt.exchanges(path))
    assert every > 40, "calls count"
    assert prompt.messages(path, every) == whole
    assert prompt.messages(path, every - 1) == [asked("4" * 10)]


def test_the_last_exchange_is_sent_whole_with_all_its_steps() -> None:
    steps = [calling("a"), result("a", "x" * 5000), calling("b"), result("b", "y" * 5000)]
    sent = prompt.messages([user("old"), said("assistant", "old"), user(), *steps], 5)
    assert [one["role"] for one in sent] == ["user", "assistant", "tool", "assistant", "tool"]
    assert prompt.asked([user(), *steps]) > 500


@pytest.mark.parametrize(
    ("path", "can"),
    [
        ([], False),
        ([user()], True),
        ([user(), said("assistant", "so")], False),
        ([result("a")], False),
        ([calling("a"), result("a")], False),
        ([user(), calling("a"), result("a")], True),
        ([user(), calling("a"), result("b")], False),
        ([user(), calling("a"), result("a"), result("b")], True),
    ],
)
def test_a_path_is_answerable_if_it_ends_with_what_can_be_answered(
    path: Sequence[Message], can: bool
) -> None:
    assert prompt.answerable(path) is can
