"""A run that is read in one dialect, cut at any event, and read on in any other is the same answer."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.events.transcript import Transcript
from stream_serve.events.types import End, Start, Usage
from stream_serve.web.dialects.base import Translator
from stream_serve.web.dialects.registry import NATIVE, dialect_of, names
from support.canon import RUN_ID, frames, runs
from support.properties import steady
from support.telling import TELLING, Told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Event

TEXT_ONLY = {"completions"}
ANSWER = "chat-completions"


def stream(
    name: str, run: Sequence[Event], *, after: int = 0, resumed: bool = False
) -> list[bytes]:
    """Return what a reader of a dialect gets for each event of a run, after its cursor."""
    dialect = dialect_of(name)
    if dialect is None:
        return [b"" if n <= after else frame for n, frame in enumerate(frames(run), 1)]
    translator = Translator(dialect.translation(RUN_ID), after=after, resumed=resumed)
    return [translator.translate(frame) for frame in frames(run)]


def said(run: Sequence[Event]) -> Told:
    transcript = Transcript.of(run)
    calls = {one.id: [one.name, one.arguments] for one in transcript.tool_calls}
    return Told(transcript.text, transcript.reasoning, calls, ends=1)


def test_every_dialect_is_known_here() -> None:
    assert set(TELLING) == set(names())


CACHED = {
    "native": b'"cachedTokens":4',
    "chat-completions": b'"prompt_tokens_details":{"cached_tokens":4}',
    "completions": b'"prompt_tokens_details":{"cached_tokens":4}',
    "responses": b'"input_tokens_details":{"cached_tokens":4,',
    "ai-sdk": b'"cachedInputTokens":4',
    "ag-ui": b'"cachedInputTokens":4',
}


@pytest.mark.parametrize("name", TELLING)
def test_cached_tokens_are_passed_on_in_every_dialect_that_has_a_place_for_them(name: str) -> None:
    told, untold = (
        b"".join(stream(name, [Start(RUN_ID, "m"), End("stop", usage)]))
        for usage in (Usage(7, 2, 9, "provider", None, 4), Usage(7, 2, 9, "provider"))
    )
    assert CACHED[name] in told
    assert (b"cached" in untold) is (name == "responses")  # whose types want a number


@pytest.mark.parametrize("first", TELLING)
@steady(0.3)
@given(st.data())
def test_a_cut_reader_goes_on_in_any_other_dialect_and_has_the_same_answer(
    first: str, data: st.DataObject
) -> None:
    run = data.draw(runs())
    cut = data.draw(st.integers(1, len(run) - 1))
    begun = TELLING[first](b"".join(stream(first, run)[:cut]))
    begun.whole = False
    for second in TELLING:
        told = begun.then(TELLING[second](b"".join(stream(second, run, after=cut))))
        wanted = said(run)
        assert told.ends == 1, second
        assert told.text == wanted.text, second
        if not {first, second} & TEXT_ONLY:
            assert told.thought == wanted.thought, second
            assert arguments(told) == arguments(wanted), second


@pytest.mark.parametrize("name", TELLING)
@steady(0.3)
@given(st.data())
def test_the_same_reader_goes_on_with_the_very_bytes_that_it_has_not_had(
    name: str, data: st.DataObject
) -> None:
    run = data.draw(runs())
    whole = stream(name, run)
    for cut in range(1, len(run)):
        rest = stream(name, run, after=cut, resumed=True)
        assert b"".join(rest) == b"".join(whole[cut:])


def test_every_pair_is_tried() -> None:
    pairs = set(product(TELLING, TELLING))
    assert len(pairs) == len(TELLING) ** 2
    assert (NATIVE, ANSWER) in pairs


def arguments(told: Told) -> dict[str, str]:
    """Return the arguments of each call; none at all are an empty object in some dialects."""
    return {name: call[1] or "{}" for name, call in told.calls.items()}
