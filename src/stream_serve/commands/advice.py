"""What to do about a provider's error: advice that fits the answer, the kind, and where it is set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stream_serve.settings import Catalog, ProviderSettings

_INTERNATIONAL: Final = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"

ADVICE: Final = {
    "upstream_unreachable": "Check {url}, the network, and any proxy or firewall between here and the "
    "provider.",
    "upstream_auth": "Put a valid key into {key}.",
    "upstream_rejected": "Read the provider's words above. If they are about the model, check that "
    "{model} is one that this key may use; if they are about a field, switch it off for this provider in "
    "stream-serve.toml.",
    "upstream_context_exceeded": "The model's context is very small: start its server with a larger one.",
    "upstream_rate_limited": "Wait, or look at the quota and the bill in the provider's console.",
    "upstream_error": "The provider is in trouble: try again later, or look at its status page.",
    "upstream_protocol": "The path of the URL is wrong, or what answers there does not speak OpenAI's "
    "protocol: {url} must be the base that ends before /chat/completions, often with /v1 at its end.",
    "upstream_disconnected": "Something between here and the provider cuts the connection: look for "
    "a proxy, or try again.",
    "upstream_incomplete": "The server ends its stream without a finish_reason: check that it really "
    "speaks OpenAI's protocol. If it never sends one, and ends whole answers with [DONE], set "
    "{finish} to false.",
    "upstream_timeout": "The model is slow to answer: try another one, or raise {first_token}.",
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
}
_KEYS: Final = {
    "url": "url",
    "model": "the model of the target",
    "finish": "require_finish",
    "first_token": "timeouts.first_token",
}


def advice(code: str, given: ProviderSettings, catalog: Catalog | None) -> str:
    """Return what to do about an error of a provider; empty if nothing is known."""
    text = ADVICE.get(code, "")
    if text:
        text += _OF_KIND.get((code, given.kind), "")
    by_file = catalog is not None and catalog.file is not None
    names = _KEYS if by_file else _VARIABLES
    where = f"{given.key_name} (.env)" if given.key_name.isupper() else given.key_name
    return text.format(
        key=where or f"key, key_env or key_file of the provider {given.name}", **names
    )
