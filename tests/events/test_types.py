"""The events as values: what they are made of, and that they stay as they are."""

from __future__ import annotations

from typing import Any

import pytest

from stream_serve.errors import InternalError, UpstreamRateLimited
from stream_serve.events.types import Chunk, Error, MessageRef, Start

REF = MessageRef(conversation_id="c", user_message_id="u", answer_id="a")


def test_a_failure_is_described_with_everything_that_is_known_of_it() -> None:
    failure = UpstreamRateLimited(
        "slow down", retry_after=7.0, provider_code="Throttling.RateQuota", request_id="req-1"
    )
    assert Error.of(failure, str(failure)) == Error(
        message="slow down",
        code="upstream_rate_limited",
        retryable=True,
        retry_after=7.0,
        provider_code="Throttling.RateQuota",
        request_id="req-1",
    )


def test_what_is_not_known_of_a_failure_is_left_out() -> None:
    assert Error.of(InternalError("oops"), "oops") == Error("oops", "internal_error", False)


def test_a_failure_is_told_in_the_words_that_are_made_for_readers() -> None:
    failure = InternalError("raw", parameters=["Patience.idle"])
    assert Error.of(failure, "for you").message == "for you"


def test_a_start_in_a_conversation_names_where_the_answer_is_kept() -> None:
    start = Start.of("r1", "m", REF)
    assert start == Start("r1", "m", conversation_id="c", user_message_id="u", message_id="a")
    assert start.ref == REF


def test_a_start_outside_of_conversations_names_none() -> None:
    assert Start.of("r1", "m", None) == Start("r1", "m")
    assert Start("r1", "m").ref is None


@pytest.mark.parametrize("missing", ["conversation_id", "user_message_id", "message_id"])
def test_a_place_that_is_named_in_part_is_none(missing: str) -> None:
    named: dict[str, Any] = {"conversation_id": "c", "user_message_id": "u", "message_id": "a"}
    del named[missing]
    assert Start("r1", "m", **named).ref is None


def test_an_event_cannot_be_changed_once_it_is_made() -> None:
    chunk = Chunk("a")
    with pytest.raises(AttributeError):
        chunk.content = "b"  # pyright: ignore[reportAttributeAccessIssue]  # what is tested
