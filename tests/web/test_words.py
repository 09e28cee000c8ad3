"""Our words for every error that pydantic can find in a setting, in the file, or in a request."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final, cast, get_args

import pytest
from pydantic import ValidationError
from pydantic_core import core_schema

from stream_serve.errors import BadRequest, InvalidFields, SettingsError
from stream_serve.settings import Settings, tables
from stream_serve.settings.words import OTHERWISE, words
from stream_serve.web.body import Body, read_json
from stream_serve.web.conversations import ConversationBody, RatingBody
from stream_serve.web.dialects.native import ChatBody, ChatMessage
from support.bodies import request

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBER: Final = {"greater_than", "greater_than_equal", "less_than_equal"}
KINDS: Final[dict[str, set[str]]] = {
    "bool": {"bool_type", "bool_parsing"},
    "dict": {"dict_type"},
    "float": {"float_type", "float_parsing", "finite_number", *NUMBER},
    "int": {"int_type", "int_parsing", "int_parsing_size", "int_from_float", *NUMBER},
    "is-instance": {"path_type"},  # one of the service's own types, read from a text
    "list": {"list_type", "too_short", "too_long"},
    "literal": {"literal_error"},
    "model": {"model_type", "model_attributes_type"},
    "model-fields": {"missing", "extra_forbidden", "model_attributes_type"},
    "str": {
        *("string_type", "string_too_short", "string_too_long", "string_unicode"),
        "string_pattern_mismatch",
    },
    "tuple": {"tuple_type"},
}
"""The kinds of errors of each type that a field can have."""

WITHOUT: Final = {
    *("any", "default", "definition-ref", "definitions", "function-after", "function-before"),
    *(
        "function-plain",
        "function-wrap",
        "json-or-python",
        "lax-or-strict",
        "model-field",
        "no-info",
    ),
    *("none", "nullable", "tagged-union", "union", "with-info"),
}
"""Types that find nothing themselves but what our own checks raise, or what an inner type finds.

A part of several types has an error of each. The tagged union is `JsonValue`, which only OpenAPI shows: a
check of our own reads it.
"""

MODELS: Final = [Settings, tables.Root, ChatBody, ConversationBody, RatingBody]


def types(part: object) -> Iterator[str]:
    """Yield the types in a schema of pydantic's core."""
    if isinstance(part, dict):
        found = cast("dict[str, object]", part)
        if isinstance(kind := found.get("type"), str):
            yield kind
        for name, inner in found.items():
            if name != "metadata":
                yield from types(inner)
    elif isinstance(part, list | tuple):
        for inner in cast("list[object]", part):
            yield from types(inner)


@pytest.mark.parametrize("model", MODELS)
def test_each_error_that_a_field_can_have_is_said_in_our_words(model: type[Any]) -> None:
    found = set(types(model.__pydantic_core_schema__))
    assert found <= KINDS.keys() | WITHOUT, "which errors can this type have?"
    context = {"gt": 0, "ge": 1, "le": 2.0, "expected": "'a' or 'b'", "max_length": 9}
    for kind in {kind for one in found for kind in KINDS.get(one, ())}:
        said = words(kind, context)
        assert said != OTHERWISE, kind
        assert "{" not in said


@pytest.mark.parametrize("kind", get_args(core_schema.ErrorType))
def test_no_kind_of_error_that_there_is_is_said_in_pydantics_words(kind: str) -> None:
    context: dict[str, object] = dict.fromkeys(
        ("gt", "ge", "le", "expected", "max_length", "error"), "x"
    )
    assert "nput" not in words(kind, context)


# Settings

TEXTS: Final = [
    *(
        "x",
        "-1",
        "0",
        "1.5",
        "9" * 5_000,
        "9" * 22,
        "1e999",
        "nan",
        "inf",
        "true",
        "null",
        "[]",
        "{}",
    ),
    *("[1]", '"x"', ",", "https://", "\x01", "\udcff", " "),
]
OBJECTS: Final[list[object]] = [1.5, [], {}, True, b"x", b"\xff", object(), -1, 10**30, "", [1]]


def pydantics_words(values: dict[str, Any]) -> set[str]:
    """Return what pydantic says of wrong settings, but for the errors of our own checks."""
    try:
        Settings(**values)
    except ValidationError as error:
        return {one["msg"] for one in error.errors() if one["type"] != "value_error"}
    return set()


@pytest.mark.parametrize("setting", Settings.model_fields)
def test_a_wrong_setting_is_described_in_our_words(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    alias = Settings.model_fields[setting].validation_alias
    name = str(getattr(alias, "choices", [f"STREAM_SERVE_{setting.upper()}"])[0])
    for value in [*TEXTS, *OBJECTS]:
        given: dict[str, Any] = {}
        with monkeypatch.context() as patch:
            if isinstance(value, str):
                patch.setenv(name, value)
            else:
                given = {setting: value}
            said, theirs = "", pydantics_words(given)
            try:
                Settings.load(**given)
            except SettingsError as error:
                said = str(error)
        assert not theirs or name in said
        assert OTHERWISE not in said, value
        assert not [one for one in theirs if one in said], value
    assert name not in os.environ


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PORT", "99999", "PORT: it should be at most 65535"),
        ("STREAM_SERVE_PORT", "99999", "STREAM_SERVE_PORT: it should be at most 65535"),
        ("WEB_CONCURRENCY", "many", "WEB_CONCURRENCY: it should be a whole number"),
        ("STREAM_SERVE_IDLE_TIMEOUT", "1d", "STREAM_SERVE_IDLE_TIMEOUT: it should be a number"),
        ("STREAM_SERVE_IDLE_TIMEOUT", "inf", "it should be at most 86400"),
        ("STREAM_SERVE_COALESCE_INTERVAL", "-1", "it should be at least 0"),
        ("STREAM_SERVE_CORS_ORIGINS", "1.5", "STREAM_SERVE_CORS_ORIGINS: an origin is scheme://"),
        ("STREAM_SERVE_EMBED_ORIGINS", "*", "STREAM_SERVE_EMBED_ORIGINS: name each origin here"),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_typed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert f"{said}\n" in f"{caught.value}\n" or said in str(caught.value)


def test_an_override_is_named_as_whoever_gave_it_calls_it() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(called="--{}", port=99_999, log_level="loud")
    assert sorted(str(caught.value).splitlines()[1:]) == [
        "  --log-level: it should be 'debug', 'info', 'warning' or 'error'",
        "  --port: it should be at most 65535",
    ]


# Requests

VALUES: Final = [
    *(
        "1",
        "1.5",
        "-1",
        "0",
        "NaN",
        "1e400",
        "9" * 30,
        "1e30",
        "true",
        "null",
        '""',
        '"x"',
        "[]",
        "[1]",
    ),
    *("{}", "[{}]", '[""]', '[{"role": 1}]', '"' + "x" * 300 + '"', '{"a": 1e400}', '"\\u0000"'),
]


def names(model: type[Body]) -> list[str]:
    return [str(field.alias) for field in model.model_fields.values()]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (model, name)
        for model in (ChatBody, ChatMessage, ConversationBody, RatingBody)
        for name in names(model)
    ],
)
async def test_a_wrong_field_is_described_in_our_words(model: type[Body], name: str) -> None:
    for value in VALUES:
        body = f'{{"{name}": {value}}}'
        fields = await wrong_fields(body, model)
        theirs = their_words(body, model) if fields else set[str]()
        said = {message for _, message in fields}
        assert OTHERWISE not in said
        assert not theirs & said
        assert all(field for field, _ in fields)


async def wrong_fields(body: str, model: type[Body]) -> list[tuple[str, str]]:
    try:
        await read_json(request(body), model, max_bytes=10_000)
    except InvalidFields as error:
        return list(error.fields)
    return []


def their_words(body: str, model: type[Body]) -> set[str]:
    """Return what pydantic says of a wrong body, but for the errors of our own checks."""
    with pytest.raises(ValidationError) as made:
        model.model_validate_json(body)
    return {one["msg"] for one in made.value.errors() if one["type"] != "value_error"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "the body is empty: send a JSON object"),
        (" \n", "the body is empty: send a JSON object"),
        ("\ufeff{}", "it begins with a byte order mark"),
        ("{", "at line 1, column 1: it ends in the middle"),
        ("nul", "it ends in the middle"),
        ("{'a': 1}", "at line 1, column 2: a name needs double quotes"),
        ("{1: 2}", "a name needs double quotes"),
        ('{"a": 1,}', "nothing follows after a comma"),
        ('{\n"a" 1}', "at line 2, column 5: expected `:`"),
        ('{"a": [1 2]}', "expected `,` or `]`"),
        ('{"a": 1} x', "something follows after its end"),
        ('{"a": x}', "a value should begin here"),
        ('{"a": trUe}', "a word is neither true, false nor null"),
        ('{"a": 01}', "this is no number"),
        (json.dumps("\ud800"), "half of a surrogate pair"),
        (r'{"a": "\x"}', "a backslash begins no escape"),
        ('{"a": "\n"}', r"write a line break as \n"),
        ("[" * 300, "it is nested too deep"),
    ],
)
async def test_what_is_no_json_is_described_in_our_words_with_its_place(
    body: str, said: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        await read_json(request(body), ChatBody, max_bytes=10_000)
    assert said in str(caught.value)
