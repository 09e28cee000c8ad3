"""The messages of a job."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from stream_serve.jobs import messages


def said(message: bytes) -> dict[str, Any]:
    found = json.loads(message)
    assert b"\n" not in message
    found.pop("at", None)
    return found


def test_a_progress_is_between_0_and_1() -> None:
    assert said(messages.progress(1.0000001)) == {"type": "progress", "value": 1.0}
    assert said(messages.progress(-1, "a\nb")) == {
        "type": "progress",
        "value": 0.0,
        "content": "a\nb",
    }
    with pytest.raises(ValueError, match="from 0 to 1"):
        messages.progress(math.nan)


def test_a_line_that_goes_on_says_so() -> None:
    assert said(messages.log("a", source="stdout", partial=True)) == {
        "type": "log",
        "content": "a",
        "source": "stdout",
        "partial": True,
    }


def test_an_error_is_in_words_that_are_bounded() -> None:
    assert messages.words_of(ValueError()) == "ValueError"
    assert messages.words_of(KeyError("a")) == "KeyError: 'a'"
    end = said(messages.end("failed", exit_code=3, error="x" * 5_000))
    assert end["exitCode"] == 3
    assert len(end["error"]) == messages.MAX_WORDS


def test_data_that_is_json_already_is_one_line() -> None:
    said = messages.data(msgspec.Raw(b'{\n  "a": [1,\n 2]\n}'))
    assert b"\n" not in said
    assert json.loads(said)["data"] == {"a": [1, 2]}
    with pytest.raises(ValueError, match="JSON"):
        messages.data(msgspec.Raw(b'1}\n{"type":"end","finishReason":"completed"'))


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError):
        messages.data(object())
