"""The OpenAPI document: FastAPI's own, with the bodies, responses and SSE events added to it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from pydantic.json_schema import models_json_schema

from stream_serve.events import codec
from stream_serve.events.codec import Error
from stream_serve.events.types import (
    Chunk,
    End,
    Extra,
    Reasoning,
    Source,
    Start,
    ToolArguments,
    ToolCall,
    Usage,
)
from stream_serve.runs.view import Receipt
from stream_serve.web import problems
from stream_serve.web.conversations import (
    ConversationBody,
    ConversationDetail,
    ConversationPage,
    MessagesPage,
    RatingBody,
)
from stream_serve.web.dialects.native import ChatBody
from stream_serve.web.routes.models import ModelList
from stream_serve.web.routes.runs import RunState
from stream_serve.web.streams.stopping import StopReceipt

if TYPE_CHECKING:
    from fastapi import FastAPI

_REF: Final = "#/components/schemas/{}"
_REQUEST: Final = {"message": "你好", "systemPrompt": "你是一个专业的编程助手"}
_STREAM: Final = b"".join(
    codec.frame(number, event)
    for number, event in enumerate(
        (
            Start("0mYyV0xnHV5wQ3yX6c3t9A", "qwen-plus", created_at=1_764_194_400),
            Chunk("你"),
            Chunk("好"),
            End("stop", Usage(21, 2, 23, "provider")),
        ),
        start=1,
    )
).decode()
_HEADERS: Final = {
    "X-Run-Id": {"description": "the run's id", "schema": {"type": "string"}},
    "X-Heartbeat-Interval": {
        "description": "seconds; after a longer silence the connection is dead",
        "schema": {"type": "number"},
    },
    "X-Ignored-Fields": {
        "description": "the fields of the body that are not known here, if there are any",
        "schema": {"type": "string"},
    },
}
_EVENTS: Final = (Start, Chunk, Reasoning, ToolCall, ToolArguments, Source, Extra, End, Error)


class _Operation(Struct, frozen=True):
    """The schemas of an operation's response and body, and the statuses of its problems."""

    response: str | None
    body: str | None
    problems: tuple[int, ...]
    success: int = 200


_COMMON: Final = (401, 403, 421, 431)
_CONVERSATION: Final = "/ai/conversations/{conversation_id}"
_OPERATIONS: Final[dict[tuple[str, str], _Operation]] = {
    ("post", "/ai/chat/stream-sse"): _Operation(
        "StreamEvent", "ChatBody", (400, 404, 409, 413, 415, 422, 429, 503)
    ),
    ("get", "/ai/models"): _Operation("ModelList", None, ()),
    ("get", "/ai/runs/{run_id}"): _Operation("RunState", None, (404, 503)),
    ("get", "/ai/runs/{run_id}/events"): _Operation("StreamEvent", None, (404, 409, 422, 503)),
    ("get", "/ai/live"): _Operation("StreamEvent", None, (422, 503)),
    ("post", "/ai/runs/{run_id}/stop"): _Operation("Receipt", None, (404, 503)),
    ("get", "/ai/streams/{name}/events"): _Operation(None, None, (404, 409, 410, 422, 503)),
    ("post", "/ai/streams/{name}/stop"): _Operation("StopReceipt", None, (404, 410, 422, 503)),
    ("get", "/ai/conversations"): _Operation("ConversationPage", None, (400, 422, 503)),
    ("post", "/ai/conversations"): _Operation(
        "ConversationView", "ConversationBody", (400, 409, 413, 415, 422, 503), success=201
    ),
    ("get", _CONVERSATION): _Operation("ConversationDetail", None, (404, 503)),
    ("patch", _CONVERSATION): _Operation(
        "ConversationView", "ConversationBody", (400, 404, 409, 413, 415, 422, 503)
    ),
    ("delete", _CONVERSATION): _Operation(None, None, (404, 503), success=204),
    ("get", _CONVERSATION + "/messages"): _Operation("MessagesPage", None, (400, 404, 422, 503)),
    ("patch", _CONVERSATION + "/messages/{message_id}"): _Operation(
        "MessageView", "RatingBody", (400, 404, 413, 415, 422, 503)
    ),
    ("get", _CONVERSATION + "/export"): _Operation("ConversationDetail", None, (404, 422, 503)),
}

Json = dict[str, Any]


def describe(app: FastAPI) -> Json:
    """Return the OpenAPI document of `app`, complete with our schemas."""
    document = app.openapi()
    _, components = msgspec.json.schema_components(
        [
            *_EVENTS,
            ModelList,
            Receipt,
            StopReceipt,
            RunState,
            ConversationPage,
            ConversationDetail,
            MessagesPage,
            problems.Problem,
        ],
        ref_template=_REF.format("{name}"),
    )
    _, bodies = models_json_schema(
        [(body, "validation") for body in (ChatBody, ConversationBody, RatingBody)],
        ref_template=_REF.format("{model}"),
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(components)
    schemas.update(bodies["$defs"])
    schemas["StreamEvent"] = {
        "description": "The JSON of one event's `data:` line.",
        "oneOf": [_ref(event.__name__) for event in _EVENTS],
        "discriminator": {
            "propertyName": "type",
            "mapping": {
                str(event.__struct_config__.tag): _REF.format(event.__name__) for event in _EVENTS
            },
        },
    }
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for (method, path), operation in _OPERATIONS.items():
        _fill(document["paths"][path][method], operation)
    return document


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(name)}


def _fill(target: Json, operation: _Operation) -> None:
    """Add the body and the responses of an operation to its description."""
    if operation.body is not None:
        content: Json = {"schema": _ref(operation.body)}
        if operation.body == "ChatBody":
            content["example"] = _REQUEST
        target["requestBody"] = {"required": True, "content": {"application/json": content}}
    target["security"] = [{"key": []}, {}]
    target["responses"] = {str(operation.success): _success(operation.response)}
    if target["operationId"].startswith("follow_"):
        target["responses"]["204"] = {"description": "Finished, and read to its end"}
    for status in sorted((*_COMMON, *operation.problems)):
        target["responses"][str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {problems.MEDIA_TYPE: {"schema": _ref("Problem")}},
        }


def _success(schema: str | None) -> Json:
    if schema is None:
        return {"description": "Success"}
    if schema != "StreamEvent":
        return {
            "description": "Success",
            "content": {"application/json": {"schema": _ref(schema)}},
        }
    return {
        "description": "Success",
        "content": {"text/event-stream": {"schema": _ref(schema), "example": _STREAM}},
        "headers": _HEADERS,
    }
