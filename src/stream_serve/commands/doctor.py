"""`stream-serve doctor`: shows the configuration, tests what it names, and says what to change.

It says which files and settings it has read, asks every provider one short question, and looks at Redis
and the database. It shows names and addresses, and never a key, a header's value or a query's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct
from rich.table import Table
from rich.text import Text

from stream_serve import __version__
from stream_serve.backends import access_of
from stream_serve.commands.advice import EMPTY, advice, said
from stream_serve.errors import RequestError, StreamServeError, UnknownModel
from stream_serve.events.types import Chunk, End, Error, Reasoning, ToolCall
from stream_serve.producers import http1
from stream_serve.producers.provider import ChatRequest, named
from stream_serve.runs.spec import RunSpec
from stream_serve.settings import PLACEHOLDER_KEY, Settings, explain_to_operator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from rich.console import Console

    from stream_serve.producers.provider import Model, Provider
    from stream_serve.runs.run import Run
    from stream_serve.runs.service import Runs
    from stream_serve.runs.subscription import Subscription
    from stream_serve.settings import Catalog, ProviderSettings

QUESTION: Final = "Answer with the one word: ready"
_SHORT: Final = 60
_ENOUGH: Final = 2_000
"""Characters after which an answer to the short question is stopped."""
_COLOUR: Final = {True: "green", False: "red"}


class Server(Protocol):
    """A provider that can say which models it has."""

    @property
    def chat_url(self) -> str:
        """Where questions go, fit to be shown."""
        ...

    async def list_models(self) -> list[Model]:
        """Ask it. Raises `UpstreamError`."""
        ...


class Subject(Struct, frozen=True):
    """A provider to ask a question: what was said about it, and the provider itself."""

    given: ProviderSettings
    provider: Provider
    server: Server


class Reply(Struct):
    """What has come of a question so far."""

    text: str = ""
    thought: str = ""
    called: str = ""
    end: End | None = None
    error: Error | None = None


class Doctor:
    """Examines a configuration, and prints what it finds to `console`."""

    def __init__(self, settings: Settings, console: Console, runs: Runs) -> None:
        self._settings = settings
        self._console = console
        self._runs = runs

    async def examine(
        self,
        subjects: Sequence[Subject],
        demo: Provider,
        others: Mapping[str, Callable[[], Awaitable[str]]],
    ) -> bool:
        """Examine everything; return whether all is well. Cancelled, it stops the run that it waits for.

        Without `subjects` the `demo` model answers. `others` are checks by what they look at: each
        returns what is true of it, and in further lines what may go wrong, or raises
        `StreamServeError`.
        """
        self._console.print(_configuration(self._settings))
        self._warn()
        fine = True
        for subject in subjects:
            fine &= await self._examine_provider(subject)
        if not subjects:
            fine &= await self._ask(demo, await demo.model_for(None), None)
        for name, check in others.items():
            fine &= await self._check(name, check)
        return fine

    def _warn(self) -> None:
        settings = self._settings
        for name, meant in Settings.unknown():
            hint = "" if meant is None else f": did you mean {meant}?"
            self._say(f"{name} is not a setting of this service{hint}", "yellow")
        if settings.placeholder_key:
            self._say(
                f"The API key is the placeholder {PLACEHOLDER_KEY}, which counts as no key.",
                "yellow",
            )
        if settings.unused_url and settings.catalog is not None:
            self._say(
                f"STREAM_SERVE_UPSTREAM_URL is not used: {settings.catalog.file} has the providers.",
                "yellow",
            )
        if settings.catalog is None:
            self._say(
                "No provider is configured: the built-in demo model answers. Set DASHSCOPE_API_KEY, or "
                "STREAM_SERVE_UPSTREAM_URL and STREAM_SERVE_MODEL, in .env; or name several providers in "
                "stream-serve.toml.",
                "yellow",
            )

    async def _examine_provider(self, subject: Subject) -> bool:
        """Show a provider, and ask it one question."""
        self._console.print()
        self._console.print(_described(subject))
        catalog = self._settings.catalog
        model = _model_of(subject.given, catalog)
        try:
            model = model or await subject.provider.model_for(None)
        except UnknownModel as error:
            # A provider that only answers to names that a request gives needs no default.
            needed = catalog is None or (
                subject.given.name == catalog.fallback and not catalog.default
            )
            self._say(explain_to_operator(error), "red" if needed else "yellow")
            return not needed
        except RequestError as error:
            self._say(explain_to_operator(error), "red")
            return False
        return await self._ask(subject.provider, model, subject)

    async def _ask(self, provider: Provider, model: str, subject: Subject | None) -> bool:
        request = ChatRequest(
            model=model, messages=[{"role": "user", "content": QUESTION}], options={}
        )
        subscription = await self._runs.start(RunSpec.of(provider.ask(request)), owner=None)
        run = self._runs.get(subscription.run_id, owner=None)
        try:
            reply = await self._listen(subscription)
        finally:
            subscription.close()
        if reply.error is not None:
            await self._show_failure(
                model, reply.error, subject, begun=run.first_token_seconds is not None
            )
        if reply.end is None:
            return False
        verdict = _verdict(reply, reply.end)
        self._say(
            verdict or "The model does not answer: it ends without a word.", _COLOUR[bool(verdict)]
        )
        self._show_answer(model, reply, reply.end, run)
        if not verdict and subject is not None:
            self._say(f"What to do: {said(EMPTY, subject.given, self._settings.catalog)}")
        return bool(verdict)

    async def _listen(self, subscription: Subscription) -> Reply:
        """Return what came of a question when its run is over; an answer without an end is stopped."""
        reply, stopped = Reply(), False
        async for event in subscription.events():
            match event:
                case Chunk(content):
                    reply.text += content
                case Reasoning(content):
                    reply.thought += content
                case ToolCall():
                    reply.called = reply.called or event.name
                case End():
                    reply.end = event
                case Error():
                    reply.error = event
                case _:
                    pass
            if not stopped and len(reply.text) + len(reply.thought) > _ENOUGH:
                stopped = True
                await self._runs.stop(subscription.run_id, owner=None)
        return reply

    def _show_answer(self, model: str, reply: Reply, end: End, run: Run) -> None:
        only_called = not reply.text and bool(reply.called)
        only_thought = not reply.text and bool(reply.thought) and not only_called
        usage, first = end.usage, run.first_token_seconds
        rows = {
            "model": model,
            "tool called" if only_called else "thought" if only_thought else "answer": (
                f"{_short(reply.called if only_called else reply.text or reply.thought)!r} "
                f"({end.finish_reason})"
            ),
            "first token": None if first is None else f"{first * 1000:.0f} ms",
            "total": f"{run.seconds * 1000:.0f} ms",
            "usage": f"{usage.prompt_tokens} + {usage.completion_tokens} tokens ({usage.source})",
        }
        self._show(rows)

    async def _show_failure(
        self, model: str, error: Error, subject: Subject | None, *, begun: bool
    ) -> None:
        self._say(f"{error.code}: {error.message}", "red")
        self._show(
            {
                "model": model,
                "URL asked": None if subject is None else f"POST {subject.server.chat_url}",
                "provider's code": error.provider_code,
                "request id": error.request_id,
                "retry after": None if error.retry_after is None else f"{error.retry_after:g} s",
                "models there": await _models_there(error, subject),
            }
        )
        if subject is not None and (
            text := advice(error, subject.given, self._settings.catalog, begun=begun)
        ):
            self._say(f"What to do: {text}")

    async def _check(self, name: str, check: Callable[[], Awaitable[str]]) -> bool:
        self._console.print()
        try:
            found, *doubts = (await check()).splitlines()
        except StreamServeError as error:
            self._say(f"{name}: {explain_to_operator(error)}", "red")
            return False
        self._say(f"{name}: {found}")
        for doubt in doubts:
            self._say(doubt, "yellow")
        return True

    def _show(self, rows: Mapping[str, str | None]) -> None:
        for name, value in rows.items():
            if value is not None:
                self._say(f"  {name:<16} {value}")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style))


def _verdict(reply: Reply, end: End) -> str:
    """Return what is true of an answer that ended; empty if it has nothing in it."""
    if end.finish_reason == "stopped":
        return "The model answers: it went on and on, so it was stopped."
    if reply.text:
        return "The model answers."
    if end.finish_reason == "tool_calls":
        return "The model answers: it calls a tool, though it was given none."
    if reply.thought:
        return "The model answers: it has only thought so far."
    if end.finish_reason == "content_filter":
        return "The model answers: a filter of the provider's has kept its words back."
    return ""


async def _models_there(error: Error, subject: Subject | None) -> str | None:
    """Return which models a provider has that refused a question, if it says so."""
    if subject is None or error.code != "upstream_rejected":
        return None
    try:
        return named(one.name for one in await subject.server.list_models()) or "none"
    except StreamServeError:
        return None


def _model_of(given: ProviderSettings, catalog: Catalog | None) -> str:
    """Return the name that a provider knows the model by that is to be asked; empty: ask it."""
    if catalog is None:
        return ""
    models = sorted(catalog.models, key=lambda one: one.name != catalog.default)
    targets = [one.targets[0] for one in models if one.targets[0].provider == given.name]
    if targets:
        return targets[0].model
    return catalog.default if given.name == catalog.fallback else ""


def _configuration(settings: Settings) -> Table:
    catalog, waits = settings.catalog, settings
    files = [".env" if Path(".env").is_file() else "no .env"]
    files.append(catalog.file if catalog and catalog.file else "no stream-serve.toml")
    given = [f"{name} ({source})" for name, source in Settings.given()]
    return _table(
        f"stream-serve {__version__}",
        {
            "files read": ", ".join(files),
            "settings read": "\n".join(given) or "none",
            "providers": "built-in demo model"
            if catalog is None
            else ", ".join(one.name for one in catalog.providers),
            "default model": "demo"
            if catalog is None
            else catalog.default or "none is configured: the provider is asked",
            "listens on": f"http://{settings.host}:{settings.port}",
            "keys for callers": str(len(settings.api_keys) or "none"),
            "timeouts": f"connect {waits.connect_timeout:g} s, first token "
            f"{waits.first_token_timeout:g} s, between tokens {waits.idle_timeout:g} s, "
            f"run {waits.run_timeout:g} s",
        },
    )


def _described(subject: Subject) -> Table:
    given = subject.given
    proxy = access_of(given).proxy
    return _table(
        f"provider {given.name}",
        {
            "kind": given.kind,
            "URL": subject.server.chat_url,
            "API key": f"set ({given.key_name})" if given.key else "none",
            "headers": ", ".join(given.headers) or None,
            "body": ", ".join(given.body) or None,
            "set otherwise": ", ".join(f"{key} = {value}" for key, value in given.traits.items())
            or None,
            "proxy": None if proxy is None else str(http1.Proxy.of(proxy)),
            "certificates": ", ".join(filter(None, (given.ca_file, given.client_cert))) or None,
        },
    )


def _table(title: str, rows: Mapping[str, str | None]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, Text(value))
    return table


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else text[:_SHORT] + "…"
