"""What a provider would fetch is found wherever it stands; what it only reads may say anything."""

from __future__ import annotations

from typing import Any

import pytest

from stream_serve.runs.spec import OnDisconnect
from stream_serve.settings import Settings
from stream_serve.web import addresses
from stream_serve.web.dialects import chat_request
from stream_serve.web.dialects.ag_ui_request import names_of
from stream_serve.web.dialects.ag_ui_request import read as read_ag_ui
from stream_serve.web.dialects.responses import request as responses
from stream_serve.web.dialects.ui_request import read as read_ui

Json = dict[str, Any]

URL = "http://10.0.0.1/a"
TURN: list[Json] = [{"role": "user", "content": URL}]
SCHEMA: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": URL,
    "properties": {"at": {"type": "string", "description": URL, "default": URL, "enum": [URL]}},
}


def found(**fields: Any) -> str | None:
    """Return what is found in the body of a chat completion."""
    asked, _ = chat_request.question({"messages": TURN, **fields}, Settings.load())
    return addresses.named(asked)


def in_part(part: object, role: str = "user") -> str | None:
    return found(messages=[{"role": role, "content": [part]}])


@pytest.mark.parametrize("name", ["images", "image_url", "documents", "text", "id", "name", "x"])
@pytest.mark.parametrize("value", [URL, [URL], {"text": URL}, {"a": [{"id": URL}]}])
def test_no_field_that_is_unknown_here_has_one(name: str, value: object) -> None:
    assert found(**{name: value}) == "extra_body"


@pytest.mark.parametrize("name", ["audio", "web_search_options", "tool_choice", "modalities"])
def test_an_option_that_is_more_than_words_has_none(name: str) -> None:
    assert found(**{name: {"id": URL}}) == name


@pytest.mark.parametrize(
    "name", ["text", "id", "name", "title", "filename", "type", "thinking", "x"]
)
@pytest.mark.parametrize("kind", ["image_url", "input_image", "file", "x", None, 5])
def test_a_part_has_none_under_any_name(name: str, kind: object) -> None:
    part: Json = {} if kind is None else {"type": kind}
    assert in_part({**part, "image_url": {name: URL}}) == "messages[0].content"
    assert in_part({**part, "more": [[{name: URL}]]}) == "messages[0].content"
    if not (kind is None and name == "text"):
        assert in_part({**part, name: URL}) == "messages[0].content"


@pytest.mark.parametrize("role", ["user", "system", "tool", "assistant"])
def test_a_text_part_has_one_in_its_text_alone(role: str) -> None:
    for kind in ("text", "input_text", "output_text"):
        assert in_part({"type": kind, "text": URL}, role) is None
        assert in_part({"type": kind, "text": {"url": URL}}, role) == "messages[0].content"
        assert in_part({"type": kind, "text": "a", "id": URL}, role) == "messages[0].content"
    assert in_part({"text": URL}, role) is None
    assert in_part({"text": "a", "image": URL}, role) == "messages[0].content"
    assert found(messages=[{"role": role, "content": URL}]) is None
    assert found(messages=[{"role": role, "content": f"see {URL}"}]) is None


def test_a_name_may_look_like_one_but_has_no_slash() -> None:
    file = {"file_data": "data:application/pdf;base64,AA==", "filename": "Re:notes.pdf"}
    assert in_part({"type": "file", "file": file}) is None
    assert in_part({"type": "file", "file": {"filename": URL}}) == "messages[0].content"


def test_an_answer_that_is_sent_back_has_none_but_where_it_says_what_it_cited() -> None:
    def beside(**fields: Any) -> str | None:
        return found(messages=[{"role": "assistant", "content": "a", **fields}])

    assert beside(annotations=[{"url_citation": {"url": URL}}], citations=[URL]) is None
    assert beside(reasoning_details=[{"type": "reasoning.text", "text": URL}]) is None
    call = {"id": "functions.get:0", "type": "function"}
    assert beside(tool_calls=[{**call, "function": {"name": "f", "arguments": URL}}]) is None
    assert beside(images=[{"image_url": {"url": URL}}]) == "messages[0].images"
    assert beside(audio={"url": URL}) == "messages[0].audio"


def test_what_describes_a_function_is_read_and_what_a_tool_or_a_schema_fetches_is_not() -> None:
    function = {"name": "f", "description": URL, "parameters": SCHEMA}
    format_ = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    assert found(tools=[{"type": "function", "function": function}]) is None
    assert found(functions=[function], response_format=format_) is None
    assert found(guided_json={"$schema": SCHEMA["$schema"]}) is None
    assert found(tools=[{"type": "mcp", "server_url": URL}]) == "tools"
    fetched = {"name": "f", "parameters": {"items": [{"$ref": URL}]}}
    assert found(tools=[{"type": "function", "function": fetched}]) == "tools"
    assert found(response_format={"schema": {"$ref": URL}}) == "response_format"


def test_words_that_are_only_read_may_say_anything() -> None:
    words: Json = {"stop": [URL], "user": URL, "metadata": {"page": URL}}
    assert found(**words, prediction={"type": "content", "content": URL}) is None
    image = {"type": "image_url", "image_url": {"url": URL}}
    assert found(prediction={"type": "content", "content": [image]}) == "prediction"


def test_no_door_lets_one_through() -> None:
    settings = Settings.load()
    image = {"type": "input_image", "image_url": URL}
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": [image]}
    for items in ([{"role": "user", "content": [image]}], [call, output]):
        asked = responses.read({"model": "m", "input": items}, "run-1234567890123456")
        assert addresses.named(asked.question(asked.input)) is not None
    part = {"type": "file", "mediaType": "image/png", "url": URL}
    ui = {"id": "c", "messages": [{"id": "1", "role": "user", "parts": [part]}]}
    assert addresses.named(read_ui(ui).question) == "messages[0].content"
    source = {"type": "url", "value": URL, "mimeType": "image/png"}
    for message, more in (
        ({"content": [{"type": "image", "source": source}]}, {}),
        ({"content": "a"}, {"extraBody": {"images": [URL]}}),
    ):
        body = {
            "threadId": "t",
            "runId": "r",
            "forwardedProps": more,
            "messages": [{"id": "1", "role": "user", **message}],
        }
        read = read_ag_ui(body, names_of(body), settings, on_disconnect=OnDisconnect.STOP)
        assert addresses.named(read.question) is not None
