"""Finds the error in a JSON object, in the formats of many servers.

OpenAI's format is `{"error": {"message", "type", "code"}}`. Seen elsewhere: `{"object": "error",
"message", "code"}` (vLLM, SGLang), `{"detail": ...}` with a text or a list (FastAPI, RFC 9457), `{"code",
"message", "request_id"}` (DashScope), `{"code", "msg", "success": false}` (Zhipu), `{"error_code",
"error_msg"}` (Baidu), `{"base_resp": {"status_code", "status_msg"}}` (MiniMax), `{"type": "error", ...}`,
`{"errors": [...]}` (Cloudflare), `{"error": "...", "error_type": "..."}` (TGI). The result is always
OpenAI's error object, or a text.
"""

from __future__ import annotations

import re
from typing import Final, cast

Fields = dict[str, object]

_MESSAGES: Final = ("message", "msg", "error_msg", "error_message", "err_msg", "errorMessage")
_CODES: Final = ("code", "error_code", "err_code", "errorCode", "error_type")
_KINDS: Final = ("object", "type", "event", "status", "state")
_IDS: Final = ("request_id", "requestId")
_BAD: Final = re.compile(r"(.*[._])?(error|failed|failure|exception)", re.IGNORECASE)
_STATUS: Final = re.compile("[45][0-9][0-9]")
_GOOD: Final = frozenset({"", "0", "ok", "success", "succeeded", "none", "null", "true", "false"})
_MAX_DETAILS: Final = 5


def find(fields: Fields) -> object:
    """Return the error in an object, as an error object or a text; None if there is none.

    In an object with `choices` only `error` and `base_resp` can mean an error.
    """
    error = fields.get("error")
    if error and error is not True:
        return _with_neighbours(error, fields)
    base = fields.get("base_resp")
    if isinstance(base, dict):
        result = cast("Fields", base)
        if code := _bad_code(result.get("status_code")):
            return _error(_text(result.get("status_msg")), code, fields)
    if fields.get("choices"):
        return {} if error else None
    return _find_without_choices(fields, failed=bool(error))


def _find_without_choices(fields: Fields, *, failed: bool) -> object:
    """Return the error in an object without choices and without a text or object in `error`."""
    errors, detail = fields.get("errors"), fields.get("detail")
    if errors and isinstance(errors, list):
        return cast("list[object]", errors)[0] or {}
    message, code = said(fields), _code(fields)
    if detail and isinstance(detail, str | list | dict):
        return _detail(cast("object", detail), message, code, fields)
    if failed or (message and code) or _is_error(fields, code):
        inner = fields.get("data")
        if not message and isinstance(inner, dict):
            data = cast("Fields", inner)
            message, code = said(data), code or _code(data)
        return _error(message, code, fields)
    return None


def said(fields: Fields) -> str:
    """Return the message in an object, under any of its usual names; "" if there is none."""
    for name in _MESSAGES:
        value = fields.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, dict) and (inner := cast("Fields", value).get("message")):
            return _text(inner)
    return ""


def _is_error(fields: Fields, code: str) -> bool:
    """Return whether the type, status or code of an object says that it is an error."""
    marks = (fields.get(name) for name in _KINDS)
    return (
        any(isinstance(mark, str) and _BAD.fullmatch(mark) for mark in marks)
        or any(_STATUS.fullmatch(_text(fields.get(name))) for name in ("status", "status_code"))
        or _STATUS.fullmatch(code) is not None
        or (bool(code) and any(name in fields for name in _IDS))
        or (fields.get("success") is False)
    )


def _with_neighbours(error: object, fields: Fields) -> object:
    """Add the message and code next to `error` to an error that is only a text."""
    if not isinstance(error, str):
        return error
    message, code = said(fields), _code(fields)
    if not message and not code:
        return error
    return _error(message or error, code or error, fields)


def _detail(detail: object, message: str, code: str, fields: Fields) -> object:
    """Return the error in FastAPI's `detail`: a text, an error object, or a list of field errors."""
    if isinstance(detail, dict):
        inner = cast("Fields", detail)
        error = inner.get("error")
        if error and isinstance(error, str | dict):
            return _with_neighbours(cast("object", error), inner)
        return _error(said(inner) or message, _code(inner) or code, {**fields, **inner})
    if isinstance(detail, list):
        parts = [_part(part) for part in cast("list[object]", detail)[:_MAX_DETAILS]]
        return _error("; ".join(part for part in parts if part), code, fields)
    return _error(_text(detail) or message, code, fields)


def _part(part: object) -> str:
    if not isinstance(part, dict):
        return _text(part)
    fields = cast("Fields", part)
    loc = fields.get("loc")
    place = (
        ".".join(_text(one) for one in cast("list[object]", loc)) if isinstance(loc, list) else ""
    )
    words = said(fields)
    return f"{place}: {words}" if place and words else words or place


def _code(fields: Fields) -> str:
    return next((code for name in _CODES if (code := _bad_code(fields.get(name)))), "")


def _bad_code(value: object) -> str:
    """Return a code as text; "" for a code that means success, such as 0, 200 and "ok"."""
    code = _text(value)
    well = code.lower() in _GOOD or (len(code) == 3 and code.startswith("2") and code.isdigit())
    return "" if well else code


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return value if isinstance(value, str) else str(value)[:40]


def _error(message: str, code: str, fields: Fields) -> Fields:
    request_id = next((one for name in _IDS if isinstance(one := fields.get(name), str)), None)
    return {"message": message, "code": code or None, "request_id": request_id}
