"""What a provider is told of a conversation, held against a checker as strict as any provider."""

from __future__ import annotations

import itertools
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.conversations import prompt
from stream_serve.conversations.base import Message, Status
from stream_serve.events import usage
from stream_serve.producers.provider import text_of
from support.strict import check_strictly

pytestmark = pytest.mark.fast

BLANK: Final = ["", " ", "\n\t"]
IMAGE: Final[dict[str, object]] = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}


def message(role: str, content: Any, number: int = 0) -> Message:
    return Message(
        id=f"{role}-{number}",
        parent_id=None,
        role=role,
        content=content,
        status=Status.COMPLETE,
        created_at=0.0,
    )


def path_of(*contents: Any) -> list[Message]:
    """A path of these contents: a question, its answer, and so on."""
    roles = itertools.cycle(["user", "assistant"])
    return [message(role, said, n) for n, (role, said) in enumerate(zip(roles, contents))]  # noqa: B905


TEXTS: Final = st.one_of(st.sampled_from(BLANK), st.text(max_size=30))


def written(said: str) -> dict[str, object]:
    return {"type": "text", "text": said}


PARTS: Final = st.one_of(st.just(IMAGE), st.builds(written, TEXTS))
QUESTIONS: Final[st.SearchStrategy[Any]] = st.one_of(TEXTS, st.lists(PARTS, max_size=3))
LAST: Final[st.SearchStrategy[Any]] = st.one_of(
    st.text(min_size=1, max_size=30).filter(str.strip), st.just([IMAGE, written("?")])
)


@given(
    turns=st.lists(st.tuples(QUESTIONS, TEXTS), max_size=8), last=LAST, tokens=st.integers(1, 60)
)
def test_a_strict_provider_takes_the_history_of_any_path_at_any_budget(
    turns: list[tuple[Any, str]], last: Any, tokens: int
) -> None:
    path = path_of(*itertools.chain.from_iterable(turns), last)
    sent = prompt.messages(path, tokens)
    check_strictly(sent)
    said = text_of(sent[-1]["content"])
    assert said.endswith(text_of(last)), "what is asked now is whole, and last"
    beyond = usage.count(text_of(last)) > tokens
    if beyond:
        assert sent == [{"role": "user", "content": last}]
    else:
        kept = prompt.exchanges(path)[-len(sent) :]
        assert len(kept) >= len(sent) / 2
    answers = [answer for _, answer in turns]
    assert all(one["content"] in answers for one in sent if one["role"] == "assistant")


@given(turns=st.lists(st.tuples(QUESTIONS, TEXTS), max_size=8), last=LAST)
def test_with_room_for_all_nothing_that_the_user_said_is_lost(
    turns: list[tuple[Any, str]], last: Any
) -> None:
    sent = prompt.messages(path_of(*itertools.chain.from_iterable(turns), last), 10**6)
    told = "\n".join(text_of(one["content"]) for one in sent)
    for question, _ in turns:
        assert all(said.strip() in told for said in text_of(question).split("\n"))


def test_a_question_without_an_answer_is_joined_with_the_next_one() -> None:
    sent = prompt.messages(path_of("one", "", "two", "  ", "three", "so", "four", "", "five"), 1000)
    assert sent == [
        {"role": "user", "content": "one\n\ntwo\n\nthree"},
        {"role": "assistant", "content": "so"},
        {"role": "user", "content": "four\n\nfive"},
    ]


def test_questions_with_parts_are_joined_part_by_part() -> None:
    text: dict[str, object] = {"type": "text", "text": "what is this?"}
    sent = prompt.messages(path_of([IMAGE, text], "", "tell me"), 2000)
    assert sent == [{"role": "user", "content": [IMAGE, text, {"type": "text", "text": "tell me"}]}]


def test_a_budget_cuts_between_exchanges_and_never_inside_one() -> None:
    path = path_of("1" * 10, "2" * 10, "3" * 10, "4" * 10, "5" * 10)  # a digit is a token
    for tokens, kept in ((10, 1), (20, 1), (29, 1), (30, 3), (49, 3), (50, 5)):
        sent = prompt.messages(path, tokens)
        assert len(sent) == kept
        check_strictly(sent)


def test_a_question_beyond_the_budget_is_sent_whole_and_alone() -> None:
    assert prompt.messages(path_of("one", "so", "x" * 1000), 5) == [
        {"role": "user", "content": "x" * 1000}
    ]


def test_a_question_in_which_there_is_nothing_is_left_out_with_its_answer() -> None:
    sent = prompt.messages(path_of(" ", "hello!", [], "what?", "one"), 1000)
    assert sent == [{"role": "user", "content": "one"}]


def test_a_last_question_of_blanks_is_sent_as_it_is() -> None:
    assert prompt.messages(path_of("one", "so", " "), 1000)[-1] == {"role": "user", "content": " "}
