"""The description of the API, with what FastAPI cannot know: our own bodies and the SSE events."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydantic.json_schema import models_json_schema

from stream_serve import sse
from stream_serve.events import Chunk, End, Error, Reasoning, Start, Usage, encode
from stream_serve.run import Receipt
from stream_serve.web import problems
from stream_serve.web.chat import ChatBody
from stream_serve.web.runs import RunState

if TYPE_CHECKING:
    from fastapi import FastAPI

_REF: Final = "#/components/schemas/{}"
_REQUEST: Final = {"message": "你好", "systemPrompt": "你是一个专业的编程助手"}
_STREAM: Final = b"".join(
    sse.frame(number, encode(event))
    for number, event in enumerate(
        (
            Start("0mYyV0xnHV5wQ3yX6c3t9A", "qwen-plus"),
            Chunk("你"),
            Chunk("好"),
            End("stop", Usage(21, 2, 23, "provider")),
        ),
        start=1,
    )
).decode()
_EVENTS: Final = (Start, Chunk, Reasoning, End, Error)
_PROBLEMS: Final = {
    "/ai/chat/stream-sse": (400, 401, 403, 413, 415, 421, 422, 503),
    "/ai/runs/{run_id}": (401, 403, 404, 421),
    "/ai/runs/{run_id}/stop": (401, 403, 404, 421),
}

Json = dict[str, Any]


def describe(app: FastAPI) -> Json:
    """Give the whole description of `app`, as FastAPI's own with ours put in."""
    document = app.openapi()
    _, components = msgspec.json.schema_components(
        [*_EVENTS, Receipt, RunState, problems.Problem], ref_template=_REF.format("{name}")
    )
    _, bodies = models_json_schema([(ChatBody, "validation")], ref_template=_REF.format("{model}"))
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
    paths = document["paths"]
    _fill(paths["/ai/chat/stream-sse"]["post"], "text/event-stream", "StreamEvent")
    paths["/ai/chat/stream-sse"]["post"]["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": _ref("ChatBody"), "example": _REQUEST}},
    }
    _fill(paths["/ai/runs/{run_id}"]["get"], "application/json", "RunState")
    _fill(paths["/ai/runs/{run_id}/stop"]["post"], "application/json", "Receipt")
    for path, statuses in _PROBLEMS.items():
        for operation in paths[path].values():
            operation["security"] = [{"key": []}, {}]
            for status in statuses:
                operation["responses"][str(status)] = {
                    "description": HTTPStatus(status).phrase,
                    "content": {problems.MEDIA_TYPE: {"schema": _ref("Problem")}},
                }
    return document


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(name)}


def _fill(operation: Json, media_type: str, schema: str) -> None:
    success: Json = {
        "description": "Success",
        "content": {media_type: {"schema": _ref(schema)}},
    }
    operation["responses"] = {"200": success}
    if schema == "StreamEvent":
        success["content"][media_type]["example"] = _STREAM
        success["headers"] = {
            "X-Run-Id": {"description": "the run's id", "schema": {"type": "string"}}
        }
