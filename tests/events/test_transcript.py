"""What a run has said so far is the same, however its events came."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_serve.events import usage
from stream_serve.events.transcript import Transcript
from stream_serve.events.types import Chunk, Delta, End, Error, Event, Reasoning, Start, Usage
from support.deltas import content_of

STEADY = settings(derandomize=True, deadline=None)
START = Start("r1", "m", conversation_id="c", user_message_id="u", message_id="a")
END = End("stop", Usage(1, 2, 3, "provider"))
ERROR = Error("why", "upstream_error", retryable=True)

deltas = st.lists(st.builds(Chunk, st.text()) | st.builds(Reasoning, st.text()), max_size=12)


def said(events: list[Delta], kind: type[Delta]) -> str:
    return "".join(content_of(event) for event in events if isinstance(event, kind))


@STEADY
@given(deltas, st.lists(st.integers(0, 12), max_size=4))
def test_text_and_thoughts_are_kept_apart_in_their_order(
    events: list[Delta], cuts: list[int]
) -> None:
    transcript = Transcript()
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    for a, b in pairwise(edges):
        transcript.add(events[a:b])
    assert transcript.text == said(events, Chunk)
    assert transcript.reasoning == said(events, Reasoning)
    whole = Transcript.of(events)
    assert (whole.text, whole.reasoning) == (transcript.text, transcript.reasoning)


def test_a_run_that_has_said_nothing_has_no_text_start_or_end() -> None:
    for transcript in (Transcript(), Transcript.of([])):
        assert (transcript.text, transcript.reasoning) == ("", "")
        assert (transcript.start, transcript.end) == (None, None)


def test_a_whole_run_has_its_start_its_text_and_its_end() -> None:
    events: list[Event] = [START, Reasoning("hm"), Chunk("a"), Reasoning("!"), Chunk("b"), END]
    transcript = Transcript.of(events)
    assert (transcript.start, transcript.end) == (START, END)
    assert (transcript.text, transcript.reasoning) == ("ab", "hm!")


def test_a_run_that_failed_has_its_error_as_its_end_and_keeps_its_text() -> None:
    transcript = Transcript.of(iter([START, Chunk("a"), ERROR]))
    assert transcript.end == ERROR
    assert transcript.text == "a"


def test_a_run_that_goes_on_has_no_end_yet_and_can_be_added_to() -> None:
    transcript = Transcript.of([START, Chunk("a")])
    assert transcript.end is None
    transcript.add([Chunk("b"), Reasoning("c")])
    assert (transcript.text, transcript.reasoning) == ("ab", "c")
    assert transcript.start == START


@STEADY
@given(st.integers(0, 10**6), deltas)
def test_an_estimate_is_for_what_was_asked_and_what_was_said(
    prompt_tokens: int, events: list[Delta]
) -> None:
    answer, reasoning = said(events, Chunk), said(events, Reasoning)
    pieces = (
        sum(isinstance(event, Chunk) and event.content != "" for event in events),
        sum(not isinstance(event, Chunk) and content_of(event) != "" for event in events),
    )
    transcript = Transcript.of(events)
    assert transcript.pieces == pieces
    assert transcript.estimate(prompt_tokens) == usage.estimate(
        prompt_tokens=prompt_tokens, answer=answer, reasoning=reasoning, pieces=transcript.pieces
    )


@STEADY
@given(deltas, st.integers(1, 5))
def test_what_comes_together_adds_up_to_the_same_as_what_comes_one_by_one(
    events: list[Delta], together: int
) -> None:
    one_by_one, joined = Transcript.of(events), Transcript()
    for start in range(0, len(events), together):
        joined.add(events[start : start + together])
    assert joined.pieces == one_by_one.pieces
    assert (joined.text, joined.reasoning) == (one_by_one.text, one_by_one.reasoning)
    assert (joined.tool_calls, joined.sources) == (one_by_one.tool_calls, one_by_one.sources)


def test_each_piece_with_text_is_at_least_one_token() -> None:
    events = [Chunk("a"), Chunk(""), Reasoning("b"), Chunk("c"), Chunk("d")]
    estimate = Transcript.of(events).estimate(7)
    assert (estimate.completion_tokens, estimate.reasoning_tokens) == (4, 1)


def test_a_run_that_is_over_lets_go_of_its_text_and_knows_its_start_and_end() -> None:
    transcript = Transcript.of([START, Reasoning("hm"), Chunk("a"), END])
    transcript.clear()
    assert (transcript.text, transcript.reasoning) == ("", "")
    assert (transcript.start, transcript.end) == (START, END)
