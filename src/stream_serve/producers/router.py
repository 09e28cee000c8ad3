"""`Router`: one provider made of several; the name of a model says which of them answers.

How it works: a request names a model as callers know it. The router finds the provider that answers, and
the name that it knows the model by. The events name the model as the caller did. A model that is not in
the table goes to the provider `fallback`, unless only the listed ones may be asked for.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from stream_serve.errors import RequestError, UnknownModel, UpstreamError
from stream_serve.producers.delegating import DelegatingProducer
from stream_serve.producers.provider import named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_serve.producers.base import Emit, Finish, Patience, Producer
    from stream_serve.producers.provider import ChatRequest, Model, Provider

_KEYS: Final = {
    "Endpoint.url": "url",
    "OpenAIProvider.connect_timeout": "timeouts.connect",
    "Traits.require_finish": "require_finish",
}
"""What sets these parameters for one provider of several; the others are the same for all."""


class Route(Struct, frozen=True):
    """A model that callers may ask for: the provider that answers, and its name there."""

    model: Model
    provider: str
    name: str


class Router:
    """Several providers behind the contract of one.

    `default` is the model that answers when a request names none; empty: the provider `fallback` says.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        routes: Sequence[Route],
        *,
        default: str,
        fallback: str,
        only_listed: bool = False,
    ) -> None:
        self._providers = providers
        self._routes = {route.model.name: route for route in routes}
        self._default = default
        self._fallback = fallback
        self._only_listed = only_listed

    @property
    def models(self) -> Sequence[Model]:
        """The models of the table, the default one first; without a table, those of `fallback`."""
        if not self._routes:
            return self._providers[self._fallback].models
        found = [
            msgspec.structs.replace(route.model, default=name == self._default)
            for name, route in self._routes.items()
        ]
        return sorted(found, key=lambda model: not model.default)

    async def model_for(self, asked: str | None) -> str:
        """Return the model that answers, by the name that callers use.

        Raises `UnknownModel` for one that may not be asked for, and what the provider `fallback` raises.
        """
        if not asked:
            return self._default or await self._ask_fallback()
        if self._only_listed and asked not in self._routes:
            raise UnknownModel(f"there is no model of this name: there are {named(self._routes)}")
        return asked

    async def _ask_fallback(self) -> str:
        try:
            return await self._providers[self._fallback].model_for(None)
        except RequestError as error:
            error.parameters = [_said(one, self._fallback) for one in error.parameters]
            raise

    def context_of(self, model: str) -> int | None:
        """Return the context in the table, or else what the model's provider knows of it."""
        route = self._routes.get(model)
        if route is not None and route.model.context is not None:
            return route.model.context
        provider, name = self._place(model)
        return self._providers[provider].context_of(name)

    async def look_up(self, model: str) -> None:
        """Ask the model's provider."""
        provider, name = self._place(model)
        await self._providers[provider].look_up(name)

    def ask(self, request: ChatRequest) -> Producer:
        """Return the producer of an answer by the provider of the request's model."""
        provider, own = self._route(request)
        producer = self._providers[provider].ask(own)
        return RoutedProducer(producer, model=request.model, provider=provider)

    def unsupported(self, request: ChatRequest) -> dict[str, str]:
        """Return the options that the model's provider cannot be told, each with the reason in words."""
        provider, own = self._route(request)
        return self._providers[provider].unsupported(own)

    def _route(self, request: ChatRequest) -> tuple[str, ChatRequest]:
        """Return the provider that answers, by name, and the request with the model's name there."""
        provider, name = self._place(request.model)
        return provider, msgspec.structs.replace(request, model=name)

    def _place(self, model: str) -> tuple[str, str]:
        """Return the provider of a model, by name, and the model's name there."""
        route = self._routes.get(model)
        return (self._fallback, model) if route is None else (route.provider, route.name)

    async def close(self) -> None:
        """Close the connections of all providers, also when the waiting for one of them is cancelled."""
        async with AsyncExitStack() as every:
            for provider in self._providers.values():
                every.push_async_callback(provider.close)


class RoutedProducer(DelegatingProducer):
    """A provider's producer under the name that the caller knows the model by."""

    def __init__(self, producer: Producer, *, model: str, provider: str) -> None:
        super().__init__(producer, model=model)
        self._provider = provider

    @property
    def patience(self) -> Patience | None:
        """That of the provider, under the names that it has in the file."""
        own = self.producer.patience
        called = (
            f"timeouts.first_token of the provider {self._provider}",
            f"timeouts.idle of the provider {self._provider}",
        )
        return None if own is None else msgspec.structs.replace(own, called=called)

    async def produce(self, emit: Emit) -> Finish:
        """Produce as the provider does. An error says whose settings it is about."""
        try:
            return await self.producer.produce(emit)
        except UpstreamError as error:
            error.parameters = [_said(one, self._provider) for one in error.parameters]
            raise


def _said(parameter: str, provider: str) -> str:
    """Return what sets a parameter for one provider of several."""
    if parameter == "Endpoint.model":
        return "default = true in [[models]]"
    key = _KEYS.get(parameter)
    return parameter if key is None else f"{key} of the provider {provider}"
