"""What every place that keeps conversations promises of their trees of messages."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_serve.conversations import prompt
from stream_serve.conversations.base import Answer, NewAnswer, Status
from stream_serve.errors import ConversationNotFound, MessageNotFound
from support.conversations import ENDS, everything
from support.history import all_messages, ask, ended, new_answer, talk
from support.strict import check_strictly

if TYPE_CHECKING:
    from stream_serve.conversations.base import History, Turn
    from support.history import Place


async def test_a_question_hangs_on_the_newest_answer(history: History) -> None:
    first = await talk(history, content="one")
    second = await talk(history, first.conversation_id, "two")
    third = await ask(history, first.conversation_id, "three")
    assert [at.content for at in third.path] == ["one", "because", "two", "because", "three"]
    assert [at.id for at in third.path] == [
        *(first.user_message_id, first.answer_id),
        *(second.user_message_id, second.answer_id),
        third.user_message_id,
    ]
    assert [at.parent_id for at in third.path] == [None, *(at.id for at in third.path[:-1])]


async def test_the_first_question_of_an_empty_conversation_is_a_root(history: History) -> None:
    made = await history.create("")
    turn = await ask(history, made.id)
    assert turn.conversation_id == made.id
    assert turn.path[0].parent_id is None


async def test_the_newest_answer_is_the_one_that_began_last_in_any_branch(
    history: History,
) -> None:
    first = await talk(history, content="one")
    await talk(history, first.conversation_id, "two")
    again = await history.ask_again("", first.conversation_id, first.answer_id, new_answer("again"))
    await history.finish(again, ended("another"))
    third = await ask(history, first.conversation_id, "three")
    assert [at.content for at in third.path] == ["one", "another", "three"]


async def test_an_edited_question_is_a_sibling(history: History) -> None:
    first = await talk(history, content="one")
    second = await talk(history, first.conversation_id, "two")
    edited = await ask(history, first.conversation_id, "2", parent_id=first.answer_id)
    assert [at.content for at in edited.path] == ["one", "because", "2"]
    root = await ask(history, first.conversation_id, "1", parent_id=None, at_root=True)
    assert [at.content for at in root.path] == ["1"]
    kept = await all_messages(history, "", first.conversation_id)
    assert [(at.content, at.parent_id) for at in kept if at.role == "user"] == [
        ("one", None),
        ("two", first.answer_id),
        ("2", first.answer_id),
        ("1", None),
    ]
    assert second.answer_id in {at.id for at in kept}


async def test_another_answer_is_a_sibling_whether_the_answer_or_the_question_is_named(
    history: History,
) -> None:
    turn = await talk(history)
    for number, named in enumerate((turn.answer_id, turn.user_message_id)):
        again = await history.ask_again(
            "", turn.conversation_id, named, NewAnswer(run_id=f"run-{number}", model="other")
        )
        assert again.user_message_id == turn.user_message_id
        assert again.conversation_id == turn.conversation_id
        assert again.path == turn.path
        await history.finish(again, ended(f"answer {number}"))
    answers = (await all_messages(history, "", turn.conversation_id))[1:]
    assert [at.content for at in answers] == ["because", "answer 0", "answer 1"]
    assert {at.parent_id for at in answers} == {turn.user_message_id}
    assert [at.model for at in answers] == ["some-model", "other", "other"]


async def test_a_path_has_what_is_there_of_an_answer_that_is_being_generated(
    history: History,
) -> None:
    first = await ask(history)
    await history.touch(first, Answer(status=Status.GENERATING, content="so f"))
    second = await ask(history, first.conversation_id, parent_id=first.answer_id)
    assert [(at.content, at.status) for at in second.path] == [
        ("why?", Status.COMPLETE),
        ("so f", Status.GENERATING),
        ("why?", Status.COMPLETE),
    ]


@pytest.mark.parametrize("parent", ["nowhere", "a question", "elsewhere", "\x00"])
async def test_a_parent_has_to_be_an_answer_of_the_conversation(
    history: History, parent: str
) -> None:
    here, elsewhere = await talk(history), await talk(history)
    names = {"a question": here.user_message_id, "elsewhere": elsewhere.answer_id}
    with pytest.raises(MessageNotFound):
        await ask(history, here.conversation_id, parent_id=names.get(parent, parent))
    assert len(await all_messages(history, "", here.conversation_id)) == 2


async def test_a_question_that_makes_a_conversation_has_no_parent(history: History) -> None:
    turn = await talk(history)
    with pytest.raises(MessageNotFound):
        await ask(history, None, parent_id=turn.answer_id)
    assert await everything(history, "") == [turn.conversation_id], "nothing half-made stays"


async def test_another_answer_to_a_message_that_is_not_there_is_refused(history: History) -> None:
    here, elsewhere = await talk(history), await talk(history)
    for wrong in ("nowhere", elsewhere.answer_id, "\ud800"):
        with pytest.raises(MessageNotFound):
            await history.ask_again("", here.conversation_id, wrong, new_answer("run"))


async def test_questions_to_one_conversation_at_once_are_all_kept_in_one_line(
    history: History,
) -> None:
    first = await talk(history)
    turns = await asyncio.gather(
        *(ask(history, first.conversation_id, str(number)) for number in range(20))
    )
    lengths = sorted(len(turn.path) for turn in turns)
    assert lengths == list(range(3, 43, 2)), "each hangs on the answer of the one before"
    kept = await all_messages(history, "", first.conversation_id)
    assert len(kept) == 42
    asked = {str(at.content) for at in kept if at.role == "user"}
    assert asked == {"why?", *map(str, range(20))}


async def test_changes_of_all_kinds_at_once_do_not_get_in_each_others_way(place: Place) -> None:
    histories = [await place.history(), await place.history(), await place.history(lease=0.0)]
    turns = [await talk(histories[0]) for _ in range(3)]

    async def one(number: int) -> None:
        history, turn = histories[number % 3], turns[number % len(turns)]
        conversation = turn.conversation_id
        try:
            mine = await ask(history, conversation)
            await history.touch(mine, Answer(status=Status.GENERATING, content="x"))
            await history.sweep()
            await history.change("", conversation, title=str(number))
            await history.finish(mine, ended())
            await history.ask_again("", conversation, mine.answer_id, new_answer("r"))
            if number in {7, 8}:
                await history.delete("", conversation)
        except (ConversationNotFound, MessageNotFound):
            assert number % 3 in {1, 2}, "only two of them are deleted"

    await asyncio.gather(*map(one, range(30)))
    assert await everything(histories[0], "") == [turns[0].conversation_id]
    assert len(await all_messages(histories[1], "", turns[0].conversation_id)) == 2 + 10 * 3


async def test_a_conversation_may_be_long(history: History, place: Place) -> None:
    turn = await talk(history, content="first")
    await place.lengthen(turn, 2000)
    last = await ask(history, turn.conversation_id, "last")
    assert len(last.path) == 2003
    assert [at.content for at in last.path[2:-1]] == [str(number) for number in range(2000)]
    assert [at.parent_id for at in last.path] == [None, *(at.id for at in last.path[:-1])]
    assert len(await all_messages(history, "", turn.conversation_id)) == 2004
    await history.delete("", turn.conversation_id)
    assert await everything(history, "") == []


@dataclasses.dataclass
class Node:
    """A message as the model knows it."""

    parent: str | None
    role: str
    status: Status
    content: str


class Model:
    """One conversation in memory, as it should be."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def path(self, at: str | None) -> list[str]:
        found: list[str] = []
        while at is not None:
            found.insert(0, at)
            at = self.nodes[at].parent
        return found

    def named(self, role: str | None = None) -> list[str]:
        return [at for at, node in self.nodes.items() if role in {None, node.role}]

    def add(self, turn: Turn, parent: str | None, content: str | None) -> None:
        if content is not None:
            self.nodes[turn.user_message_id] = Node(parent, "user", Status.COMPLETE, content)
        self.nodes[turn.answer_id] = Node(turn.user_message_id, "assistant", Status.GENERATING, "")
        assert [at.id for at in turn.path] == self.path(turn.user_message_id)
        if self.nodes[turn.user_message_id].content.strip():
            for tokens in (1, 5, 1000):
                check_strictly(prompt.messages(turn.path, tokens))


STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(["ask", "edit", "root", "again", "touch", "finish"]),
        st.integers(0, 1000),
        st.text(st.characters(), max_size=5),
        st.sampled_from(ENDS),
    ),
    max_size=12,
)


async def step(
    history: History, model: Model, turns: list[Turn], doing: tuple[str, int, str, Status]
) -> None:
    """Do one thing to both the history and the model."""
    what, number, text, status = doing
    conversation = turns[0].conversation_id
    answers = model.named("assistant")
    turn = turns[number % len(turns)]
    node = model.nodes[turn.answer_id]
    if what == "again":
        again = model.named()[number % len(model.nodes)]
        made = await history.ask_again("", conversation, again, new_answer("r"))
        turns.append(made)
        model.add(made, None, None)
    elif what == "touch":
        await history.touch(turn, ended(text, Status.GENERATING))
        if node.status is Status.GENERATING:
            node.content = text
    elif what == "finish":
        await history.finish(turn, ended(text, status))
        if node.status in {Status.GENERATING, Status.INTERRUPTED}:
            node.content, node.status = text, status
    else:
        edit = answers[number % len(answers)] if what == "edit" else None
        made = await ask(history, conversation, text, parent_id=edit, at_root=what == "root")
        turns.append(made)
        model.add(made, {"ask": answers[-1], "edit": edit, "root": None}[what], text)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
async def test_the_tree_is_what_was_done_to_it(history: History, steps: list[Any]) -> None:
    model = Model()
    turns = [await ask(history, content="root", run_id=secrets.token_hex(8))]
    model.add(turns[0], None, "root")
    for doing in steps:
        await step(history, model, turns, doing)
    kept = await all_messages(history, "", turns[0].conversation_id)
    assert {
        at.id: Node(at.parent_id, at.role, at.status, str(at.content)) for at in kept
    } == model.nodes
    assert [at.id for at in kept] == list(model.nodes), "oldest first"
