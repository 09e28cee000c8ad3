"""The command `stream-serve`: serve (the default), chat, doctor."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from stream_serve import __version__
from stream_serve import logging as logs
from stream_serve.app import create_runs, migrate
from stream_serve.commands import chat as terminal
from stream_serve.commands import doctor
from stream_serve.errors import HistoryError, SettingsError
from stream_serve.producers.base import ChatRequest
from stream_serve.server import lifetime as server
from stream_serve.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stream_serve.runs.service import Runs

app = typer.Typer(
    help="AI streaming chat over Server-Sent Events, with a stop that really stops.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

_OWN_OPTIONS = {"--version", "--help"}

LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]


def main() -> None:
    """Run the command; options without a command are those of `serve`."""
    if len(sys.argv) > 1 and sys.argv[1].startswith("-") and sys.argv[1] not in _OWN_OPTIONS:
        sys.argv.insert(1, "serve")
    try:
        app()
    except (SettingsError, HistoryError) as error:
        _refuse(str(error))


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Serve, unless another command is named."""
    if version:
        typer.echo(f"stream-serve {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        server.serve(Settings.load())


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (3000); 0: any.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that serve (1); more than one need Redis.")
    ] = None,
    reload: Annotated[bool, typer.Option(help="Start again when a source file changes.")] = False,
    log_level: LogLevel = None,
    allow_anonymous: Annotated[
        bool, typer.Option(help="Listen on other addresses without API keys.")
    ] = False,
) -> None:
    """Serve the API and the debug page."""
    settings = Settings.load(
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
        allow_anonymous=allow_anonymous or None,
    )
    if reload:
        server.serve_reloading(settings)
    else:
        server.serve(settings)


@app.command()
def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="The message; without one, standard input is read.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to ask.")] = None,
    thinking: Annotated[
        bool | None, typer.Option(help="Let a thinking model think first, or not.")
    ] = None,
) -> None:
    """Ask one question and stream the answer; Ctrl+C stops the generation."""
    settings = Settings.load()
    message = prompt if prompt is not None else _read_input()
    if not message.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in message):
        _refuse("the prompt is not UTF-8")
    if not message.strip():
        _refuse('nothing to ask: give a prompt, as in: stream-serve chat "Hello"')
    options: dict[str, object] = {} if thinking is None else {"enable_thinking": thinking}

    async def ask() -> int:
        async with _runs(settings) as runs:
            request = ChatRequest(
                model=runs.model_for(model),
                messages=[
                    {"role": "system", "content": system or settings.system_prompt},
                    {"role": "user", "content": message},
                ],
                options=options,
            )
            return await terminal.chat(runs, request)

    raise typer.Exit(asyncio.run(ask()))


@app.command(name="migrate")
def bring_up_to_date() -> None:
    """Bring the schema of the conversations' database up to date."""
    settings = Settings.load()
    asyncio.run(migrate(settings))
    typer.echo("the schema is up to date")


@app.command(name="doctor")
def examine() -> None:
    """Say what is configured, reach the provider, stream one short answer."""
    settings = Settings.load()

    async def ask() -> bool:
        async with _runs(settings) as runs:
            return await doctor.examine(runs, settings, Console(highlight=False, markup=False))

    raise typer.Exit(0 if asyncio.run(ask()) else 1)


@asynccontextmanager
async def _runs(settings: Settings) -> AsyncGenerator[Runs]:
    """Give the runs of a command; only defects are logged."""
    logs.configure("error", settings.log_format)
    runs = create_runs(settings)
    try:
        yield runs
    finally:
        await runs.close()


def _read_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        _refuse("standard input is not UTF-8")


def _refuse(message: str) -> NoReturn:
    typer.echo(f"stream-serve: {message}", err=True)
    raise SystemExit(2)
