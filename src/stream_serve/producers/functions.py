"""`FunctionProvider`: generator functions of an application as models."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import TYPE_CHECKING, Final, TypeAlias

from stream_serve.errors import Full, ModelsUnavailable, UnknownModel
from stream_serve.events import usage
from stream_serve.producers.delegating import DelegatingProducer
from stream_serve.producers.generator import GeneratorProducer
from stream_serve.producers.provider import Model, named
from stream_serve.producers.threads import in_thread

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Callable, Sequence

    from stream_serve.events.types import Delta
    from stream_serve.producers.base import Finish, Producer
    from stream_serve.producers.provider import ChatRequest

    Answer: TypeAlias = AsyncGenerator[str | Delta] | Generator[str | Delta]
    Function: TypeAlias = Callable[[ChatRequest], Answer]


MAX_LEFT: Final = 64
"""Generators that were stopped and go on. Each has a thread, or a task: more of them would be a leak that
nobody sees before the process is full."""


class FunctionProvider:
    """Each function makes the answers of one model; the first one answers where none is asked for.

    A function takes the request and yields the answer, as text or deltas. One that is not asynchronous
    runs in a thread.
    """

    def __init__(self) -> None:
        self._functions: dict[str, Function] = {}
        self._left: set[asyncio.Task[Finish]] = set()

    def add(self, name: str, function: Function) -> None:
        """Let a function answer for a model. Raises `TypeError` if it is no generator function of one
        argument, and `ValueError` if another one has the name."""
        if not (inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)):
            raise TypeError(
                f"{name} should be a generator function: one that yields its answer piece by piece"
            )
        try:
            inspect.signature(function).bind(None)
        except TypeError as error:
            raise TypeError(f"{name} should take one argument, the request: {error}") from None
        if name in self._functions:
            raise ValueError(f"there is a function for the model {name} already")
        self._functions[name] = function

    @property
    def models(self) -> Sequence[Model]:
        """One for each function, the default one first."""
        default = next(iter(self._functions), None)
        return [Model(name=name, default=name == default) for name in self._functions]

    async def model_for(self, asked: str | None) -> str:
        """Return the model of this name, or the first one where none is asked for.

        Raises `UnknownModel`, and `ModelsUnavailable` while there is no function at all.
        """
        if not self._functions:
            raise ModelsUnavailable("no function answers yet: decorate one with @streams.chat")
        if asked is not None and asked not in self._functions:
            raise UnknownModel(
                f"there is no model of this name: there are {named(self._functions)}"
            )
        return asked or next(iter(self._functions))

    def context_of(self, model: str) -> int | None:
        """Return None: a function takes what it is given."""

    async def look_up(self, model: str) -> None:
        """Do nothing: there is no server."""

    def ask(self, request: ChatRequest) -> Producer:
        """Return the producer of an answer; the function begins when it is awaited.

        Raises `Full` while too many that were stopped do not end.
        """
        if len(self._left) >= MAX_LEFT:
            raise Full(
                f"{MAX_LEFT} generators were stopped and do not end, as many as may: "
                "the log names their runs; see that they yield, or give what they wait for a timeout"
            )
        answer = self._functions[request.model](request)
        source = in_thread(answer) if isinstance(answer, Generator) else answer
        return _FunctionProducer(
            GeneratorProducer(source, model=request.model, left=self._left), request
        )

    def unsupported(self, request: ChatRequest) -> dict[str, str]:
        """Return nothing: a function reads of the request what it knows."""
        del request
        return {}

    async def close(self) -> None:
        """Do nothing: there are no connections."""


class _FunctionProducer(DelegatingProducer):
    """The producer of one answer, which knows what was asked."""

    def __init__(self, producer: Producer, request: ChatRequest) -> None:
        super().__init__(producer, model=request.model)
        self._request = request

    @property
    def prompt_tokens(self) -> int:
        """The estimated tokens of the request."""
        return usage.count(self._request.text)
