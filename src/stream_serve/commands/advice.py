"""What to do about a failed question: advice that fits the error, the kind, and where it is set.

How it works: one code can have several reasons (a stream without a finish_reason may be a cut one, an odd
one, or an empty one). Which it was is told by whether the answer had begun, and by the settings that the
error names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stream_serve.events.types import Error
    from stream_serve.settings import Catalog, ProviderSettings

_INTERNATIONAL: Final = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"

EMPTY: Final = (
    "Check that {model} is a model for chats, and not one for embeddings or plain completions. The "
    "server's own log may say why it gave nothing."
)
"""About an answer without a word."""

ADVICE: Final = {
    "upstream_unreachable": "Check {url}, the network, and any proxy or firewall between here and the "
    "provider.",
    "upstream_auth": "Put a valid key into {key}.",
    "upstream_auth, forbidden": "If the key in {key} is the right one, check in the provider's console "
    "what it may do, and that {model} is a model that it may use.",
    "upstream_rejected": "Read the provider's words above. If they are about the model, check that "
    "{model} is one that this key may use; if they are about a field, switch it off for this provider in "
    "stream-serve.toml; if they are about the account, look into the provider's console.",
    "upstream_context_exceeded": "The model's context is very small: start its server with a larger one.",
    "upstream_rate_limited": "Wait, or look at the quota and the bill in the provider's console.",
    "upstream_error": "The provider is in trouble: try again later, or look at its status page or log.",
    "upstream_protocol": "The server speaks, but not all that it said can be read: look for a gateway "
    "before it that changes its answers, and at its version.",
    "upstream_protocol, url": "The path of the URL is wrong, or what answers there does not speak "
    "OpenAI's protocol: {url} must be the base that ends before /chat/completions, often with /v1 at its "
    "end.",
    "upstream_disconnected": "Something between here and the provider cuts the connection: look for "
    "a proxy, or try again.",
    "upstream_incomplete": "Its stream ends in the middle: look for something between here and the "
    "provider that cuts it, and at the server's log.",
    "upstream_incomplete, finish": "The server ends its stream without a finish_reason: check that it "
    "really speaks OpenAI's protocol. If it never sends one, and ends whole answers with [DONE], set "
    "{finish} to false.",
    "upstream_incomplete, empty": EMPTY,
    "upstream_timeout": "The model is slow to begin: try another one, or raise {first_token}.",
    "upstream_timeout, begun": "The provider went silent in the middle of its answer: look at its load "
    "and its log, or raise {idle}.",
    "upstream_too_large": "The answer to a short question had no end: try another model, or look at its "
    "chat template.",
    "upstream_too_large, event": "Servers that are well have no events that large: look at what answers "
    "at {url}. If it is right, raise {event}.",
    "run_timeout": "The model came to no end. If it is only slow, raise STREAM_SERVE_RUN_TIMEOUT.",
}
_OF_KIND: Final = {
    (
        "upstream_auth",
        "dashscope",
    ): " A DashScope key belongs to one region: keys of the international "
    "site need {url} = " + _INTERNATIONAL,
    (
        "upstream_auth",
        "azure",
    ): " A token of Microsoft Entra ID goes into headers, as Authorization.",
    ("upstream_protocol", "azure"): " Azure's is https://NAME.openai.azure.com/openai/v1, or "
    ".../openai/deployments/NAME?api-version=...",
    ("upstream_unreachable", "ollama"): " Is `ollama serve` running?",
}
_VARIABLES: Final = {
    "url": "STREAM_SERVE_UPSTREAM_URL",
    "model": "STREAM_SERVE_MODEL",
    "finish": "STREAM_SERVE_REQUIRE_FINISH",
    "first_token": "STREAM_SERVE_FIRST_TOKEN_TIMEOUT",
    "idle": "STREAM_SERVE_IDLE_TIMEOUT",
    "event": "STREAM_SERVE_MAX_EVENT_BYTES",
}
_KEYS: Final = {
    "url": "url",
    "model": "the model of the target",
    "finish": "require_finish",
    "first_token": "timeouts.first_token",
    "idle": "timeouts.idle",
    "event": "STREAM_SERVE_MAX_EVENT_BYTES",
}
_TELLING: Final = ("url", "finish", "event")
"""The settings that tell the reason where an error names them."""


def advice(error: Error, given: ProviderSettings, catalog: Catalog | None, *, begun: bool) -> str:
    """Return what to do about an error of a provider; empty if nothing is known.

    `begun` is whether some of the answer had come.
    """
    by_file = catalog is not None and catalog.file is not None
    named = {name for name in _TELLING if _said(name, given.name, by_file) in error.message}
    text = ADVICE.get(f"{error.code}, {_reason(error, named, begun)}") or ADVICE.get(error.code, "")
    if text and not (error.code == "upstream_protocol" and "url" not in named):
        text += _OF_KIND.get((error.code, given.kind), "")
    return said(text, given, catalog)


def said(text: str, given: ProviderSettings, catalog: Catalog | None) -> str:
    """Return advice with the names of what is set where this provider is configured."""
    by_file = catalog is not None and catalog.file is not None
    where = f"{given.key_name} (.env)" if given.key_name.isupper() else given.key_name
    return text.format(
        key=where or f"key, key_env or key_file of the provider {given.name}",
        **(_KEYS if by_file else _VARIABLES),
    )


def _said(name: str, provider: str, by_file: bool) -> str:
    """Return what an error calls a setting."""
    name = (_KEYS if by_file else _VARIABLES)[name]
    return name if name.isupper() else f"{name} of the provider {provider}"


def _reason(error: Error, named: set[str], begun: bool) -> str:
    """Return which of the reasons for an error it was; empty for the usual one."""
    if error.code == "upstream_auth" and "(status 403)" in error.message:
        return "forbidden"
    if named:
        return named.pop()
    if begun:
        return "begun"
    return "empty"
