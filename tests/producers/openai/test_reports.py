"""Errors in JSON objects, in every shape that servers write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_serve.producers.openai.failures import Complaint, read
from stream_serve.producers.openai.reports import find

STEADY = settings(derandomize=True, deadline=None, max_examples=300)

SHAPES: list[tuple[dict[str, object], Complaint]] = [
    ({"error": {"message": "m", "code": "c"}}, Complaint("m", "c")),
    ({"error": {"msg": "m", "type": "t"}}, Complaint("m", "t")),
    ({"error": "m"}, Complaint("m")),
    ({"error": "m", "error_type": "generation"}, Complaint("m", "generation")),
    ({"error": "Bad Gateway", "message": "m", "statusCode": 502}, Complaint("m", "Bad Gateway")),
    ({"error": True, "message": "m"}, Complaint("m")),
    ({"error": True, "choices": [{}]}, Complaint()),
    ({"object": "error", "message": "m", "type": "t", "code": 500}, Complaint("m", "500")),
    ({"object": "error", "message": "m", "code": None}, Complaint("m")),
    ({"object": "response.failed"}, Complaint()),
    ({"type": "error", "message": "m"}, Complaint("m")),
    ({"event": "error", "status": 400, "code": "c", "message": "m"}, Complaint("m", "c")),
    ({"event": "error", "data": {"message": "m", "code": "c"}}, Complaint("m", "c")),
    ({"status": 503, "title": "no"}, Complaint()),
    ({"status": "failed", "message": "m"}, Complaint("m")),
    ({"detail": "m"}, Complaint("m")),
    ({"detail": "m", "status": 500, "choices": None}, Complaint("m")),
    ({"detail": {"message": "m", "code": "c"}}, Complaint("m", "c")),
    ({"detail": {"error": {"message": "m"}}}, Complaint("m")),
    ({"detail": {"error": "m"}}, Complaint("m")),
    ({"detail": ["m", "n"]}, Complaint("m; n")),
    (
        {"detail": [{"loc": ["body", 0, "x"], "msg": "m", "type": "missing"}, {"loc": ["y"]}]},
        Complaint("body.0.x: m; y"),
    ),
    ({"code": "c", "message": "m", "request_id": "r"}, Complaint("m", "c", "r")),
    ({"code": "c", "request_id": "r"}, Complaint("", "c", "r")),
    ({"code": 500, "message": {"message": "m"}}, Complaint("m", "500")),
    ({"code": 500}, Complaint("", "500")),
    ({"code": 1302, "msg": "m", "success": False}, Complaint("m", "1302")),
    ({"success": False}, Complaint()),
    ({"error_code": 336003, "error_msg": "m"}, Complaint("m", "336003")),
    ({"choices": [], "code": "c", "message": "m"}, Complaint("m", "c")),
    ({"base_resp": {"status_code": 1013, "status_msg": "m"}}, Complaint("m", "1013")),
    (
        {"base_resp": {"status_code": 1027, "status_msg": "m"}, "choices": [{}]},
        Complaint("m", "1027"),
    ),
    ({"errors": [{"message": "m", "code": 7}]}, Complaint("m", "7")),
    ({"errors": ["m"]}, Complaint("m")),
]


@pytest.mark.parametrize(("fields", "complaint"), SHAPES)
def test_an_error_is_found_with_its_words(fields: dict[str, object], complaint: Complaint) -> None:
    found = find(fields)
    assert found is not None
    assert read(found) == complaint


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
