"""The operator's terms: what the settings let callers ask for, and what goes out where they say nothing.

How it works: `check` refuses a question beyond the terms, in words that name the setting. `fill`
then adds the caps where a caller named no limit, and the operator's defaults where a caller left them
open, but none that the model cannot be told. A server may have any field of its own that undoes a limit;
so as soon as one is set, `extraBody` may only have what the operator lists
(`STREAM_SERVE_ALLOWED_EXTRA_BODY`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import structs

from stream_serve.web import addresses
from stream_serve.web.nearest import plain
from stream_serve.web.question import LIMITS, ONE_ANSWER, SYSTEM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.producers.provider import ChatRequest, Model
    from stream_serve.settings import Settings
    from stream_serve.web.question import Question

_ANY: Final = "*"
_SHOWN: Final = 10
_NAMED: Final = 100
_THINKING: Final = {
    *("enablethinking", "thinking", "reasoning", "reasoningeffort"),
    *(name for name, option in LIMITS.items() if option == "thinking_budget"),
}
"""What servers call whether, and how long, a model thinks."""


def check(asked: Question, settings: Settings, *, defaults: Sequence[str]) -> None:
    """Check that a question keeps to the terms. Raises `InvalidFields`.

    `defaults` are the models that answer where a caller names none; they may always be named.
    """
    if settings.fixed_system_prompt:
        _check_prompts(asked)
    models = settings.allowed_models
    if models and asked.model not in {None, *defaults, *models}:
        known = ", ".join(models[:_SHOWN])
        raise asked.invalid("model", f"may be one of {known} (STREAM_SERVE_ALLOWED_MODELS)")
    _check_cap(asked, "max_tokens", settings.max_tokens, "MAX_TOKENS")
    _check_cap(asked, "thinking_budget", settings.max_thinking_budget, "MAX_THINKING_BUDGET")
    if not settings.allow_content_urls:
        _check_addresses(asked)
    if asked.extra:
        _check_extra(asked, settings)


def system_prompt(asked: Question, settings: Settings) -> str | None:
    """Return the system prompt for a question: the caller's, or the service's own; None for none."""
    own = settings.system_prompt or None
    if settings.fixed_system_prompt:
        return own
    return asked.system_prompt or (None if asked.bare else own)


def allows_extra(name: str, settings: Settings) -> bool:
    """Return whether a caller may send the provider a field of this name that is not known here."""
    allowed = settings.allowed_extra_body
    if allowed is None:
        allowed = () if _limited(settings) else (_ANY,)
    return _ANY in allowed or name in allowed


def fill(request: ChatRequest, settings: Settings, models: Sequence[Model]) -> ChatRequest:
    """Return the request with the operator's defaults and caps where it says nothing of its own.

    `models` are those that are known: one of them is not told what it does not take.
    """
    options = {**_defaults(request, settings, models), **request.options}
    caps: dict[str, object] = {}
    if settings.max_tokens is not None:
        caps["max_tokens"] = settings.max_tokens
    if settings.max_thinking_budget is not None and options.get("enable_thinking") is not False:
        caps["thinking_budget"] = settings.max_thinking_budget
    return structs.replace(request, options={**caps, **options})


def _defaults(
    request: ChatRequest, settings: Settings, models: Sequence[Model]
) -> dict[str, object]:
    """Return the operator's defaults for what a request leaves open."""
    known = [one for one in models if one.name == request.model]
    found: dict[str, object] = {}
    if settings.temperature is not None and all(one.temperature is not False for one in known):
        found["temperature"] = settings.temperature
    if (
        settings.thinking is not None
        and all(one.thinks is not False for one in known)
        and not _says_thinking(request)
    ):
        found["enable_thinking"] = settings.thinking
    return found


def _says_thinking(request: ChatRequest) -> bool:
    """Return whether a request says anything of the model's thinking, in whatever words."""
    names = [*request.options, *(name for name, _ in addresses.values(request.extra))]
    return any(plain(name[:_NAMED]) in _THINKING for name in names)


def _check_prompts(asked: Question) -> None:
    fixed = "the system prompt is the service's own here (STREAM_SERVE_FIXED_SYSTEM_PROMPT)"
    if asked.system_prompt is not None:
        raise asked.invalid("system_prompt", f"leave it out: {fixed}")
    for number, message in enumerate(asked.messages):
        if message["role"] in SYSTEM:
            raise asked.invalid(
                f"messages[{number}].role", f"may be user, assistant or tool: {fixed}"
            )


def _check_cap(asked: Question, name: str, cap: int | None, setting: str) -> None:
    value = asked.options.get(name)
    if cap is None or value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise asked.invalid(name, "should be a whole number")
    if value > cap:
        raise asked.invalid(name, f"may be at most {cap} here (STREAM_SERVE_{setting})")


def _check_addresses(asked: Question) -> None:
    field = addresses.named(asked)
    if field is not None:
        raise asked.invalid(
            field[:_NAMED],
            "may not name an address, which the provider would fetch: send the data itself as a "
            "data: URL (or set STREAM_SERVE_ALLOW_CONTENT_URLS)",
        )


def _check_extra(asked: Question, settings: Settings) -> None:
    for name in asked.extra:
        if not allows_extra(name, settings):
            raise asked.invalid(
                "extra_body",
                f"may not have {name[:40]} here (STREAM_SERVE_ALLOWED_EXTRA_BODY lists what it may)",
            )
    if settings.max_tokens is None and settings.max_thinking_budget is None:
        return
    for name, _ in addresses.values(asked.extra):
        if plain(name[:100]) in LIMITS or plain(name[:100]) in ONE_ANSWER:
            raise asked.invalid(
                "extra_body", f"may not have {name[:40]} here, at any depth: it is a limit"
            )


def _limited(settings: Settings) -> bool:
    """Return whether the operator limits callers in what the provider is asked."""
    return bool(
        settings.fixed_system_prompt
        or settings.allowed_models
        or settings.max_tokens
        or settings.max_thinking_budget
    )
