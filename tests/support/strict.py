"""A checker as strict as the strictest chat template, for the history that goes to a provider."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def check_strictly(messages: Sequence[dict[str, Any]]) -> None:
    """Fail for what a provider refuses that wants roles to alternate; without the system prompt."""
    assert messages[0]["role"] == "user", "the first after the system prompt is a question"
    assert messages[-1]["role"] == "user", "the last is a question"
    for one, next_one in itertools.pairwise(messages):
        assert {one["role"], next_one["role"]} == {"user", "assistant"}, "roles alternate"
    for one in messages:
        content = one["content"]
        if isinstance(content, str):
            assert content.strip(), "no content is empty"
        else:
            assert content
            assert one["role"] == "user", "an answer is text"
            assert all(part.get("text", "?").strip() for part in content), "no part is empty"
