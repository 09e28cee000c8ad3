"""What every place that keeps conversations promises of answers: their ends, and their leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from stream_serve.conversations.base import Answer, Status
from stream_serve.events.types import End, Error
from support.conversations import ENDS, USAGE, everything, message
from support.history import ask, ended, talk

if TYPE_CHECKING:
    from stream_serve.conversations.base import History
    from support.history import Place


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize(
    "ending",
    [None, End("length", USAGE, ended_at=7), Error("no \0", "run_timeout", retryable=False)],
)
async def test_an_answer_is_kept_as_it_ended(
    history: History, status: Status, ending: End | Error | None
) -> None:
    turn = await ask(history, run_id="run-1")
    answer = Answer(
        status=status,
        content="text so far",
        reasoning="hm",
        usage=USAGE,
        first_token_ms=123.4,
        error="upstream_timeout",
        ending=ending,
    )
    await history.finish(turn, answer)
    kept = await message(history, turn)
    fields = msgspec.structs.asdict(answer)
    assert (await history.answer("", "run-1")).ending == fields.pop("ending")
    assert {name: getattr(kept, name) for name in fields} == fields
    assert (kept.model, kept.run_id) == ("some-model", "run-1")
    assert (await history.get("", turn.conversation_id)).live_run_id is None


async def test_finishing_again_changes_nothing(history: History) -> None:
    turn = await ask(history)
    assert await history.finish(turn, ended("the end", Status.STOPPED))
    before = await history.get("", turn.conversation_id)
    assert await history.finish(turn, ended("the end", Status.STOPPED))
    assert await history.finish(turn, ended("another", Status.COMPLETE))
    kept = await message(history, turn)
    assert (kept.content, kept.status) == ("the end", Status.STOPPED)
    assert await history.get("", turn.conversation_id) == before


async def test_an_answer_cannot_end_as_generating(history: History) -> None:
    turn = await ask(history)
    with pytest.raises(ValueError, match="being generated"):
        await history.finish(turn, ended(status=Status.GENERATING))


async def test_an_end_in_a_deleted_conversation_is_not_called_stored(history: History) -> None:
    turn = await ask(history)
    await history.delete("", turn.conversation_id)
    await history.touch(turn, ended(status=Status.GENERATING))
    assert not await history.finish(turn, ended())
    assert await everything(history, "") == []


async def test_a_touch_keeps_the_text_so_far(history: History) -> None:
    turn = await ask(history, run_id="run-1")
    await history.touch(
        turn,
        Answer(
            status=Status.GENERATING,
            content="so far",
            reasoning="hm",
            usage=USAGE,
            first_token_ms=1.5,
        ),
    )
    kept = await message(history, turn)
    assert (kept.content, kept.reasoning, kept.usage) == ("so far", "hm", USAGE)
    assert (kept.first_token_ms, kept.status) == (1.5, Status.GENERATING)
    assert (await history.get("", turn.conversation_id)).live_run_id == "run-1"


@pytest.mark.parametrize("status", ENDS)
async def test_a_touch_never_revives_an_answer_that_has_ended(
    history: History, status: Status
) -> None:
    turn = await ask(history)
    await history.finish(turn, ended("the end", status))
    await history.touch(turn, Answer(status=Status.GENERATING, content="late"))
    kept = await message(history, turn)
    assert (kept.content, kept.status) == ("the end", status)
    assert (await history.get("", turn.conversation_id)).live_run_id is None


async def test_an_answer_whose_lease_ran_out_reads_as_interrupted_before_any_sweep(
    place: Place,
) -> None:
    dying, looking = await place.history(lease=0.0), await place.history()
    turn = await ask(dying, run_id="run-1")
    await dying.touch(turn, Answer(status=Status.GENERATING, content="so far"))
    kept = await message(looking, turn)
    assert (kept.content, kept.status) == ("so far", Status.INTERRUPTED)
    assert (await looking.get("", turn.conversation_id)).live_run_id is None
    assert (await looking.list("", limit=9)).conversations[0].live_run_id is None
    following = await ask(looking, turn.conversation_id)
    assert following.path[1].status is Status.INTERRUPTED


async def test_a_sweep_marks_answers_whose_lease_ran_out_and_counts_them(place: Place) -> None:
    dying, living = await place.history(lease=0.0), await place.history()
    dead = [await ask(dying), await ask(dying, owner="another")]
    live = await ask(living, dead[0].conversation_id)
    done = await talk(dying)
    assert await living.sweep() == 2
    assert await living.sweep() == 0
    assert (await message(living, dead[0])).status is Status.INTERRUPTED
    assert (await message(living, live)).status is Status.GENERATING
    assert (await message(living, done)).status is Status.COMPLETE


async def test_a_touch_renews_the_lease(place: Place) -> None:
    short, long = await place.history(lease=0.0), await place.history()
    turn = await ask(short)
    await long.touch(turn, Answer(status=Status.GENERATING, content="alive"))
    assert await long.sweep() == 0
    assert (await message(long, turn)).status is Status.GENERATING


async def test_a_touch_does_not_revive_what_was_swept_and_a_finish_gives_its_true_end(
    place: Place,
) -> None:
    dying, living = await place.history(lease=0.0), await place.history()
    turn = await ask(dying)
    await living.sweep()
    await living.touch(turn, Answer(status=Status.GENERATING, content="late"))
    kept = await message(living, turn)
    assert (kept.content, kept.status) == ("", Status.INTERRUPTED)
    await living.finish(turn, ended("the true end"))
    kept = await message(living, turn)
    assert (kept.content, kept.status) == ("the true end", Status.COMPLETE)


async def test_the_live_run_is_the_newest(history: History) -> None:
    first = await ask(history, run_id="old")
    second = await ask(history, first.conversation_id, run_id="new")
    other = await ask(history, run_id="other")

    async def live() -> dict[str, str | None]:
        page = await history.list("", limit=9)
        assert page.conversations == [
            await history.get("", conversation.id) for conversation in page.conversations
        ]
        return {found.id: found.live_run_id for found in page.conversations}

    assert await live() == {first.conversation_id: "new", other.conversation_id: "other"}
    await history.finish(second, ended())
    assert await live() == {first.conversation_id: "old", other.conversation_id: "other"}
    renamed = await history.change("", first.conversation_id, title="other title")
    assert renamed.live_run_id == "old"
    await history.finish(first, ended())
    assert await live() == {first.conversation_id: None, other.conversation_id: "other"}
