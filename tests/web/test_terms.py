"""The operator's terms: what callers may not ask for is refused, and no limit is ever exceeded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stream_serve.errors import InvalidFields
from stream_serve.producers.openai.endpoint import Endpoint, Traits
from stream_serve.producers.openai.request import build
from stream_serve.producers.provider import Model
from stream_serve.settings import Settings
from stream_serve.web import terms
from stream_serve.web.body import ValueBudget
from stream_serve.web.dialects import chat_request
from stream_serve.web.dialects.native import ChatBody
from stream_serve.web.question import LIMITS
from support.properties import steady

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

DEFAULT = "default"
FIXED = "say nothing bad"
MODELS = [Model(name=DEFAULT, thinks=True), Model(name="plain", thinks=False, temperature=False)]


def operator(**settings: Any) -> Settings:
    """Return the settings of an operator who has set these."""
    return Settings.load(**settings)


def body(fields: Json) -> ChatBody:
    if "messages" not in fields:
        fields = {"message": "a", **fields}
    return ChatBody.model_validate_json(json.dumps(fields), context=ValueBudget())


def sent(fields: Json, settings: Settings, traits: Traits | None = None) -> Json:
    """Return what goes to the provider for a body. Raises `InvalidFields`, `ValidationError`."""
    read = body(fields)
    read.check()
    asked = read.question()
    terms.check(asked, settings, defaults=[DEFAULT])
    prompt = terms.system_prompt(asked, settings)
    whole = asked.request(model=asked.model or DEFAULT, system_prompt=prompt)
    endpoint = Endpoint("http://x", "", DEFAULT, traits=traits or Traits())
    return build(terms.fill(whole, settings, MODELS), endpoint)


def refused(fields: Json, settings: Settings) -> tuple[str, str]:
    """Return the one field that is refused, and what is said of it."""
    with pytest.raises(InvalidFields) as caught:
        sent(fields, settings)
    ((field, said),) = caught.value.fields
    return field, said


# The system prompt


def test_the_caller_may_bring_a_system_prompt_or_want_none() -> None:
    settings = operator(system_prompt="ours")

    def prompt(**fields: Any) -> object:
        first = sent(fields, settings)["messages"][0]
        return first["content"] if first["role"] == "system" else None

    assert prompt() == "ours"
    assert prompt(systemPrompt="") == "ours"
    assert prompt(systemPrompt="theirs") == "theirs"
    assert prompt(systemPrompt=None) is None
    messages = [{"role": "user", "content": "a"}]
    assert prompt(messages=messages) is None
    assert prompt(messages=messages, systemPrompt="") is None
    assert prompt(messages=messages, systemPrompt="theirs") == "theirs"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"systemPrompt": "theirs"}, "systemPrompt"),
        ({"systemPrompt": None}, "systemPrompt"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "developer", "content": "x"}]},
            "messages[1].role",
        ),
    ],
)
def test_a_fixed_system_prompt_cannot_be_replaced(fields: Json, field: str) -> None:
    settings = operator(system_prompt=FIXED, fixed_system_prompt=True)
    wrong, said = refused(fields, settings)
    assert wrong == field
    assert "STREAM_SERVE_FIXED_SYSTEM_PROMPT" in said


def test_a_fixed_system_prompt_stands_before_every_question() -> None:
    settings = operator(system_prompt=FIXED, fixed_system_prompt=True)
    first = {"role": "system", "content": FIXED}
    messages = [{"role": "user", "content": "a"}]
    for fields in ({}, {"systemPrompt": ""}, {"messages": messages}):
        assert sent(fields, settings)["messages"] == [first, *messages]


# Models and caps


def test_only_the_listed_models_and_the_default_may_be_named() -> None:
    settings = operator(allowed_models=("a", "b"))
    for model in (None, "a", "b", DEFAULT):
        assert sent({"model": model}, settings)["model"] == (model or DEFAULT)
    field, said = refused({"model": "c"}, settings)
    assert field == "model"
    assert "a, b (STREAM_SERVE_ALLOWED_MODELS)" in said
    assert sent({"model": "c"}, operator())["model"] == "c"


def test_a_caller_who_goes_beyond_a_cap_is_told_and_who_says_nothing_gets_it() -> None:
    settings = operator(max_tokens=100, max_thinking_budget=50)
    field, said = refused({"maxTokens": 101}, settings)
    assert field == "maxTokens"
    assert "at most 100 here (STREAM_SERVE_MAX_TOKENS)" in said
    field, said = refused({"thinkingBudget": 51}, settings)
    assert field == "thinkingBudget"
    assert "at most 50 here (STREAM_SERVE_MAX_THINKING_BUDGET)" in said
    assert capped(sent({"maxTokens": 100, "thinkingBudget": 50}, settings)) == (100, 50)
    assert capped(sent({"maxTokens": 1, "thinkingBudget": 2}, settings)) == (1, 2)
    assert capped(sent({}, settings)) == (100, 50)
    assert capped(sent({"maxTokens": None, "enableThinking": True}, settings)) == (100, 50)
    assert capped(sent({"enableThinking": False}, settings)) == (100, None)
    assert capped(sent({}, operator())) == (None, None)
    other = Traits(max_tokens="max_completion_tokens", thinking=None)
    assert sent({}, settings, other)["max_completion_tokens"] == 100
    assert "thinking_budget" not in sent({}, settings, other)


def capped(out: Json) -> tuple[int | None, int | None]:
    return out.get("max_tokens"), out.get("thinking_budget")


# Defaults


def defaults(fields: Json, traits: Traits | None = None, **more: Any) -> tuple[object, object]:
    """Return the temperature that goes out, and whether to think, where the operator has set both."""
    out = sent(fields, operator(**{"temperature": 0.7, "thinking": False, **more}), traits)
    kwargs = out.get("chat_template_kwargs", {})
    return out.get("temperature"), out.get("enable_thinking", kwargs.get("enable_thinking"))


def test_what_a_caller_leaves_open_is_as_the_operator_has_set_it() -> None:
    assert defaults({}) == (0.7, False)
    assert defaults({}, thinking=True) == (0.7, True)
    assert defaults({}, temperature=0) == (0, False)
    assert defaults({}, temperature=None, thinking=None) == (None, None)
    assert defaults({"model": "unknown"}) == (0.7, False)
    assert defaults({"temperature": 0, "enableThinking": True}) == (0, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"thinkingBudget": 5},
        {"reasoningEffort": "high"},
        {"extraBody": {"reasoning": {"effort": "high"}}},
        {"extraBody": {"chat_template_kwargs": {"thinking": True}}},
    ],
)
def test_who_says_anything_of_thinking_has_said_how(fields: Json) -> None:
    assert defaults(fields) == (0.7, None)


def test_a_model_is_not_told_a_default_that_it_does_not_take() -> None:
    assert defaults({"model": "plain"}) == (None, None)
    assert defaults({"model": "plain", "temperature": 1, "enableThinking": True}) == (1, True)
    assert defaults({}, Traits(thinking=None)) == (0.7, None)
    assert defaults({}, Traits(thinking="chat_template_kwargs")) == (0.7, False)


def test_a_model_that_does_not_think_by_default_has_no_time_to_think_either() -> None:
    settings = operator(thinking=False, max_thinking_budget=50)
    assert capped(sent({}, settings)) == (None, None)
    assert capped(sent({"enableThinking": True}, settings)) == (None, 50)
    free = operator(thinking=False, max_thinking_budget=50, allowed_extra_body=("*",))
    said = {"extraBody": {"chat_template_kwargs": {"enable_thinking": True}}}
    assert capped(sent(said, free)) == (None, 50)


# Addresses


ADDRESSES = [
    "http://10.0.0.1/x.png",
    "https://example.com/x.png",
    "HTTPS://EXAMPLE.COM/x",
    "  \n\thttp://x",
    "ht\ntp://x",
    "http:\n//x",
    "http:x",
    "file:///etc/passwd",
    "file:/etc/passwd",
    "ftp://x",
    "s3://bucket/x",
    "gs://bucket/x",
    "oss://bucket/x",
    "\x00http://x",
    "\u3000\xa0http://x",
    "\ufeff\u200bfile:///etc/passwd",
    "\u00a0https://x",
    "\u2003\ufeffhttps://x",
    "\u200bhttps://x",
]
DATA = [
    "data:image/png;base64,iVBORw0KGgo=",
    "DATA:image/png;base64,iVBORw0KGgo=",
    "//uQxAAAAAANIAAAAAExBTUUzLjEwMFVVVVVV",
    "/9j/4AAQSkZJRg==",
    "iVBORw0KGgo=",
    "file-abc123",
    "Note: this is a text",
    "12:30",
    "mp3",
    "",
]


def parts(address: str) -> list[Json]:
    """Return content parts of several servers that carry an address, or the data itself."""
    return [
        {"type": "image_url", "image_url": {"url": address}},
        {"type": "image_url", "image_url": {"url": address, "detail": "high"}},
        {"type": "image_url", "image_url": address},
        {"type": "image", "image": address},
        {"type": "input_image", "image_url": address},
        {"type": "input_audio", "input_audio": {"data": address, "format": "mp3"}},
        {"type": "audio_url", "audio_url": {"url": address}},
        {"type": "video_url", "video_url": {"url": address}},
        {"type": "video", "video": [address, address]},
        {"type": "file", "file": {"file_data": address, "filename": "a: b.pdf"}},
        {"type": "file", "file": {"file_url": address}},
        {"type": "document", "source": {"type": "url", "url": address}},
        {"type": "text", "text": "look", "more": [[{"a": address}]]},
        {"image": address},
    ]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_part_that_makes_the_provider_fetch_is_refused_unless_the_operator_allows_it(
    address: str,
) -> None:
    for part in parts(address):
        messages = [
            {"role": "user", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "see"}, part]},
        ]
        field, said = refused({"messages": messages}, operator())
        assert field == "messages[1].content"
        assert "STREAM_SERVE_ALLOW_CONTENT_URLS" in said
        allowed = sent({"messages": messages}, operator(allow_content_urls=True))
        assert allowed["messages"] == messages


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": "see", "images": ["https://x.example/a"]}]},
        {"messages": [{"role": "user", "content": "see", "image": "https://x.example/a"}]},
        {"messages": [{"role": "tool", "content": "see", "audio": {"url": "file:///a"}}]},
        {
            "messages": [{"role": "user", "content": "see"}],
            "prediction": {"content": [{"type": "image_url", "image_url": {"url": "http://x"}}]},
        },
    ],
)
def test_no_address_goes_out_beside_a_messages_content(fields: Json) -> None:
    asked, _ = chat_request.question(fields, operator())
    with pytest.raises(InvalidFields, match="may not name an address"):
        terms.check(asked, operator(), defaults=[])
    terms.check(asked, operator(allow_content_urls=True), defaults=[])


def test_an_answer_that_is_sent_back_may_say_what_it_has_cited() -> None:
    cited = [{"type": "url_citation", "url_citation": {"url": "https://x.example"}}]
    messages: list[Json] = [
        {"role": "user", "content": "see"},
        {"role": "assistant", "content": "seen", "annotations": cited},
        {"role": "user", "content": "more"},
    ]
    prediction = {"type": "content", "content": "std::vector"}
    fields = {"messages": messages, "prediction": prediction}
    asked, _ = chat_request.question(fields, operator())
    terms.check(asked, operator(), defaults=[])


@pytest.mark.parametrize("budget", [99_999.0, 1.5, "99999", True, [1], {}])
def test_a_budget_that_is_no_whole_number_does_not_pass_by_the_cap(budget: object) -> None:
    fields = {"messages": [{"role": "user", "content": "a"}], "thinking_budget": budget}
    asked, _ = chat_request.question(fields, operator())
    with pytest.raises(InvalidFields, match="thinking_budget: should be a whole number"):
        terms.check(asked, operator(max_thinking_budget=10), defaults=[])
    terms.check(asked, operator(), defaults=[])


@pytest.mark.parametrize("data", DATA)
def test_a_part_that_carries_the_data_itself_goes_out_unchanged(data: str) -> None:
    for part in parts(data):
        messages = [{"role": "user", "content": [part]}]
        assert sent({"messages": messages}, operator())["messages"] == messages


def test_an_address_in_a_text_is_text() -> None:
    for content in (
        "https://example.com",
        [{"type": "text", "text": "https://example.com"}],
        [{"type": "thinking", "thinking": "https://example.com"}],
    ):
        messages = [{"role": "user", "content": content}]
        assert sent({"messages": messages}, operator())["messages"] == messages


# Fields for the provider


LIMITED: list[Json] = [
    {"max_tokens": 10},
    {"max_thinking_budget": 10},
    {"allowed_models": ("a",)},
    {"fixed_system_prompt": True},
]


def test_extra_body_is_free_until_the_operator_limits_callers() -> None:
    extra = {"extraBody": {"top_k": 5, "options": {"num_predict": 5}}}
    assert sent(extra, operator())["top_k"] == 5
    for limits in LIMITED:
        field, said = refused(extra, operator(**limits))
        assert field == "extraBody"
        assert "STREAM_SERVE_ALLOWED_EXTRA_BODY" in said
        assert sent({"extraBody": {}}, operator(**limits))["model"] == DEFAULT


def test_the_operator_may_list_the_fields_of_extra_body() -> None:
    for more in ({}, *LIMITED):
        listed = operator(allowed_extra_body=("top_k", "min_p"), **more)
        assert sent({"extraBody": {"top_k": 5}}, listed)["top_k"] == 5
        assert refused({"extraBody": {"top_k": 5, "a": 5}}, listed)[0] == "extraBody"
        nothing = operator(allowed_extra_body=("none",), **more)
        assert refused({"extraBody": {"top_k": 5}}, nothing)[0] == "extraBody"
        assert sent({"extraBody": {"a": 5}}, operator(allowed_extra_body=("*",), **more))["a"] == 5


@pytest.mark.parametrize("name", [*LIMITS, "n", "num_predict", "Num-Predict", "max_output_tokens"])
def test_a_cap_is_not_passed_by_at_any_depth(name: str) -> None:
    for inner in ({name: 5}, [{name: 5}], {"b": [[{name: 5}]]}):
        extra = {"extraBody": {"options": inner}}
        assert sent(extra, operator(allowed_extra_body=("*",)))["options"] == inner
        field, said = refused(extra, operator(allowed_extra_body=("options",), max_tokens=10))
        assert field == "extraBody"
        assert name in said


# Whatever is asked

NAMES = [
    *("model", "Model", "models", "messages", "stream", "stream_options", "n", "top_k", "options"),
    *("max_tokens", "max_completion_tokens", "maxTokens", "num_predict", "chat_template_kwargs"),
    *("thinking_budget", "budget_tokens", "enable_thinking"),
]
HARMLESS = ["top_k", "options", "chat_template_kwargs"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 1_000) | st.sampled_from(["a", "https://x"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["a", "b", "c", *NAMES]), inner, max_size=2)
    ),
    max_leaves=6,
)
PARTS = st.sampled_from([*parts("https://x"), *parts("data:,x")])
CONTENTS = st.sampled_from(["a", "https://x"]) | st.lists(PARTS, max_size=2)
ROLES = st.sampled_from(["system", "developer", "user", "assistant"])
MESSAGES = st.lists(st.fixed_dictionaries({"role": ROLES, "content": CONTENTS}), max_size=3)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "messages": MESSAGES,
        "model": st.sampled_from([None, "a", "b", DEFAULT]),
        "systemPrompt": st.sampled_from([None, "", "theirs"]),
        "maxTokens": st.none() | st.integers(1, 200),
        "thinkingBudget": st.none() | st.integers(1, 200),
        "enableThinking": st.none() | st.booleans(),
        "extraBody": st.dictionaries(st.sampled_from(HARMLESS), VALUES, min_size=1, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2),
        "stream": st.just(False),
        "n": st.just(5),
        "user": VALUES,
    },
)
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.just(100),
        "max_thinking_budget": st.just(50),
        "thinking": st.booleans(),
        "temperature": st.just(0.7),
        "allowed_models": st.just(("a",)),
        "fixed_system_prompt": st.just(value=True),
        "allowed_extra_body": st.sampled_from([("*",), ("none",), tuple(HARMLESS)]),
        "allow_content_urls": st.just(value=True),
    },
)
TRAITS = st.sampled_from(
    [
        Traits(),
        Traits(max_tokens="max_completion_tokens", thinking=None, system_role="developer"),
        Traits(thinking="chat_template_kwargs", system_role="user", stream_options=False),
    ]
)


@steady(3)
@given(BODIES, TERMS, TRAITS)
def test_whatever_is_asked_the_provider_gets_one_stream_within_the_operators_limits(
    fields: Json, limits: Json, traits: Traits
) -> None:
    settings = operator(system_prompt=FIXED, **limits)
    try:
        out = sent(fields, settings, traits)
    except (InvalidFields, ValidationError):
        return
    assert [name for name in out if name.lower() in {"model", "messages", "stream"}] == [
        *("model", "messages", "stream")
    ]
    assert out["stream"] is True
    assert out["model"] == (fields.get("model") or DEFAULT)
    assert "n" not in out
    if settings.allowed_models:
        assert out["model"] in {DEFAULT, "a"}
    if settings.max_tokens is not None:
        assert 1 <= out[traits.max_tokens] <= settings.max_tokens
    if settings.max_thinking_budget is not None and traits.thinking == "enable_thinking":
        on = out.get("enable_thinking") is not False
        assert out.get("thinking_budget", 0 if not on else 99) <= settings.max_thinking_budget
    if settings.max_tokens is not None or settings.max_thinking_budget is not None:
        said = {name for name, _ in inside({**out, "messages": None}) if plain(name) in LIMITS}
        assert said <= {traits.max_tokens, "thinking_budget"}
    if settings.fixed_system_prompt:
        assert str(out["messages"]).count(FIXED) == 1
        assert "theirs" not in str(out["messages"])
        assert sum(one["role"] in {"system", "developer"} for one in out["messages"]) <= 1
    if not settings.allow_content_urls:
        links = [name for name, value in inside(out["messages"]) if value == "https://x"]
        assert set(links) <= {"content", "text"}


def inside(value: Any, name: str = "") -> Iterator[tuple[str, object]]:
    """Return all values inside a value, each with the name of its field."""
    yield name, value
    if isinstance(value, dict):
        for key, inner in cast("Json", value).items():
            yield from inside(inner, key)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from inside(inner, name)


def plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
