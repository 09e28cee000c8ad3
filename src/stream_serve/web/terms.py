"""The operator's terms: what the settings let callers ask for, and what goes out where they say nothing.

How it works: `check` refuses a body that goes beyond the terms, in words that name the setting. `fill`
then adds the caps where a caller named no limit. A server may have any field of its own that undoes a
limit; so as soon as one is set, `extraBody` may only have what the operator lists
(`STREAM_SERVE_ALLOWED_EXTRA_BODY`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, cast

from msgspec import structs

from stream_serve.web.body import invalid
from stream_serve.web.nearest import plain
from stream_serve.web.question import LIMITS, ONE_ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_serve.producers.provider import ChatRequest
    from stream_serve.settings import Settings
    from stream_serve.web.question import ChatBody

_ANY: Final = "*"
_SHOWN: Final = 10
_SYSTEM: Final = {"system", "developer"}
_WORDS: Final = {"text", "type", "id", "name", "filename", "title", "thinking", "refusal"}
"""Fields of content parts whose texts are only read."""
_URL: Final = re.compile(
    r"[\s\x00-\x20\x7f-\x9f\u200b-\u200f\u2060\ufeff]*(?!data:)[a-z][a-z0-9+.\-\t\r\n]{1,40}:[^ ]",
    re.IGNORECASE,
)
"""The beginning of an address, as lenient as servers that read it: spaces before, line ends inside. A
space after the colon makes it a text (`Note: …`)."""


def check(body: ChatBody, settings: Settings, *, defaults: Sequence[str]) -> None:
    """Check that a body keeps to the terms. Raises `InvalidFields`.

    `defaults` are the models that answer where a body names none; they may always be named.
    """
    if settings.fixed_system_prompt:
        _check_prompts(body)
    models = settings.allowed_models
    if models and body.model not in {None, *defaults, *models}:
        known = ", ".join(models[:_SHOWN])
        raise invalid("model", f"may be one of {known} (STREAM_SERVE_ALLOWED_MODELS)")
    _check_cap("maxTokens", body.max_tokens, settings.max_tokens, "MAX_TOKENS")
    _check_cap(
        "thinkingBudget", body.thinking_budget, settings.max_thinking_budget, "MAX_THINKING_BUDGET"
    )
    if not settings.allow_content_urls:
        _check_urls(body)
    if body.extra_body:
        _check_extra(body.extra_body, settings)


def system_prompt(body: ChatBody, settings: Settings) -> str | None:
    """Return the system prompt for a question: the caller's, or the service's own; None for none.

    A caller's own `messages` have the service's only if it is fixed.
    """
    if settings.fixed_system_prompt:
        return settings.system_prompt
    if body.unprompted or (body.messages is not None and not body.system_prompt):
        return None
    return body.system_prompt or settings.system_prompt


def fill(request: ChatRequest, settings: Settings) -> ChatRequest:
    """Return the request with the operator's caps where it has no limits of its own."""
    caps: dict[str, object] = {}
    if settings.max_tokens is not None:
        caps["max_tokens"] = settings.max_tokens
    if (
        settings.max_thinking_budget is not None
        and request.options.get("enable_thinking") is not False
    ):
        caps["thinking_budget"] = settings.max_thinking_budget
    return structs.replace(request, options={**caps, **request.options}) if caps else request


def _check_prompts(body: ChatBody) -> None:
    fixed = "the system prompt is the service's own here (STREAM_SERVE_FIXED_SYSTEM_PROMPT)"
    if body.system_prompt or body.unprompted:
        raise invalid("systemPrompt", f"leave it out: {fixed}")
    for number, message in enumerate(body.messages or ()):
        if message.role in _SYSTEM:
            raise invalid(f"messages[{number}].role", f"may be user or assistant: {fixed}")


def _check_cap(name: str, asked: int | None, cap: int | None, setting: str) -> None:
    if asked is not None and cap is not None and asked > cap:
        raise invalid(name, f"may be at most {cap} here (STREAM_SERVE_{setting})")


def _check_urls(body: ChatBody) -> None:
    for number, message in enumerate(body.messages or ()):
        if not isinstance(message.content, str) and _has_url(message.content):
            raise invalid(
                f"messages[{number}].content",
                "a content part may not name an address, which the provider would fetch: send the "
                "data itself as a data: URL (or set STREAM_SERVE_ALLOW_CONTENT_URLS)",
            )


def _has_url(content: object) -> bool:
    """Return whether a content names an address outside of the texts that are only read."""
    return any(
        isinstance(value, str) and name not in _WORDS and _URL.match(value) is not None
        for name, value in _values(content)
    )


def _check_extra(extra: dict[str, object], settings: Settings) -> None:
    allowed = settings.allowed_extra_body
    if allowed is None:
        allowed = () if _limited(settings) else (_ANY,)
    for name in extra:
        if _ANY not in allowed and name not in allowed:
            raise invalid(
                "extraBody",
                f"may not have {name[:40]} here (STREAM_SERVE_ALLOWED_EXTRA_BODY lists what it may)",
            )
    if settings.max_tokens is None and settings.max_thinking_budget is None:
        return
    for name, _ in _values(extra):
        if plain(name[:100]) in LIMITS or plain(name[:100]) in ONE_ANSWER:
            raise invalid(
                "extraBody", f"may not have {name[:40]} here, at any depth: it is a limit"
            )


def _limited(settings: Settings) -> bool:
    """Return whether the operator limits callers in what the provider is asked."""
    return bool(
        settings.fixed_system_prompt
        or settings.allowed_models
        or settings.max_tokens
        or settings.max_thinking_budget
    )


def _values(value: object) -> Iterator[tuple[str, object]]:
    """Return all values inside free-form JSON, each with the name of its field, "" in a list."""
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        name, inner = waiting.pop()
        yield name, inner
        if isinstance(inner, dict):
            waiting.extend(cast("dict[str, object]", inner).items())
        elif isinstance(inner, list):
            waiting.extend(("", part) for part in cast("list[object]", inner))
