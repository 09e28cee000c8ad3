"""Scenarios and their registry: names, parameters, and the parameters of one request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from stream_serve.testing.reply import Reply

    Script = Callable[["Reply", "Ask"], Awaitable[None]]

Value = str | int | float | bool


class UnknownParameterError(ValueError):
    """A parameter in the model's name is unknown to the scenario, or its value has a wrong type."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param: Final = param


@dataclass(frozen=True)
class Scenario:
    """A script with its name, a description of one line, and its parameters with their defaults."""

    name: str
    description: str
    params: Mapping[str, Value]
    play: Script

    def values(self, given: Mapping[str, str]) -> dict[str, Value]:
        """Return the parameters of one request: the defaults, replaced by those in `given`.

        Raises `UnknownParameterError`.
        """
        values = dict(self.params)
        for name, text in given.items():
            if name not in values:
                known = ", ".join(values) or "none"
                message = f"{self.name} has no parameter {name!r}; it has: {known}"
                raise UnknownParameterError(message, name)
            values[name] = _convert(name, text, values[name])
        return values


@dataclass(frozen=True)
class Ask:
    """One request to a scenario.

    `attempt` counts the requests with exactly this `model`, from 1. `credential` is the caller's key,
    because some scripts repeat a part of it, as real providers do.
    """

    model: str
    values: Mapping[str, Value]
    body: Mapping[str, Any]
    attempt: int
    credential: str

    @property
    def stream(self) -> bool:
        """Whether the request asks for a stream."""
        return self.body.get("stream") is True

    @property
    def include_usage(self) -> bool:
        """Whether `stream_options` asks for a chunk with the usage."""
        options = self.body.get("stream_options")
        if not isinstance(options, dict):
            return False
        return cast("dict[str, Any]", options).get("include_usage") is True

    @property
    def prompt(self) -> str:
        """The text of the last user message."""
        messages = self.body.get("messages")
        if isinstance(messages, list):
            for message in reversed(_objects(cast("list[Any]", messages))):
                if message.get("role") == "user":
                    return _text(message.get("content"))
        return ""

    @property
    def prompt_tokens(self) -> int:
        """A plausible number of prompt tokens: one for four characters."""
        return max(1, len(str(self.body.get("messages", ""))) // 4)

    def integer(self, name: str) -> int:
        """Return a parameter as a whole number; 0 if the scenario does not have it."""
        return int(self.values.get(name, 0))

    def number(self, name: str) -> float:
        """Return a parameter as a number; 0 if the scenario does not have it."""
        return float(self.values.get(name, 0))

    def string(self, name: str) -> str:
        """Return a parameter as text; "" if the scenario does not have it."""
        return str(self.values.get(name, ""))

    def flag(self, name: str) -> bool:
        """Return a parameter as a truth value; False if the scenario does not have it."""
        return bool(self.values.get(name, False))


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(name: str, description: str, **params: Value) -> Callable[[Script], Script]:
    """Return a decorator that registers a script.

    `params` are its parameters and their defaults; underscores in their names become dashes.
    """

    def register(script: Script) -> Script:
        named = {key.replace("_", "-"): value for key, value in params.items()}
        SCENARIOS[name] = Scenario(name, description, named, script)
        return script

    return register


def choose(model: str) -> tuple[Scenario, dict[str, Value]]:
    """Return the scenario that `model` names, and its parameters; `answer` for any other name.

    Raises `UnknownParameterError`.
    """
    name, _, query = model.partition("?")
    chosen = SCENARIOS.get(name)
    if chosen is None:
        chosen = SCENARIOS["answer"]
        query = ""
    given = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=100))
    return chosen, chosen.values(given)


def _convert(name: str, text: str, default: Value) -> Value:
    try:
        if isinstance(default, bool):
            return {"0": False, "1": True, "false": False, "true": True}[text.lower()]
        value = type(default)(text)
    except (KeyError, ValueError):
        kind = type(default).__name__
        raise UnknownParameterError(f"{name}={text!r} is not of type {kind}", name) from None
    if isinstance(value, int | float) and not 0 <= value < float("inf"):
        raise UnknownParameterError(f"{name}={text!r} is out of range", name)
    if name == "size" and value == 0:
        raise UnknownParameterError("size must be at least 1", name)
    return value


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = _objects(cast("list[Any]", content))
        return "".join(str(part.get("text", "")) for part in parts)
    return ""


def _objects(values: list[Any]) -> list[dict[str, Any]]:
    return [cast("dict[str, Any]", value) for value in values if isinstance(value, dict)]
