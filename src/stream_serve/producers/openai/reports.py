"""Finds the error in what a server sends, in the formats of many servers.

OpenAI's format is `{"error": {"message", "type", "code"}}`. Seen elsewhere: `{"object": "error",
"message", "code"}` (vLLM, SGLang), `{"error": "..."}` (Ollama), with `error_type` (TGI), `{"detail"}`
with a text or a list (FastAPI), `{"title", "detail", "errors"}` (RFC 9457), `{"message": {"detail"}}`
(Mistral), `{"code", "message", "request_id"}` (DashScope), `{"code", "msg", "success": false}` (Zhipu),
`{"error_code", "error_msg"}` (Baidu), `{"Response": {"Error": {"Code", "Message"}}}` (Tencent),
`{"base_resp": {"status_code", "status_msg"}}` (MiniMax), `{"type": "error", "error": {...}}` (Anthropic),
`{"errors": [...]}` (Cloudflare), `{"fault": {"faultstring"}}` (Apigee), `innererror` (Azure),
`metadata.raw` (OpenRouter), an object in a list (Gemini), a text alone.

How it works: `find` decides whether an object in a stream is an error at all. `read` takes the words out
of anything that is one: it looks for the usual names, in any case and spelling, first in an object itself
and then in the objects in it. A text that is JSON is read as such.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Final, cast

from msgspec import Struct

Fields = dict[str, object]

_SAID: Final = ("message", "msg", "errormsg", "errormessage", "errmsg", "retmsg")
_MESSAGES: Final = (
    *_SAID,
    *("errordescription", "statusmsg", "statusmessage", "faultstring", "detail", "errors"),
    *("details", "description", "reason", "title"),
)
_CODES: Final = ("code", "errorcode", "errcode", "errortype", "retcode", "returncode")
_KINDS: Final = ("object", "type", "event", "status", "state")
_IDS: Final = ("requestid", "xrequestid")
_ERRORS: Final = ("error", "err", "fault", "exception")
_ALONE: Final = ("errormsg", "errormessage", "errmsg", "err", "exception")
_AROUND: Final = ("response", "data", "result", "output", "xgroq")
_INSIDE: Final = (*_ERRORS, "errors", "detail", "message", "baseresp", *_AROUND, "header")
_NAMES: Final = tuple(dict.fromkeys((*_MESSAGES, *_INSIDE)))
_SEVERAL: Final = ("errors", "fault")
_FLAGS: Final = ("success", "ok", "iserror")
_TELLING: Final = frozenset(
    (*_KINDS, *_SAID, *_CODES, *_ALONE, *_AROUND, *_SEVERAL, *_FLAGS, "statuscode", "detail")
)
_STATUSES: Final = ("status", "statuscode")
_CAUSES: Final = ("innererror", "metadata", "cause")
_BAD: Final = re.compile(r"(.*[._])?(error|failed|fail|failure|fatal|exception)", re.IGNORECASE)
_STATUS: Final = re.compile("[45][0-9][0-9]")
_STATUS_NAME: Final = re.compile("[A-Z][A-Z_]{3,39}")
_GOOD: Final = re.compile("|0|2[0-9][0-9]|ok|success|succeeded|none|null|true|false", re.IGNORECASE)
_NO_TYPE: Final = re.compile(r"error|about:.*|https?:.*|urn:.*", re.IGNORECASE)
_NO_NAME: Final = re.compile(r"[^a-z]")
_MAX_DETAILS: Final = 5
_MAX_NAME: Final = 40
_MAX_DEPTH: Final = 5


class Report(Struct, frozen=True):
    """What a server says of an error: its message, its code and the id of the request, "" for none.

    Where a server gives an HTTP status as the code and says beside it what has failed, as in llama.cpp's
    `{"code": 400, "type": "exceed_context_size_error"}`, that is the code, and `status` is the number.
    """

    message: str = ""
    code: str = ""
    request_id: str = ""
    status: str = ""


def find(fields: Fields) -> object:
    """Return the error in an object of a stream, as an error object or a text; None if there is none.

    In an object with `choices` only `error` and `base_resp` can mean an error.
    """
    names = _named(fields)
    error, base, request_id = names.get("error"), names.get("baseresp"), _request_id(names, 0)
    if isinstance(base, dict) and (code := _good_code(cast("Fields", base).get("status_code"))):
        return _error(Report(_words(cast("object", base), 0), code, request_id))
    if not error and _has_error(names.get("xgroq")):
        error = cast("Fields", names["xgroq"])["error"]
    if error and _is_harmless(error):
        error = None
    if error and error is not True and not isinstance(error, str):
        return error
    if error:
        bare = bool(fields.get("choices"))
        said = read({"error": error, "request_id": request_id} if bare else fields)
        return error if said.message == error and not said.code else _error(said)
    if not fields.get("choices") and _is_error(names):
        return _error(read(fields))
    return None


def _is_harmless(error: object) -> bool:
    """Return whether an error says that there is none, as servers do that send one in each chunk."""
    if isinstance(error, str):
        return _GOOD.fullmatch(error.strip()) is not None
    if not isinstance(error, dict):
        return False
    names = _named(cast("Fields", error))
    coded = any(name in names for name in _CODES) and not _own_code(names)
    return coded and _GOOD.fullmatch(_message(names, 0)) is not None


def _error(said: Report) -> Fields:
    return {
        "message": said.message,
        "code": said.status or said.code or None,
        "type": said.code if said.status else None,
        "request_id": said.request_id,
    }


def read(value: object) -> Report:
    """Return the words of an error, whatever its shape."""
    if isinstance(value, Report):
        return value
    if isinstance(value, dict):
        names = _named(cast("Fields", value))
        message, code = _message(names, 0), _code(names, 0)
        error = names.get("error")
        if not code and isinstance(error, str) and error != message and _is_name(error):
            code = error
        status = code if _STATUS.fullmatch(code) else ""
        return Report(message, (status and _kind(names, 0)) or code, _request_id(names, 0), status)
    if isinstance(value, list) and (items := cast("list[object]", value)):
        first = items[0]
        if isinstance(first, dict):
            return read(cast("object", first))
        return Report(_words(items, 0))
    if isinstance(value, str):
        inner = _parsed(value)
        return Report(value.strip()) if inner is None else read(inner)
    return Report()


def _is_error(names: Fields) -> bool:
    """Return whether an object without `choices` and `error` is an error all the same."""
    if _TELLING.isdisjoint(names):
        return False
    code = _own_code(names)
    marks = (names.get(name) for name in _KINDS)
    said = any(_words(names[name], 0) for name in _SAID if name in names)
    return (
        any(isinstance(mark, str) and _BAD.fullmatch(mark) for mark in marks)
        or any(_STATUS.fullmatch(_text(names[name])) for name in _STATUSES if name in names)
        or _STATUS.fullmatch(code) is not None
        or (bool(code) and (said or any(name in names for name in _IDS)))
        or any(names.get(name) is False for name in ("success", "ok"))
        or names.get("iserror") is True
        or isinstance(names.get("detail") or None, str | list | dict)
        or any(isinstance(names.get(name) or None, str | list | dict) for name in _SEVERAL)
        or any(_words(names[name], 0) for name in _ALONE if name in names)
        or any(_has_error(names[name]) for name in _AROUND if name in names)
    )


def _has_error(value: object) -> bool:
    """Return whether an object has an error in it."""
    error = _named(cast("Fields", value)).get("error") if isinstance(value, dict) else None
    return bool(error) and not _is_harmless(error)


def _message(names: Fields, depth: int) -> str:
    """Return the message of an object, with that of its cause if this says something else."""
    said = ""
    objects = [name for name in _ERRORS if isinstance(names.get(name), dict | list)]
    for name in dict.fromkeys((*objects, *_NAMES)):
        if said := _words(names.get(name), depth + 1):
            break
    for name in _CAUSES:
        cause = names.get(name)
        inner = _cause(cast("Fields", cause), depth) if isinstance(cause, dict) else ""
        if inner and inner not in said:
            said = f"{said} ({inner})" if said else inner
    return said


def _cause(cause: Fields, depth: int) -> str:
    names = _named(cause)
    return _words(names.get("raw"), depth + 1) or _message(names, depth + 1) or _code(names, depth)


def _words(value: object, depth: int) -> str:
    """Return the message in a value: a text, an object, or a list of some of them."""
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(value, str):
        inner = _parsed(value)
        return (_words(inner, depth + 1) if inner is not None else "") or value.strip()
    if isinstance(value, dict):
        fields = cast("Fields", value)
        names = _named(fields)
        return _at(names.get("loc"), _message(names, depth)) or _by_field(fields, depth)
    if isinstance(value, list):
        parts = [_words(one, depth + 1) for one in cast("list[object]", value)[:_MAX_DETAILS]]
        return "; ".join(part for part in parts if part)
    return ""


def _at(loc: object, words: str) -> str:
    """Return the message of one of FastAPI's field errors, after the place of the field."""
    if not isinstance(loc, list):
        return words
    place = ".".join(_text(one) for one in cast("list[object]", loc)[:_MAX_DETAILS])
    return f"{place}: {words}" if place and words else words or place


def _by_field(fields: Fields, depth: int) -> str:
    """Return the messages of an object that has a list of them for each field of the request."""
    lists = [name for name, value in fields.items() if isinstance(value, list) and value]
    parts = [(name, _words(fields[name], depth + 1)) for name in lists[:_MAX_DETAILS]]
    return "; ".join(f"{name}: {words}" for name, words in parts if words)


def _code(names: Fields, depth: int) -> str:
    """Return the code of an object or of one in it; the type of the error where it has no code."""
    if code := _own_code(names):
        return code
    for inner in _inside(names, depth):
        if code := _code(inner, depth + 1):
            return code
    return _own_kind(names)


def _kind(names: Fields, depth: int) -> str:
    """Return the type of the error in an object or in one in it, or Google's name for its status."""
    kinds = (_kind(inner, depth + 1) for inner in _inside(names, depth))
    status = _text(names.get("status"))
    named = status if _STATUS_NAME.fullmatch(status) else ""
    return _own_kind(names) or named or next((kind for kind in kinds if kind), "")


def _own_kind(names: Fields) -> str:
    kind = _good_code(names.get("type"))
    is_event = "event" in names or "loc" in names
    return "" if is_event or not _is_name(kind) or _NO_TYPE.fullmatch(kind) else kind


def _own_code(names: Fields) -> str:
    return next((code for name in _CODES if (code := _good_code(names.get(name)))), "")


def _request_id(names: Fields, depth: int) -> str:
    for name in _IDS:
        value = names.get(name)
        if isinstance(value, str) and value:
            return value
    found = (_request_id(inner, depth + 1) for inner in _inside(names, depth))
    return next((one for one in found if one), "")


def _inside(names: Fields, depth: int) -> list[Fields]:
    """Return the objects in an object in which the error may be."""
    if depth >= _MAX_DEPTH:
        return []
    objects: list[Fields] = []
    for name in _INSIDE:
        value = names.get(name)
        if isinstance(value, str):
            value = _parsed(value)
        if isinstance(value, list) and value:
            value = cast("list[object]", value)[0]
        if isinstance(value, dict):
            inner = _named(cast("Fields", value))
            objects.append(
                {"code": inner.get("statuscode"), **inner} if name == "baseresp" else inner
            )
    return objects


def _named(fields: Fields) -> Fields:
    """Return an object with its names in small letters only: `error_msg` and `ErrorMsg` are one."""
    return {_plain(name): value for name, value in reversed(fields.items())}


@lru_cache(maxsize=512)
def _plain(name: str) -> str:
    return _NO_NAME.sub("", name.lower()) if len(name) <= _MAX_NAME else ""


def _parsed(text: str) -> object:
    """Return the JSON object or list that a text is; None for any other text."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def _is_name(text: str) -> bool:
    """Return whether a text can be a code and is no sentence."""
    return len(text) <= 40 and text.count(" ") <= 3 and not text.isdigit()


def _good_code(value: object) -> str:
    """Return a code as text; "" for a code that means success or nothing, such as 0, 200 and "ok"."""
    if value is None:
        return ""
    code = _text(value).strip()
    return "" if _GOOD.fullmatch(code) else code


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return value if isinstance(value, str) else str(value)[:40]
