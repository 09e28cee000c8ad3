"""Reads how many tokens a provider says it used, wherever and however it says so.

OpenAI's `usage` has `prompt_tokens`, `completion_tokens` and `total_tokens`, and the tokens of thinking
in `completion_tokens_details.reasoning_tokens`, those of the prompt that were read before in
`prompt_tokens_details.cached_tokens` (DeepSeek: `prompt_cache_hit_tokens`, Moonshot: `cached_tokens`,
llama.cpp: `cache_n`). Others say `input_tokens` and `output_tokens` (Anthropic,
OpenAI's Responses), put `usage` into the choice (Moonshot) or into `x_groq` (Groq), or count in `timings`
(llama.cpp). Figures come as texts of digits and as 30.0, too. What cannot be is not passed on: a figure
that is negative, a fraction, a truth value or more than a trillion, a total that is less than its parts,
more tokens of thinking than of everything, more cached ones than the prompt has.
"""

from __future__ import annotations

import re
from typing import Final, cast

from stream_serve.events.types import Usage

_Fields = dict[str, object]

_MAX: Final = 10**12
_DIGITS: Final = re.compile(r"\s*[0-9]{1,13}\s*", re.ASCII)
_PROMPT: Final = ("prompt_tokens", "input_tokens", "promptTokens", "inputTokens")
_COMPLETION: Final = ("completion_tokens", "output_tokens", "completionTokens", "outputTokens")
_TOTAL: Final = ("total_tokens", "totalTokens")
_DETAILS: Final = ("completion_tokens_details", "output_tokens_details")
_PROMPT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_THOUGHT: Final = ("reasoning_tokens",)
_CACHED: Final = ("prompt_cache_hit_tokens", "cached_tokens")
_PARTS: Final = frozenset((*_DETAILS, *_PROMPT_DETAILS, *_THOUGHT, *_CACHED))
_BAD: Final = -1


def read(usage: object) -> Usage | None:
    """Return the figures of a `usage`; None if they say too little, or what cannot be."""
    if not isinstance(usage, dict):
        return None
    fields = cast("_Fields", usage)
    prompt, completion = _figure(fields, _PROMPT), _figure(fields, _COMPLETION)
    total = _figure(fields, _TOTAL) or 0
    if prompt is None and completion is not None and total >= completion >= 0:
        prompt = total - completion
    elif completion is None and prompt is not None and total >= prompt >= 0:
        completion = total - prompt
    if _PARTS.isdisjoint(fields):
        return _usage(prompt, completion, total)
    thought = _detail(fields, _DETAILS, _THOUGHT)
    cached = _detail(fields, _PROMPT_DETAILS, _CACHED)
    return _usage(prompt, completion, total, thought=thought, cached=cached)


def from_timings(timings: object) -> Usage | None:
    """Return llama.cpp's counts: the tokens of the prompt, read or kept from before, and those made."""
    if not isinstance(timings, dict):
        return None
    fields = cast("_Fields", timings)
    prompt, kept = _figure(fields, ("prompt_n",)), _figure(fields, ("cache_n",))
    if prompt is not None and prompt >= 0:
        prompt += max(kept or 0, 0)
    return _usage(prompt, _figure(fields, ("predicted_n",)), 0, cached=kept)


def newer_usage(usage: object, before: object) -> object:
    """Return a `usage` that came after another one: the new one, unless it cannot be read."""
    return usage if _is_usual(usage, _PROMPT[0], _COMPLETION[0]) or read(usage) else before


def newer_timings(timings: object, before: object) -> object:
    """Return `timings` that came after others: the new ones, unless they cannot be read."""
    usual = _is_usual(timings, "prompt_n", "predicted_n")
    return timings if usual or from_timings(timings) else before


def in_choice(choice_usage: object, x_groq: object) -> object:
    """Return the `usage` of a chunk that has it in its choice or in `x_groq`; None if it has none."""
    if choice_usage or not isinstance(x_groq, dict):
        return choice_usage or None
    return cast("_Fields", x_groq).get("usage") or None


def _is_usual(figures: object, prompt: str, completion: str) -> bool:
    """Return whether figures that may come with every token are certain to be readable."""
    if not isinstance(figures, dict):
        return False
    fields = cast("_Fields", figures)
    before, made = fields.get(prompt), fields.get(completion)
    return type(before) is int and type(made) is int and 0 <= before <= _MAX and 0 < made <= _MAX


def _usage(
    prompt: int | None,
    completion: int | None,
    total: int,
    *,
    thought: int | None = None,
    cached: int | None = None,
) -> Usage | None:
    if prompt is None or completion is None or _BAD in (prompt, completion):
        return None
    if prompt == completion == 0:
        return None  # a place for figures that never came
    if thought and total == prompt + completion + thought:
        completion += thought  # xAI counts what was thought apart from the answer
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=max(total, prompt + completion),
        source="provider",
        reasoning_tokens=_part(thought, completion),
        cached_tokens=_part(cached, prompt),
    )


def _part(tokens: int | None, whole: int) -> int | None:
    """Return tokens that are a part of a whole; None where they cannot be one."""
    return tokens if tokens is not None and 0 <= tokens <= whole else None


def _detail(fields: _Fields, places: tuple[str, ...], names: tuple[str, ...]) -> int | None:
    """Return a figure of the first details that have it, or of the figures themselves."""
    for place in places:
        details = fields.get(place)
        if isinstance(details, dict):
            found = _figure(cast("_Fields", details), names)
            if found is not None:
                return found
    return _figure(fields, names)


def _figure(fields: _Fields, names: tuple[str, ...]) -> int | None:
    """Return the first of some figures that is there; `_BAD` for one that cannot be."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            return value if type(value) is int and 0 <= value <= _MAX else _number(value)
    return None


def _number(value: object) -> int:
    """Return a figure in whatever form; `_BAD` for one that cannot be."""
    if isinstance(value, str):
        return int(value) if _DIGITS.fullmatch(value) else _BAD
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return _BAD
    return value if 0 <= value <= _MAX else _BAD
