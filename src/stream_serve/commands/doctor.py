"""`stream-serve doctor`: shows the configuration, tests the provider, and says what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from stream_serve import __version__
from stream_serve.events.types import Chunk, End, Error
from stream_serve.producers.provider import ChatRequest
from stream_serve.runs.spec import RunSpec
from stream_serve.settings import PLACEHOLDER_KEY

if TYPE_CHECKING:
    from rich.console import Console

    from stream_serve.producers.provider import Provider
    from stream_serve.runs.run import Run
    from stream_serve.runs.service import Runs
    from stream_serve.runs.subscription import Subscription
    from stream_serve.settings import Settings

QUESTION: Final = "Answer with the one word: ready"

ADVICE: Final = {
    "upstream_unreachable": "Check STREAM_SERVE_UPSTREAM_URL, the network, and any proxy or "
    "firewall between here and the provider.",
    "upstream_auth": "Put a valid key into .env. A DashScope key belongs to one region: keys of the "
    "international site need STREAM_SERVE_UPSTREAM_URL="
    "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    "upstream_rejected": "Check that STREAM_SERVE_MODEL is a model that this key may use.",
    "upstream_rate_limited": "Wait, or look at the quota and the bill in the provider's console.",
    "upstream_error": "The provider is in trouble: try again later, or look at its status page.",
    "upstream_protocol": "STREAM_SERVE_UPSTREAM_URL must be the base that ends before "
    "/chat/completions, often with /v1 at its end.",
    "upstream_disconnected": "Something between here and the provider cuts the connection: look for "
    "a proxy, or try again.",
    "upstream_incomplete": "The server ends its stream without a finish_reason: check that it really "
    "speaks OpenAI's protocol. If it never sends one, and ends whole answers with [DONE], set "
    "STREAM_SERVE_REQUIRE_FINISH=false.",
    "upstream_timeout": "The model is slow to answer: try another one, or raise "
    "STREAM_SERVE_FIRST_TOKEN_TIMEOUT.",
}


async def examine(runs: Runs, provider: Provider, settings: Settings, console: Console) -> bool:
    """Print the configuration and the answer to one short question; return whether it succeeded.

    Cancelled, it stops the run.
    """
    console.print(_configuration(settings))
    if settings.placeholder_key:
        console.print(
            f"The API key is the placeholder {PLACEHOLDER_KEY}, which counts as no key.",
            style="yellow",
        )
    if settings.provider() is None:
        console.print(
            "No provider is configured: the built-in demo model answers. Set DASHSCOPE_API_KEY, or "
            "STREAM_SERVE_UPSTREAM_URL and STREAM_SERVE_MODEL, in .env.",
            style="yellow",
        )
    request = ChatRequest(
        model=provider.model_for(None), messages=[{"role": "user", "content": QUESTION}], options={}
    )
    subscription = await runs.start(RunSpec.of(provider.ask(request)), owner=None)
    run = runs.get(subscription.run_id, owner=None)
    try:
        return await _show_result(subscription, run, console)
    finally:
        subscription.close()


async def _show_result(subscription: Subscription, run: Run, console: Console) -> bool:
    answer = ""
    async for event in subscription.events():
        match event:
            case Chunk(content):
                answer += content
            case End(finish_reason, usage):
                first = run.first_token_seconds
                console.print("The model answers.", style="green")
                console.print(Text(f"  answer       {_short(answer)!r} ({finish_reason})"))
                if first is not None:
                    console.print(f"  first token  {first * 1000:.0f} ms")
                console.print(f"  total        {run.seconds * 1000:.0f} ms")
                console.print(
                    f"  usage        {usage.prompt_tokens} + {usage.completion_tokens} tokens "
                    f"({usage.source})"
                )
                return True
            case Error():
                console.print(Text(f"{event.code}: {event.message}", style="red"))
                for name, value in (
                    ("provider's code", event.provider_code),
                    ("request id", event.request_id),
                    ("retry after", event.retry_after),
                ):
                    if value is not None:
                        console.print(Text(f"  {name}: {value}"))
                if advice := ADVICE.get(event.code):
                    console.print(Text(f"What to do: {advice}"))
            case _:
                pass
    return False


def _configuration(settings: Settings) -> Table:
    endpoint = settings.provider()
    table = Table(title=f"stream-serve {__version__}", title_justify="left", show_header=False)
    rows = {
        "provider": endpoint.url if endpoint is not None else "built-in demo model",
        "model": endpoint.model if endpoint is not None else "demo",
        "API key": "none" if endpoint is None or not endpoint.key else "set",
        "listens on": f"http://{settings.host}:{settings.port}",
        "keys for callers": str(len(settings.api_keys) or "none"),
        "timeouts": f"connect {settings.connect_timeout:g} s, first token "
        f"{settings.first_token_timeout:g} s, between tokens {settings.idle_timeout:g} s, "
        f"run {settings.run_timeout:g} s",
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"
