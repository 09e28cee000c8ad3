"""Reads the words out of the body of a refusal, whatever it is: JSON, an event, a page, a text.

Markup is never repeated: of a page only its title is, which mostly says what a gateway met ("502 Bad
Gateway"), and of XML its message and code.
"""

from __future__ import annotations

import html
import json
import re
from contextlib import suppress
from typing import Final, cast

from stream_serve.producers.openai import reports
from stream_serve.producers.openai.reports import Report

_NOTHING: Final[object] = ()
_MAX_TITLE: Final = 200
_PAGE: Final = re.compile(r"<(?:!doctype|html|head|body)\b", re.IGNORECASE)
_TITLE: Final = re.compile(r"<title\b[^<>]{0,200}>([^<]*)<", re.IGNORECASE)
_XML_MESSAGE: Final = re.compile(r"<(?:\w{1,20}:)?message>([^<]*)<", re.IGNORECASE)
_XML_CODE: Final = re.compile(r"<(?:\w{1,20}:)?code>([^<]*)<", re.IGNORECASE)
_DATA: Final = re.compile(r"^data:[ ]?([{\[].*)$", re.MULTILINE)
_CUT_MESSAGE: Final = re.compile(r'"(?:message|msg|detail|error)"\s*:\s*"((?:[^"\\]|\\.)*)')
_LETTER: Final = re.compile(r"[^\W\d_]")
_MAX_ODD: Final = 0.05


def read(body: bytes) -> Report | None:
    """Return what a body says of an error; None if it says nothing that can be understood."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    parsed = _parsed(text)
    if parsed is not None:
        said = reports.read(parsed)
    else:
        said = _read_markup(text) if text.startswith("<") else _read_text(text)
    return said if said.message or said.code or said.request_id else None


def find(body: bytes) -> Report | None:
    """Return the error in a body that came as if all was well; None if it is no error object."""
    parsed = _parsed(body.decode("utf-8", "replace").removeprefix("\ufeff").strip())
    if isinstance(parsed, list) and len(cast("list[object]", parsed)) == 1:
        parsed = cast("list[object]", parsed)[0]
    error = reports.find(cast("reports.Fields", parsed)) if isinstance(parsed, dict) else None
    return None if error is None else reports.read(error)


def of_event(data: bytes) -> str | Report:
    """Return what the data of an event says that is named as an error, and may have been cut."""
    said = read(data)
    if said is not None:
        return said
    text = data.decode("utf-8", "replace")
    return "" if text.lstrip().startswith(("{", "[", "<")) else text


def without_page(text: str) -> str:
    """Return words with the title in place of a page: gateways put one into a message of theirs."""
    page = _PAGE.search(text)
    return text if page is None else f"{text[: page.start()]}{_inner(_TITLE, text)}"


def _parsed(text: str) -> object:
    """Return the JSON in a text, or else in its first event or line; None if there is none."""
    event = _DATA.search(text)
    for part in (text, event.group(1) if event else "", text.partition("\n")[0]):
        with suppress(ValueError, RecursionError):
            value = cast("object", json.loads(part))
            if part is text or isinstance(value, dict | list):
                return _NOTHING if value is None else cast("object", value)
    return None


def _read_markup(text: str) -> Report:
    message = _inner(_TITLE, text) or _inner(_XML_MESSAGE, text)
    return Report(message, _inner(_XML_CODE, text))


def _inner(element: re.Pattern[str], text: str) -> str:
    found = element.search(text)
    return html.unescape(found.group(1)).strip()[:_MAX_TITLE] if found else ""


def _read_text(text: str) -> Report:
    """Return a text as the message, of JSON that was cut the message in it, of other bytes nothing."""
    if text.startswith(("{", "[", '"')):
        found = _CUT_MESSAGE.search(text)
        return Report(_unescaped(found.group(1)) if found else "")
    odd = text.count("\ufffd") + text.count("\0")
    readable = _LETTER.search(text) and odd <= _MAX_ODD * len(text)
    return Report(without_page(text) if readable else "")


def _unescaped(text: str) -> str:
    try:
        return cast("str", json.loads(f'"{text}"'))
    except ValueError:
        return text
