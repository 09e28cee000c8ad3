"""Errors in JSON objects, in every shape that servers write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.producers.openai.failures import ErrorDetails, read
from stream_serve.producers.openai.reports import find
from support.properties import steady

STEADY = steady(3)

SHAPES: list[tuple[dict[str, object], ErrorDetails]] = [
    ({"error": {"message": "m", "code": "c"}}, ErrorDetails("m", "c")),
    ({"error": {"msg": "m", "type": "t"}}, ErrorDetails("m", "t")),
    ({"error": "m"}, ErrorDetails("m")),
    ({"error": "m", "error_type": "generation"}, ErrorDetails("m", "generation")),
    ({"error": "Bad Gateway", "message": "m", "statusCode": 502}, ErrorDetails("m", "Bad Gateway")),
    ({"error": True, "message": "m"}, ErrorDetails("m")),
    ({"error": True, "choices": [{}]}, ErrorDetails()),
    (
        {"object": "error", "message": "m", "type": "t", "code": 500},
        ErrorDetails("m", "t", status=500),
    ),
    ({"object": "error", "message": "m", "code": None}, ErrorDetails("m")),
    ({"object": "response.failed"}, ErrorDetails()),
    ({"type": "error", "message": "m"}, ErrorDetails("m")),
    ({"event": "error", "status": 400, "code": "c", "message": "m"}, ErrorDetails("m", "c")),
    ({"event": "error", "data": {"message": "m", "code": "c"}}, ErrorDetails("m", "c")),
    ({"status": 503, "title": "no"}, ErrorDetails("no")),
    ({"status": "failed", "message": "m"}, ErrorDetails("m")),
    ({"detail": "m"}, ErrorDetails("m")),
    ({"detail": "m", "status": 500, "choices": None}, ErrorDetails("m")),
    ({"detail": {"message": "m", "code": "c"}}, ErrorDetails("m", "c")),
    ({"detail": {"error": {"message": "m"}}}, ErrorDetails("m")),
    ({"detail": {"error": "m"}}, ErrorDetails("m")),
    ({"detail": ["m", "n"]}, ErrorDetails("m; n")),
    (
        {"detail": [{"loc": ["body", 0, "x"], "msg": "m", "type": "missing"}, {"loc": ["y"]}]},
        ErrorDetails("body.0.x: m; y"),
    ),
    ({"code": "c", "message": "m", "request_id": "r"}, ErrorDetails("m", "c", "r")),
    ({"code": "c", "request_id": "r"}, ErrorDetails("", "c", "r")),
    ({"code": 500, "message": {"message": "m"}}, ErrorDetails("m", "500", status=500)),
    ({"code": 500}, ErrorDetails("", "500", status=500)),
    ({"error": {"code": 400, "message": "m", "type": "t"}}, ErrorDetails("m", "t", status=400)),
    ({"error": {"code": "400", "message": "m", "type": "t"}}, ErrorDetails("m", "t", status=400)),
    (
        {"error": {"code": 503, "status": "UNAVAILABLE"}},
        ErrorDetails("", "UNAVAILABLE", status=503),
    ),
    ({"error": {"code": 400, "type": "error"}}, ErrorDetails("", "400", status=400)),
    ({"error": {"code": 1302, "type": "t"}}, ErrorDetails("", "1302")),
    ({"code": 1302, "msg": "m", "success": False}, ErrorDetails("m", "1302")),
    ({"success": False}, ErrorDetails()),
    ({"error_code": 336003, "error_msg": "m"}, ErrorDetails("m", "336003")),
    ({"choices": [], "code": "c", "message": "m"}, ErrorDetails("m", "c")),
    ({"base_resp": {"status_code": 1013, "status_msg": "m"}}, ErrorDetails("m", "1013")),
    (
        {"base_resp": {"status_code": 1027, "status_msg": "m"}, "choices": [{}]},
        ErrorDetails("m", "1027"),
    ),
    ({"errors": [{"message": "m", "code": 7}]}, ErrorDetails("m", "7")),
    ({"errors": ["m"]}, ErrorDetails("m")),
]


@pytest.mark.parametrize(("fields", "details"), SHAPES)
def test_an_error_is_found_with_its_words(fields: dict[str, object], details: ErrorDetails) -> None:
    found = find(fields)
    assert found is not None
    assert read(found) == details


HARMLESS: list[dict[str, object]] = [
    {},
    {"type": "ping"},
    {"choices": [], "usage": {"prompt_tokens": 1}},
    {"error": None, "errors": [], "detail": ""},
    {"code": 0, "message": "ok"},
    {"code": 200, "message": "success"},
    {"code": "Success", "message": "done", "request_id": "r"},
    {"code": "", "message": "", "request_id": "r"},
    {"base_resp": {"status_code": 0, "status_msg": ""}},
    {"base_resp": "odd"},
    {"message": "waiting in the queue", "type": "info"},
    {"model": "m", "message": {"role": "assistant", "content": ""}, "done": True},
    {"status": "in_progress"},
    {"status": 200},
    {"code": 7},
    {"choices": [{}], "code": 500, "message": "m"},
    {"choices": [{}], "detail": "m"},
]


@pytest.mark.parametrize("fields", HARMLESS)
def test_an_object_without_an_error_has_none(fields: dict[str, object]) -> None:
    assert find(fields) is None


@STEADY
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "message", "code", "detail", "object", "errors", "base_resp", "loc"]
                ),
                inner,
            )
        ),
        max_leaves=10,
    )
)
def test_no_object_of_any_shape_breaks_the_search(value: object) -> None:
    read(find({"detail": value}))
    read(find({"error": True, "errors": value, "message": value, "code": value, "data": value}))
    read(find({"base_resp": value, "status": value, "request_id": value}))


@pytest.mark.parametrize(
    "fields",
    [
        {"error_message": "m"},
        {"ErrMsg": "m"},
        {"err": "m"},
        {"exception": "m"},
        {"ret_code": 3, "ret_msg": "m"},
        {"retcode": -1, "message": "m"},
        {"data": {"error": {"message": "m"}}},
        {"result": {"error": "m"}},
        {"output": {"error": {"message": "m", "code": "c"}}},
    ],
)
def test_an_error_under_a_name_of_its_own_is_one(fields: dict[str, object]) -> None:
    found = find({**fields, "choices": None})
    assert found is not None
    assert read(found).message == "m"


@pytest.mark.parametrize(
    "error",
    [
        {"code": 0, "message": ""},
        {"code": "0", "message": "success"},
        {"code": 200},
        "success",
        "None",
    ],
)
def test_an_error_that_says_there_is_none_is_none(error: object) -> None:
    assert find({"error": error}) is None
    assert find({"error": error, "choices": [{"index": 0}]}) is None
