"""What a message counts where a limit is in tokens: all that is in it, however it is written."""

from __future__ import annotations

import base64
import random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.conversations import tokens
from stream_serve.events import usage
from stream_serve.producers.provider import ChatRequest

pytestmark = pytest.mark.fast

RANDOM: Final = base64.b64encode(random.Random(1).randbytes(300_000)).decode()
WORDS: Final = "one and then another " * 1_000

JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
PARTS: Final = st.dictionaries(st.sampled_from(["type", "text", "file", "x"]), JSON, max_size=4)


def picture(*urls: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": [{"url": url} for url in urls]}


def test_a_text_in_parts_counts_as_the_text() -> None:
    assert tokens.of_content([{"type": "text", "text": WORDS}]) == usage.count(WORDS)


@pytest.mark.parametrize("size", [1_000, 100_000, 400_000])
@pytest.mark.parametrize("head", ["", "data:image/png;base64,"])
def test_a_picture_counts_the_same_whatever_its_data_is(size: int, head: str) -> None:
    small = tokens.of_content([picture("https://a/b.png")])
    assert abs(tokens.of_content([picture(head + RANDOM[:size])]) - small) < 20
    assert 1_000 <= small < 1_030


def test_each_picture_counts_in_one_part_or_in_several() -> None:
    apart = tokens.of_content([picture(RANDOM)] * 3)
    assert 3_000 <= tokens.of_content([picture(RANDOM, RANDOM, RANDOM)]) <= apart < 3_100


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": RANDOM}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{RANDOM}"}},
        {"type": "input_audio", "input_audio": {"data": RANDOM, "format": "mp3"}},
        {"type": "video", "frames": [RANDOM[:200_000], RANDOM[200_000:]]},
    ],
)
def test_other_data_counts_by_its_length(part: dict[str, object]) -> None:
    counted = tokens.of_content([part])
    assert len(RANDOM) / 200 <= counted < len(RANDOM) / 200 + 40
    assert usage.count(RANDOM) > 20 * counted, "and not as a text would"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "json", "value": WORDS},
        {"type": "json", "value": {WORDS: True}},
        {"type": "file", "file": {"file_data": "汉" * 4_000}},
        {"type": "file", "file": {"file_data": RANDOM[:1_000] + WORDS}},
        {"type": "text", "text": "so", "citation": WORDS},
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}, "caption": WORDS},
        {"type": WORDS},
        {"type": "numbers", "value": list(range(10_000))},
    ],
)
def test_what_is_beside_the_text_of_a_part_counts_too(part: dict[str, object]) -> None:
    assert tokens.of_content([part]) > 1_900


@pytest.mark.parametrize(
    "message",
    [
        {"role": "tool", "content": "so", "name": WORDS},
        {"role": "tool", "content": "so", "tool_call_id": WORDS},
        {"role": "assistant", "content": None, "tool_calls": [{"id": WORDS}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": WORDS}}]},
        {"role": "system", "content": WORDS},
    ],
)
def test_names_ids_and_calls_of_a_message_count(message: dict[str, object]) -> None:
    assert tokens.of_message(message) >= usage.count(WORDS)


@pytest.mark.parametrize(
    "request_",
    [
        ChatRequest("m", [], {"tools": [{"function": {"description": WORDS}}]}),
        ChatRequest("m", [], {"response_format": {"json_schema": {"description": WORDS}}}),
        ChatRequest("m", [], {}, {"documents": [WORDS]}),
    ],
    ids=["tools", "the form of the answer", "what is passed on"],
)
def test_what_goes_with_the_messages_counts(request_: ChatRequest) -> None:
    assert tokens.of_options(request_) >= usage.count(WORDS)
    assert tokens.of_options(ChatRequest("m", [], {"temperature": 1})) == 0


@given(parts=st.lists(PARTS, max_size=3), more=PARTS)
def test_any_part_makes_a_message_more(parts: list[dict[str, Any]], more: dict[str, Any]) -> None:
    more.pop("text", None)  # texts are counted together
    assert tokens.of_content([*parts, more]) > tokens.of_content(parts) >= 0
