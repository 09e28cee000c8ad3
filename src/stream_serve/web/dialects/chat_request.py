"""The bodies of OpenAI's Chat Completions and of its older Completions, read into questions.

How it works: what real clients send goes to the provider unchanged: all messages as they are, every field
of OpenAI's reference, and what is not known here. Left out are only the fields that this service answers
itself (the stream, the number of answers), and unknown ones where the operator does not allow them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from stream_serve.web import terms
from stream_serve.web.body import invalid
from stream_serve.web.question import ONE_ANSWER, Question

if TYPE_CHECKING:
    from stream_serve.settings import Settings

Json = dict[str, Any]

_MAX_MESSAGES: Final = 10_000
_ROLES: Final = ("assistant", "developer", "function", "system", "tool", "user")
_OWN: Final = frozenset(
    {"model", "messages", "prompt", "stream", "stream_options", "n", "best_of", "on_disconnect"}
)
_ONE: Final = ONE_ANSWER | {"best_of"}
_LIMITS: Final = ("max_completion_tokens", "max_tokens")
_STANDARD: Final = frozenset(
    (
        *("audio", "enable_search", "enable_thinking", "frequency_penalty", "function_call"),
        *("functions", "logit_bias", "logprobs", "metadata", "modalities", "parallel_tool_calls"),
        *("prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_retention"),
        *("reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier"),
        *("stop", "store", "temperature", "thinking_budget", "tool_choice", "tools"),
        *("top_logprobs", "top_p", "user", "verbosity", "web_search_options"),
    )
)
"""The fields of OpenAI's reference, and of DashScope's, that are the provider's."""


def question(fields: Json, settings: Settings) -> tuple[Question, list[str]]:
    """Return what the body of a chat completion asks, and the fields that are ignored.

    Raises `InvalidFields`.
    """
    return _question(fields, messages(fields.get("messages")), settings)


def prompted(fields: Json, settings: Settings) -> tuple[Question, list[str]]:
    """Return what the body of an older completion asks: its prompt is a user's message."""
    prompt = fields.get("prompt")
    if isinstance(prompt, list) and len(cast("list[object]", prompt)) == 1:
        prompt = cast("list[object]", prompt)[0]
    if not isinstance(prompt, str):
        raise invalid("prompt", "should be one text")
    for name in ("suffix", "echo"):
        if fields.get(name):
            raise invalid(name, "is not supported here: leave it out")
    rest = {name: value for name, value in fields.items() if name not in {"suffix", "echo"}}
    return _question(rest, [{"role": "user", "content": prompt}], settings)


def messages(value: object) -> list[Json]:
    """Return messages as they are, after a look at their shape. Raises `InvalidFields`."""
    found = cast("list[object]", value) if isinstance(value, list) else []
    if not 0 < len(found) <= _MAX_MESSAGES:
        raise invalid("messages", f"should be a list of 1 to {_MAX_MESSAGES} messages")
    return [_message(f"messages[{number}]", one) for number, one in enumerate(found)]


def takes(name: str) -> bool:
    """Return whether a field is one that goes to the provider under this name."""
    return name == "model" or name in _STANDARD or name in _LIMITS


def is_stream(fields: Json) -> bool:
    """Return whether a stream is asked for. Raises `InvalidFields`."""
    return flag(fields, "stream")


def includes_usage(fields: Json) -> bool:
    """Return whether a stream is to end with the usage. Raises `InvalidFields`."""
    options = fields.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise invalid("stream_options", "should be an object")
    return flag(cast("Json", options), "include_usage")


def flag(fields: Json, name: str, *, default: bool = False) -> bool:
    """Return a field that is true or false, and `default` where it is absent. Raises `InvalidFields`."""
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(name, "should be true or false")
    return default if value is None else value


def _question(fields: Json, asked: list[Json], settings: Settings) -> tuple[Question, list[str]]:
    _check_one_answer(fields)
    options: Json = {}
    extra: Json = {}
    ignored: list[str] = []
    for name, value in fields.items():
        if name in _OWN or name in _LIMITS or value is None:
            continue
        if name in _STANDARD:
            options[name] = value
        elif terms.allows_extra(name, settings):
            extra[name] = value
        else:
            ignored.append(name)
    if (limit := _limit(fields)) is not None:
        options["max_tokens"] = limit
    flag(fields, "enable_thinking")
    found = Question(
        model=_model(fields.get("model")),
        messages=asked,
        options=options,
        extra=extra,
        bare=True,
        spelled={"extra_body": "body"},
    )
    return found, ignored


def _message(where: str, value: object) -> Json:
    message = cast("Json", value) if isinstance(value, dict) else {}
    if message.get("role") not in _ROLES:
        raise invalid(f"{where}.role", f"should be one of {', '.join(_ROLES)}")
    content = message.get("content")
    if content is not None and not isinstance(content, str) and not _are_parts(content):
        raise invalid(f"{where}.content", "should be text, null, or a list of content parts")
    return message


def _are_parts(content: object) -> bool:
    return isinstance(content, list) and all(
        isinstance(part, dict) for part in cast("list[object]", content)
    )


def _check_one_answer(fields: Json) -> None:
    for name in sorted(_ONE & fields.keys()):
        if fields[name] not in (None, 1) or isinstance(fields[name], bool):
            raise invalid(name, "may only be 1 here: a run has one answer")


def _limit(fields: Json) -> int | None:
    """Return the most tokens of the answer, under whichever name they are; each has to be a number."""
    limits = [tokens(fields, name) for name in _LIMITS if fields.get(name) is not None]
    return limits[0] if limits else None


def tokens(fields: Json, name: str) -> int | None:
    """Return a field that is a number of tokens; None where it is absent. Raises `InvalidFields`."""
    value = fields.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise invalid(name, "should be a whole number above 0")
    return value


def _model(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid("model", "should be the name of a model")
    return value
