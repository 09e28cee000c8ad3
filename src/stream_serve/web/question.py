"""`Question`: what a caller asks a model, in OpenAI's words, whichever dialect it came in.

How it works: each dialect reads its own body into a `Question`. The operator's terms are checked on it,
and the request to the provider is made of it. So all doors have the same limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from stream_serve.producers.provider import ChatRequest
from stream_serve.web.body import invalid
from stream_serve.web.nearest import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_serve.errors import InvalidFields

LIMITS: Final = {
    **dict.fromkeys(("maxtokens", "maxcompletiontokens", "maxoutputtokens"), "max_tokens"),
    **dict.fromkeys(("maxnewtokens", "maxlength", "npredict", "numpredict"), "max_tokens"),
    **dict.fromkeys(("thinkingbudget", "thinkingtokenbudget", "budgettokens"), "thinking_budget"),
    **dict.fromkeys(("thinkingbudgettokens", "maxthinkingtokens"), "thinking_budget"),
    **dict.fromkeys(("reasoningbudget", "maxreasoningtokens"), "thinking_budget"),
}
"""What servers call the limits on an answer's tokens, without `_` and in lower case, and our options."""

ONE_ANSWER: Final = frozenset({"n", "bestof", "numreturnsequences"})
"""What servers call the number of answers to a question; a run has one."""

SYSTEM: Final = ("system", "developer")
"""The roles of a system prompt."""


class Question(Struct, frozen=True, kw_only=True):
    """What is asked: the messages, the options that the provider is told, and fields that go out as they
    are.

    `system_prompt` is the caller's own; `bare` is whether the service's own is left out where the caller
    has none. `messages` are those after the system prompt; in a conversation only the new ones, unless
    `whole` says that they are its whole history, which the provider is told as it is.
    `spelled` has the dialect's names of what errors name.
    """

    model: str | None
    messages: list[dict[str, Any]]
    options: dict[str, object] = field(default_factory=dict[str, object])
    extra: dict[str, object] = field(default_factory=dict[str, object])
    system_prompt: str | None = None
    bare: bool = False
    whole: bool = False
    spelled: Mapping[str, str] = field(default_factory=dict[str, str])

    def request(self, *, model: str, system_prompt: str | None) -> ChatRequest:
        """Return the request, which begins with `system_prompt` unless it is None."""
        messages: list[dict[str, object]] = []
        if system_prompt is not None:
            messages.append({"role": "system", "content": system_prompt})
        return ChatRequest(model, [*messages, *self.messages], self.options, self.extra)

    def invalid(self, name: str, message: str) -> InvalidFields:
        """Return the error for one field, under the dialect's name for it."""
        known, bracket, rest = name.partition("[")
        spelled = self.spelled.get(name) or self.spelled.get(known, known) + bracket + rest
        return invalid(spelled, message)


def limit_of(name: str) -> str | None:
    """Return the option that a field limits, however it is spelt; None if it limits nothing."""
    return LIMITS.get(plain(name))
