"""`GET /ai/models`: the models that callers may ask for."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from msgspec import Struct
from starlette.responses import Response

from stream_serve.errors import RequestError
from stream_serve.producers.provider import Model, Provider, offered
from stream_serve.settings import Settings
from stream_serve.web.dependencies import provider_of, settings_of
from stream_serve.web.response import json_response
from stream_serve.web.security import API, guarded

router = APIRouter(tags=["models"])


class ModelView(Struct, frozen=True, rename="camel"):
    """A model by the name that a request's `model` takes.

    `context` is in tokens; `thinks`, `sees` (images), `tools` and `temperature` say what it can do, or be
    told. Null is not known.
    """

    name: str
    default: bool
    context: int | None
    thinks: bool | None
    sees: bool | None
    tools: bool | None
    temperature: bool | None

    @classmethod
    def of(cls, model: Model) -> ModelView:
        """Return a model as callers see it."""
        return cls(*(getattr(model, name) for name in cls.__struct_fields__))


class ModelList(Struct, frozen=True, rename="camel"):
    """The models, the default one first. With `onlyListed` others are refused."""

    models: list[ModelView]
    only_listed: bool


@router.get("/ai/models", response_class=Response)
@guarded(API)
async def list_models(
    request: Request,
    provider: Annotated[Provider, Depends(provider_of)],
    settings: Annotated[Settings, Depends(settings_of)],
) -> Response:
    """List the models that a request may name, the default one first.

    They are those of the configuration, of which the operator may allow some. Where no model is
    configured, the provider is asked which it has; if it cannot say, the list is empty.
    """
    if not provider.models:
        with suppress(RequestError):
            await provider.model_for(None)
    catalog = settings.catalog
    only_listed = catalog is not None and catalog.only_listed
    models = offered(provider.models, settings.allowed_models, only_listed=only_listed)
    closed = only_listed or bool(settings.allowed_models)
    return json_response(request, ModelList([ModelView.of(one) for one in models], closed))
