"""The tables of the API page: error codes, request fields and endpoints are those of the code."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from stream_serve.app import create_app
from stream_serve.errors import (
    HistoryError,
    LogUnavailable,
    RequestError,
    RunFailure,
    StreamServeError,
)
from stream_serve.settings import Settings
from stream_serve.web import problems, refusals
from stream_serve.web.openapi import describe
from support.pages import pair, read, rows

if TYPE_CHECKING:
    from starlette.responses import Response

pytestmark = pytest.mark.parametrize("page", pair("api"))

_Kind = TypeVar("_Kind", bound=type[StreamServeError])


def leaves(kind: _Kind) -> list[_Kind]:
    """Return the classes below `kind` that have none below them."""
    below = kind.__subclasses__()
    return [leaf for one in below for leaf in leaves(one)] if below else [kind]


def code(response: Response) -> tuple[str, int]:
    body = json.loads(bytes(response.body))
    assert response.headers["content-type"] == problems.MEDIA_TYPE
    assert body["status"] == response.status_code
    return body["code"], response.status_code


async def before_the_stream() -> set[tuple[str, int]]:
    """Return the code and status of everything that can be answered instead of a stream."""
    request = Request({"type": "http", "state": {}})
    kinds = [*leaves(RequestError), HistoryError, *leaves(HistoryError), LogUnavailable]
    found = {code(await refusals.on_error(request, kind("no"))) for kind in kinds}
    known: dict[type[StreamServeError], tuple[int, str]] = vars(problems)["_KINDS"]
    assert set(known) == set(kinds), "each of them has a status, and nothing else has"
    statuses: dict[int, str] = vars(problems)["_DETAILS"]
    for status in statuses:
        found.add(code(await refusals.on_error(request, HTTPException(status))))
    found.add(code(await refusals.on_defect(request, ValueError("no"))))
    return found


def schema() -> dict[str, Any]:
    return describe(create_app(Settings.load()))


async def test_the_table_of_problems_has_every_code_with_its_status(page: str) -> None:
    shown = [row for row in rows(page, columns=4) if row[1].isdigit()]
    codes = [(row[0].strip("`"), int(row[1])) for row in shown]
    assert len(codes) == len(set(codes))
    assert set(codes) == await before_the_stream()
    assert all(row[3] for row in shown), "it says for each what to do"


def test_the_table_of_the_error_event_has_every_code_and_whether_to_retry(page: str) -> None:
    shown = [row for row in rows(page, columns=4) if not row[1].isdigit()]
    codes = [(row[0].strip("`"), row[1].startswith(("yes", "是"))) for row in shown]
    assert len(codes) == len(set(codes))
    assert set(codes) == {(kind.code, kind.retryable) for kind in leaves(RunFailure)}
    assert all(row[3] for row in shown), "it says for each what to do"


def test_the_table_of_fields_has_every_field_of_a_request(page: str) -> None:
    (body,) = (one for name, one in schema()["components"]["schemas"].items() if name == "ChatBody")
    text = read(page).replace("请求字段", "Request fields").replace("## 事件", "## Events")
    part = text.partition("## Request fields")[2].partition("## Events")[0]
    assert re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) == list(body["properties"])


def test_the_table_of_endpoints_has_every_path(page: str) -> None:
    paths = {re.sub(r"\{\w+\}", "{}", path) for path in schema()["paths"]}
    shown = {re.sub(r"\{\w+\}", "{}", path) for path in re.findall(r"(/[\w/{}-]+)`", read(page))}
    assert paths <= shown
