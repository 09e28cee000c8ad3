"""The doors for clients of OpenAI's Chat Completions, its older Completions, and its list of models.

Both completions are asked with or without `stream`, which only the body says. A client that closes its
connection stops the run, also one that waits for an answer in one piece. The OpenAPI document leaves
these out: they are described by OpenAI's own.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from stream_serve.errors import RequestError, UnknownModel
from stream_serve.events.types import End
from stream_serve.producers.provider import Model, Provider, offered
from stream_serve.settings import Settings
from stream_serve.web import whole
from stream_serve.web.asking import Asking, asking_of, fingerprint_of, run_id_of
from stream_serve.web.body import read_object
from stream_serve.web.dependencies import provider_of, settings_of
from stream_serve.web.dialects import chat_request, failures
from stream_serve.web.dialects.base import Translator
from stream_serve.web.dialects.chat import ChatAnswer, ChatCompletions
from stream_serve.web.dialects.completions import Completions, TextAnswer
from stream_serve.web.fields import disconnect_of
from stream_serve.web.question import Question
from stream_serve.web.response import ignored_fields
from stream_serve.web.security import ASK, cors_headers, guarded
from stream_serve.web.stream import EventStream

router = APIRouter(include_in_schema=False)

Ask = Annotated[Asking, Depends(asking_of)]


@router.post("/v1/chat/completions", response_class=Response)
@guarded(ASK)
async def create_chat_completion(request: Request, asking: Ask) -> Response:
    """Answer messages as OpenAI's Chat Completions do, with `stream` as chunks."""
    fields = await read_object(request, max_bytes=asking.settings.max_body_bytes)
    asked = chat_request.question(fields, asking.settings)
    dialect = ChatCompletions(include_usage=chat_request.includes_usage(fields))
    return await _answer(request, asking, fields, asked, dialect, ChatAnswer)


@router.post("/v1/completions", response_class=Response)
@guarded(ASK)
async def create_completion(request: Request, asking: Ask) -> Response:
    """Answer a prompt as OpenAI's older Completions do; it goes to the model as a user's message."""
    fields = await read_object(request, max_bytes=asking.settings.max_body_bytes)
    asked = chat_request.prompted(fields, asking.settings)
    dialect = Completions(include_usage=chat_request.includes_usage(fields))
    return await _answer(request, asking, fields, asked, dialect, TextAnswer)


async def _answer(
    request: Request,
    asking: Asking,
    fields: dict[str, Any],
    asked: tuple[Question, list[str]],
    dialect: ChatCompletions | Completions,
    answer: type[ChatAnswer | TextAnswer],
) -> Response:
    """Start the run, and return its stream, or wait for the whole of it."""
    question, ignored = asked
    streams = chat_request.is_stream(fields)
    subscription = await asking.start(
        question,
        run_id=run_id_of(request),
        fingerprint=fingerprint_of(fields),
        on_disconnect=disconnect_of(
            fields.get("on_disconnect"), asking.on_disconnect(dialect.name), name="on_disconnect"
        ),
    )
    run_id = subscription.run_id
    headers = {
        **cors_headers(request.scope),
        **ignored_fields(ignored),
        "X-Run-Id": run_id,
        "X-Request-Id": run_id,
    }
    if streams:
        return EventStream(
            subscription,
            heartbeat=asking.settings.heartbeat_interval,
            headers={**headers, **dialect.headers},
            translator=Translator(dialect.translation(run_id)),
            refusal=failures.response_of,
        )
    found = answer(run_id)
    end = await whole.gather(subscription, request, found.add)
    if not isinstance(end, End):
        return failures.response_of(end, headers)
    body = msgspec.json.encode(found.whole(end))
    headers["Cache-Control"] = "no-store"
    return Response(body, media_type="application/json", headers=headers)


@router.get("/v1/models", response_class=Response)
@guarded(ASK)
async def list_models(
    request: Request,
    provider: Annotated[Provider, Depends(provider_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """List the models that callers may use, as OpenAI's API does."""
    models = [_shown(one) for one in await _offered(provider, settings)]
    return _json(request, {"object": "list", "data": models})


@router.get("/v1/models/{model:path}", response_class=Response)
@guarded(ASK)
async def show_model(
    request: Request,
    model: str,
    provider: Annotated[Provider, Depends(provider_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """Show one of the models that callers may use."""
    for one in await _offered(provider, settings):
        if one.name == model:
            return _json(request, _shown(one))
    raise UnknownModel(f"there is no model {model[:100]!r} here; GET /v1/models lists them")


async def _offered(provider: Provider, settings: Settings) -> list[Model]:
    if not provider.models:
        with suppress(RequestError):
            await provider.model_for(None)
    catalog = settings.catalog
    only_listed = catalog is not None and catalog.only_listed
    return offered(provider.models, settings.allowed_models, only_listed=only_listed)


def _shown(model: Model) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": 0, "owned_by": "stream-serve"}


def _json(request: Request, value: dict[str, Any]) -> Response:
    headers = {"Cache-Control": "no-store", **cors_headers(request.scope)}
    return Response(msgspec.json.encode(value), media_type="application/json", headers=headers)
