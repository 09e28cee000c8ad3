"""The quick ways to read a chunk: they say what the careful one says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from stream_serve.producers.openai.chunks import Reading
from support.properties import steady

if TYPE_CHECKING:
    from stream_serve.events.types import Delta

pytestmark = pytest.mark.fast

OTHERS: Final[list[object]] = [None, "", "stop", "length", "error", 0, [], {}, ["x"], {"a": 1}]
DELTAS: Final = st.none() | st.dictionaries(
    st.sampled_from(["role", "content", "reasoning_content", "tool_calls", "refusal", "odd"]),
    st.sampled_from([None, "", "a", "<think>t</think>b", 1, [], [{"type": "text", "text": "p"}]]),
    max_size=3,
)
CHOICES: Final = st.fixed_dictionaries(
    {"delta": DELTAS},
    optional={
        "finish_reason": st.sampled_from([None, "", "stop", "length", "tool_calls", "error", 1]),
        "index": st.sampled_from([0, 1, None]),
        "logprobs": st.sampled_from([None, {"content": []}]),
        "odd": st.sampled_from(OTHERS),
    },
)
CHUNKS: Final = st.fixed_dictionaries(
    {"choices": st.lists(CHOICES, max_size=1) | st.none() | st.lists(CHOICES, max_size=2)},
    optional={
        "id": st.just("x"),
        "model": st.just("m"),
        "usage": st.sampled_from(
            [None, {}, {"prompt_tokens": 1, "completion_tokens": 2}, {"prompt_tokens": "x"}, [1]]
        ),
        "system_fingerprint": st.sampled_from([None, "", "fp_1", "fp_2"]),
        "error": st.sampled_from([None, {}, "bad", {"message": "bad"}]),
        "code": st.sampled_from([None, 0, "bad"]),
        "odd": st.sampled_from(OTHERS),
    },
)
STREAMS: Final = st.lists(CHUNKS.map(json.dumps).map(str.encode) | st.just(b"[DONE]"), max_size=8)


class Careful(Reading):
    """A reading that takes each chunk for one that may be anything."""

    __slots__ = ()

    def add(self, data: bytes, deltas: list[Delta]) -> bool:
        self._add_any(data, deltas)
        return not self.over


def read(reading: Reading, stream: list[bytes]) -> dict[str, Any]:
    """Return all that a stream has said."""
    deltas: list[list[Delta]] = []
    for data in stream:
        if reading.done or reading.error is not None:
            break
        deltas.append([])
        reading.add(data, deltas[-1])
    names = (
        "done",
        "started",
        "settled",
        "doubtful",
        "endings",
        "ending",
        "broken",
        "usage",
        "said",
    )
    return {
        "deltas": deltas,
        "rest": reading.rest(),
        "failed": reading.error is not None,
        "lost": reading.unread.lost,
        **{name: getattr(reading, name) for name in names},
    }


@steady(10)
@given(STREAMS, st.booleans())
def test_a_stream_says_the_same_however_it_is_read(stream: list[bytes], splits: bool) -> None:
    quick = read(Reading(split_thinking=splits), stream)
    event(f"ended: {quick['settled']}")
    assert quick == read(Careful(split_thinking=splits), stream)
