"""What comes beside the answer's parts: sources, logprobs, and fields that are not known here."""

from __future__ import annotations

from typing import Any

import pytest

from stream_serve.events.codec import encode
from stream_serve.events.types import Chunk, Extra, Reasoning, Source
from stream_serve.producers.openai.extras import MAX_SOURCES, MAX_TITLE, MAX_URL
from support.chunks import choice, read, said

URL = "https://a.example/page"


def cited(url: object, title: object = None) -> dict[str, object]:
    return {"type": "url_citation", "url_citation": {"url": url, "title": title}}


def with_choice(content: str, **fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": content}, **fields}]}


@pytest.mark.parametrize("before", [0, 3, 40])
def test_logprobs_come_right_after_their_text(before: int) -> None:
    logprobs: dict[str, Any] = {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": []}]}
    texts = [choice({"content": "x"})] * before
    deltas = said(*texts, with_choice("a", logprobs=logprobs), with_choice("b", logprobs=None))
    beside = Extra("choice", {"logprobs": logprobs})
    assert deltas[before:] == [Chunk("a"), beside, Chunk("b")]


@pytest.mark.parametrize("before", [0, 3, 40])
def test_unknown_fields_of_a_delta_and_of_a_choice_come_as_they_are(before: int) -> None:
    odd: dict[str, Any] = {
        "odd": {"a": [1, None, "x"]},
        "nothing": None,
        "empty": "",
        "none": [],
        "no": {},
    }
    texts = [choice({"content": "x"})] * before
    chunk = with_choice("", native_finish_reason="STOP", stop_reason=7, nothing=None)
    deltas = said(*texts, choice({"content": "a", **odd}), chunk, choice({"content": "b"}))
    beside = {"native_finish_reason": "STOP", "stop_reason": 7}
    assert deltas[before:] == [
        *(Chunk("a"), Extra("delta", {"odd": odd["odd"]})),
        *(Extra("choice", beside), Chunk("b")),
    ]


def test_what_has_a_meaning_or_is_padding_is_no_extra() -> None:
    usual = {"role": "assistant", "name": "x", "content": "a", "reasoning": "t", "obfuscation": "x"}
    chunk = {
        **choice(usual),
        "id": "x",
        "object": "y",
        "obfuscation": "xxx",
        "usage": {"prompt_tokens": 1},
        "x_groq": {"id": 1},
        "timings": {"prompt_n": 1},
        "odd": 1,
    }
    assert said(chunk, chunk, chunk) == [Reasoning("t"), Chunk("a")] * 3


def test_the_marks_of_a_chunk_come_when_they_change() -> None:
    first = {**choice({"content": "a"}), "system_fingerprint": "fp_1", "service_tier": "default"}
    later = {**choice({}, "stop"), "system_fingerprint": "fp_2", "service_tier": "default"}
    none = {**choice({}, "stop"), "system_fingerprint": None}
    deltas = said(first, first, *[{**choice({"content": "b"}), "provider": None}] * 20, later, none)
    assert [one for one in deltas if not isinstance(one, Chunk)] == [
        Extra("chunk", {"system_fingerprint": "fp_1", "service_tier": "default"}),
        Extra("chunk", {"system_fingerprint": "fp_2"}),
    ]


def test_what_comes_before_the_first_part_waits_for_it() -> None:
    role = {**choice({"role": "assistant", "content": ""}), "provider": "p"}
    assert said(role, role) == []
    beside = Extra("chunk", {"provider": "p"})
    assert said(role, role, choice({}), choice({"content": "a"})) == [Chunk("a"), beside]
    reading, deltas = read(role, choice({}, "stop"))
    assert (deltas, reading.rest()) == ([], [beside])


def test_annotations_come_as_they_are_and_each_page_in_them_once_as_a_source() -> None:
    first = [cited(URL, "A\npage"), {"type": "file_citation", "file": 1}]
    second = [cited(URL), cited("https://b.example", "x" * (MAX_TITLE + 1))]
    deltas = said(
        choice({"content": "a", "annotations": first}),
        choice({"content": "b", "annotations": second}),
        choice({"content": "", "annotations": []}),
    )
    assert deltas == [
        *(Chunk("a"), Extra("delta", {"annotations": first}), Source(URL, "A page")),
        *(Chunk("b"), Extra("delta", {"annotations": second})),
        Source("https://b.example", "x" * MAX_TITLE + "…"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"citations": [URL, "https://b.example"]},
        {
            "search_results": [
                {"url": URL, "title": None, "date": "x"},
                {"url": "https://b.example"},
            ]
        },
        {"search_info": {"search_results": [{"url": URL}, {"url": "https://b.example"}]}},
        {"citations": [URL], "search_results": [{"url": URL}, {"url": "https://b.example"}]},
    ],
)
def test_the_pages_of_a_chunk_are_sources_once_however_often_it_names_them(
    fields: dict[str, Any],
) -> None:
    chunk = {**choice({"content": "a"}), **fields}
    deltas = said(*[chunk] * 4, {**choice({}, "stop"), **fields}, {"choices": [], **fields})
    sources = [one for one in deltas if isinstance(one, Source)]
    assert {one.url for one in sources} == {URL, "https://b.example"}
    assert len(sources) == 2
    assert [one for one in deltas if isinstance(one, Extra)] == [Extra("chunk", fields)]
    assert deltas[0] == Chunk("a")


def test_a_source_has_the_title_that_only_one_of_two_fields_knows() -> None:
    fields = {"citations": [URL], "search_results": [{"url": URL, "title": "A"}]}
    assert Source(URL, "A") in said({**choice({"content": "a"}), **fields})


@pytest.mark.parametrize(
    "value",
    [
        "x", 7, [7, None, {}, []], [cited(None)], [cited("javascript:alert(1)")], [cited("/a")],
        [cited("https://" + "a" * MAX_URL)], [{"type": "url_citation", "url_citation": "x"}],
    ],
)  # fmt: skip
def test_what_is_no_page_is_no_source(value: object) -> None:
    deltas = said({**choice({"content": "a", "annotations": value}), "citations": value})
    assert [one for one in deltas if isinstance(one, Source)] == []
    assert deltas[0] == Chunk("a")


def test_sources_are_bounded() -> None:
    urls = [f"https://a.example/{number}" for number in range(MAX_SOURCES + 5)]
    reading, deltas = read({**choice({"content": "a"}), "citations": urls})
    assert len([one for one in deltas if isinstance(one, Source)]) == MAX_SOURCES
    assert reading.unread.count == 5


DEEP = b"[" * 200 + b"]" * 200


@pytest.mark.parametrize(
    "value",
    [b"NaN", b"[1e999]", b"-Infinity", b'{"a":"\\ud83d"}', b'{"\\ude00":1}', b"9" * 5000, DEEP],
)
def test_a_value_that_no_event_can_carry_is_left_out_and_counted(value: bytes) -> None:
    chunk = (
        b'{"choices":[{"index":0,"logprobs":%s,"delta":{"content":"a","odd":%s,"fine":1}}],'
        b'"provider":%s}' % (value, value, value)
    )
    reading, deltas = read(chunk, choice({"content": "b"}))
    assert deltas == [Chunk("a"), Extra("delta", {"fine": 1}), Chunk("b")]
    assert (reading.unread.count, reading.unread.lost) == (3, None)
    assert all(encode(one) for one in deltas)


@pytest.mark.parametrize("beside", [b'"bad":NaN', b'"bad":-Infinity', b'"bad":"\\ud83d"'])
@pytest.mark.parametrize("number", [b"-0.5", b"1e2", b"-0", b"0.1", b"12345678901234567890.5"])
def test_numbers_beside_a_value_that_no_event_can_carry_are_told(
    beside: bytes, number: bytes
) -> None:
    call = b'{"index":0,"id":"c","function":{"name":"f","arguments":"{}"},"odd":[%b]}' % number
    delta = b'{"content":"a","odd":{"n":[%b]},"tool_calls":[%b],%b}' % (number, call, beside)
    choice = b'{"index":0,"delta":%b,"logprobs":{"content":[{"logprob":%b}]}}' % (delta, number)
    _, deltas = read(b'{"choices":[%b],"citations":[%b]}' % (choice, number))
    told = [one for one in deltas if isinstance(one, Extra)]
    assert {one.place for one in told} == {"delta", "choice", "chunk"}
    assert all(repr(float(number)) in repr(one.fields) for one in told)
    for one in deltas:
        encode(one)


def test_a_message_brings_the_fields_that_no_delta_brought() -> None:
    notes = [cited(URL)]
    message = {"content": "ab", "annotations": notes, "audio": {"id": "x"}}
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert said(whole) == [
        *(Chunk("ab"), Extra("delta", {"annotations": notes, "audio": {"id": "x"}})),
        Source(URL),
    ]
    after = said(choice({"content": "ab", "annotations": notes}), whole)
    assert after[-1] == Extra("delta", {"audio": {"id": "x"}})
    assert len(after) == 4
