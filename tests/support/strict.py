"""A checker as strict as the strictest chat template, for the history that goes to a provider."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_strictly(messages: Sequence[dict[str, Any]]) -> None:
    """Fail for what a provider refuses that wants roles to alternate; without the system prompt."""
    assert messages[0]["role"] == "user", "the first after the system prompt is a question"
    assert messages[-1]["role"] in {"user", "tool"}, "the last is a question, or a tool's result"
    for one, next_one in itertools.pairwise(messages):
        after = (one["role"], next_one["role"])
        assert after in FOLLOWING, "roles alternate, but for the results of tools"
        if after == ("assistant", "tool"):
            assert one.get("tool_calls"), "a result follows the answer with its call"
    _check_calls(messages)
    for one in messages:
        content = one["content"]
        if content is None:
            assert one.get("tool_calls"), "only an answer that calls tools has no content"
        elif isinstance(content, str):
            assert one["role"] == "tool" or content.strip(), "no content is empty"
        else:
            assert content
            assert one["role"] in {"user", "tool"}, "an answer is text"
            assert all(part.get("text", "?").strip() for part in content), "no part is empty"


FOLLOWING: Final = {
    ("user", "assistant"),
    ("assistant", "user"),
    ("assistant", "tool"),
    ("tool", "tool"),
    ("tool", "assistant"),
    ("tool", "user"),
}


def _check_calls(messages: Sequence[dict[str, Any]]) -> None:
    """Fail unless right after each answer are the results of its calls, one for each, in their order."""
    told = 0
    for at, one in enumerate(messages):
        calls = one.get("tool_calls", [])
        ids = [call["id"] for call in calls]
        assert len(set(ids)) == len(ids), "no two calls of an answer have one id"
        results = messages[at + 1 : at + 1 + len(ids)]
        assert [result.get("tool_call_id") for result in results] == ids
        told += len(ids)
        for call in calls:
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert told == sum(one["role"] == "tool" for one in messages), "each result has a call"
