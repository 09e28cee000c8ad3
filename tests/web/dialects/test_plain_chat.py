"""The plain way to read a request: what it takes is what the whole body takes, and means the same."""

from __future__ import annotations

import json

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from stream_serve.errors import BadRequest, InvalidFields
from stream_serve.web.body import validated
from stream_serve.web.dialects import plain_chat
from stream_serve.web.dialects.native import ChatBody
from stream_serve.web.dialects.plain_chat import PlainChat
from support.properties import steady

pytestmark = pytest.mark.fast

RUN_ID = "a-run-of-its-own-01"
TEXTS = st.sampled_from(
    [
        "",
        "hi",
        "你好 👩‍💻",
        "new",
        "stop",
        "continue",
        RUN_ID,
        RUN_ID + "\n",
        "é" * 200,
        "é" * 201,
        "\x00\x7f",
    ]
)
OTHERS: list[object] = [None, True, 0, 1.5, [], {}, ["hi"], [{"type": "text", "text": "hi"}]]
VALUES = st.one_of(TEXTS, st.sampled_from(OTHERS))
NAMES = st.sampled_from(
    [
        *(
            "message",
            "message",
            "message",
            "model",
            "systemPrompt",
            "system_prompt",
            "runId",
            "run_id",
        ),
        *("onDisconnect", "conversationId", "parentId", "temperature", "maxTokens", "unknown", ""),
    ]
)
PAIRS: st.SearchStrategy[list[tuple[str, object]]] = st.lists(st.tuples(NAMES, VALUES), max_size=6)
WRITTEN = [
    '{"message": "\\ud83d"}',
    '{"message": "\\u00e9"}',
    '{"message": "a"} ',
    '\ufeff{"message": "a"}',
]


def written(pairs: list[tuple[str, object]]) -> bytes:
    """Return an object with these fields, some of them perhaps twice."""
    fields = (
        f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in pairs
    )
    return ("{" + ", ".join(fields) + "}").encode()


def of_the_whole(raw: bytes) -> ChatBody | None:
    try:
        body = validated(raw, ChatBody)
        body.check()
    except (BadRequest, InvalidFields):
        return None
    return body


@steady(4)
@given(PAIRS.map(written) | st.sampled_from(WRITTEN).map(str.encode))
@example(b'{"message": "first", "message": "second"}')
@example(b'{"message": "hi", "model": null, "runId": null, "conversationId": null}')
def test_what_is_plain_means_the_same_to_the_whole_body(raw: bytes) -> None:
    try:
        plain = plain_chat.read(raw)
    except (BadRequest, InvalidFields):
        plain = None
    whole = of_the_whole(raw)
    event(type(plain).__name__)
    if not isinstance(plain, PlainChat):
        return
    assert whole is not None
    plain.check()
    for name in (
        "question",
        "run_id",
        "on_disconnect",
        "conversation_id",
        "parent_id",
        "at_root",
        "regenerate",
    ):
        said, meant = getattr(plain, name), getattr(whole, name)
        assert (said() if callable(said) else said) == (meant() if callable(meant) else meant), name
    assert (plain.ignored, plain.tool_results) == (whole.ignored, whole.tool_results)
    assert plain.message == whole.message


@pytest.mark.parametrize(
    "raw",
    [b'{"message": "hi"}', f'{{"message": "hi", "model": "m", "runId": "{RUN_ID}"}}'.encode()],
)
def test_most_requests_are_plain(raw: bytes) -> None:
    assert isinstance(plain_chat.read(raw), PlainChat)


@steady(1)
@given(PAIRS.map(written), PAIRS.map(written))
def test_requests_that_mean_something_else_have_other_fingerprints(one: bytes, two: bytes) -> None:
    read: list[PlainChat | ChatBody] = []
    for raw in (one, two):
        try:
            read.append(plain_chat.read(raw))
        except (BadRequest, InvalidFields):
            return
    questions = [(body.question(), body.on_disconnect, body.conversation_id) for body in read]
    if questions[0] != questions[1]:
        assert read[0].fingerprint() != read[1].fingerprint()
