"""The contract of a model's provider: for each question, a producer of the answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol, cast

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_serve.producers.base import Producer

_MAX_SHOWN: Final = 20


class Model(Struct, frozen=True, kw_only=True):
    """A model that callers may ask for. `context` is in tokens; what is None is not known."""

    name: str
    default: bool = False
    context: int | None = None
    thinks: bool | None = None
    sees: bool | None = None
    tools: bool | None = None
    temperature: bool | None = None


class ChatRequest(Struct, frozen=True):
    """What is asked of the provider.

    `messages` and `options` are in the words of OpenAI's chat completions, and `options` has only what is
    set; the provider translates what its server calls otherwise. `extra` goes out as it is. `owner` is
    whose request it is, None where nobody has to be known; no server is told.
    """

    model: str
    messages: list[dict[str, object]]
    options: dict[str, object]
    extra: dict[str, object] = field(default_factory=dict)
    owner: str | None = None

    @property
    def question(self) -> str:
        """The text of the newest message of the user, "" if there is none."""
        for message in reversed(self.messages):
            if message.get("role") == "user":
                return text_of(message.get("content"))
        return ""

    @property
    def text(self) -> str:
        """The text of all messages, with the tool calls in them, and of the tools that may be called."""
        texts = [part for message in self.messages for part in _texts_of(message)]
        texts += [_json(tool) for tool in _items(self.options.get("tools"))]
        return "\n".join(texts)


class Provider(Protocol):
    """A model's provider."""

    @property
    def models(self) -> Sequence[Model]:
        """The models that are known now, without asking anybody; the default one first."""
        ...

    async def model_for(self, asked: str | None) -> str:
        """Return the model that answers when `asked` is asked for, or none.

        A server may have to be asked which it has. Raises `UnknownModel`, `ModelsUnavailable`.
        """
        ...

    def context_of(self, model: str) -> int | None:
        """Return how many tokens a model takes; None while that is not known."""
        ...

    async def look_up(self, model: str) -> None:
        """Ask the server of a model what it says of its context, for `context_of`.

        Where it cannot be asked, nothing more is known. Cancelled, it closes the connection.
        """
        ...

    def ask(self, request: ChatRequest) -> Producer:
        """Return the producer of an answer; nothing is sent before its `produce` is awaited."""
        ...

    def unsupported(self, request: ChatRequest) -> dict[str, str]:
        """Return the options of `request` that the provider cannot be told, each with the reason."""
        ...

    async def close(self) -> None:
        """Close the pooled connections."""
        ...


def offered(models: Sequence[Model], allowed: Sequence[str], *, only_listed: bool) -> list[Model]:
    """Return the models that callers may name: the default one, and those that are `allowed`.

    Where none are named as allowed, all are. One that nobody knows may be asked of the provider, unless
    `only_listed`.
    """
    found = [one for one in models if not allowed or one.default or one.name in allowed]
    if not only_listed:
        names = {one.name for one in found}
        found += [Model(name=name) for name in allowed if name not in names]
    return found


def sees(models: Sequence[Model], name: str) -> bool:
    """Return whether a model may be sent pictures: False only where it is known to take none."""
    return all(one.sees is not False for one in models if one.name == name)


def named(names: Iterable[str]) -> str:
    """Return a list of names for an error: the first of them, and how many more there are."""
    every = list(names)
    more = f", and {len(every) - _MAX_SHOWN} more" if len(every) > _MAX_SHOWN else ""
    return ", ".join(every[:_MAX_SHOWN]) + more


def _texts_of(message: dict[str, object]) -> Iterator[str]:
    """Yield the text of a message's content, and the name and arguments of each tool call in it."""
    yield text_of(message.get("content"))
    for call in _items(message.get("tool_calls")):
        function = call.get("function")
        yield _json(cast("object", function) if isinstance(function, dict) else call)


def _items(value: object) -> list[dict[str, object]]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, object]", one) for one in items if isinstance(one, dict)]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def is_picture(part: object) -> bool:
    """Return whether a part of a message's content is a picture."""
    return isinstance(part, dict) and "image" in str(cast("dict[str, object]", part).get("type"))


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or a list of parts of which some are text."""
    if isinstance(content, str):
        return content
    parts = cast("list[dict[str, object]]", content) if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if "text" in part)
