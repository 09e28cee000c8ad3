"""Scripts and their registry: a named scenario, its parameters, and what a request asks of it."""

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
    """A model's parameter that its scenario does not have, or whose value is of another type."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param: Final = param


@dataclass(frozen=True)
class Scenario:
    """A script by name, one line on what it does, and its parameters with their defaults."""

    name: str
    description: str
    params: Mapping[str, Value]
    play: Script

    def values(self, given: Mapping[str, str]) -> dict[str, Value]:
        """The parameters of one request: the defaults, replaced by what was given.

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
    """What one request asks for.

    `attempt` counts the requests with this very model string, from 1; `credential` is the caller's
    key, for the scripts that repeat part of it as real providers do.
    """

    model: str
    values: Mapping[str, Value]
    body: Mapping[str, Any]
    attempt: int
    credential: str

    @property
    def stream(self) -> bool:
        """Whether the answer should be streamed."""
        return self.body.get("stream") is True

    @property
    def include_usage(self) -> bool:
        """Whether `stream_options` asks for a chunk with the totals."""
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
        """A plausible count of input tokens: four characters each."""
        return max(1, len(str(self.body.get("messages", ""))) // 4)

    def integer(self, name: str) -> int:
        """A parameter that is a whole number; 0 where the scenario has none of this name."""
        return int(self.values.get(name, 0))

    def number(self, name: str) -> float:
        """A parameter that is a number; 0 where the scenario has none of this name."""
        return float(self.values.get(name, 0))

    def string(self, name: str) -> str:
        """A parameter that is text; empty where the scenario has none of this name."""
        return str(self.values.get(name, ""))

    def flag(self, name: str) -> bool:
        """A parameter that is yes or no; no where the scenario has none of this name."""
        return bool(self.values.get(name, False))


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(name: str, description: str, **params: Value) -> Callable[[Script], Script]:
    """Register a script; its parameters are the keywords, dashes for underscores, with defaults."""

    def register(script: Script) -> Script:
        named = {key.replace("_", "-"): value for key, value in params.items()}
        SCENARIOS[name] = Scenario(name, description, named, script)
        return script

    return register


def choose(model: str) -> tuple[Scenario, dict[str, Value]]:
    """The scenario that a model string names, and its parameters; `answer` for any other string.

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
