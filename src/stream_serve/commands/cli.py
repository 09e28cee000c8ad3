"""The command `stream-serve`: serve (the default), chat, run, models, doctor, migrate.

Each command imports its own modules, so that `--version` is quick and only `serve` loads the web room.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, NoReturn

import typer

from stream_serve import __version__
from stream_serve.errors import HistoryError, RequestError, SettingsError

app = typer.Typer(
    help="AI streaming chat over Server-Sent Events, with a stop that really stops.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

_VERSION = f"stream-serve {__version__}"
_NUMBER = "NUMBER"  # read by the settings, whose words say what is wrong with one
_OWN_OPTIONS = {"--version", "--help"}

LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]


def main() -> None:
    """Run the command; options without a command belong to `serve`.

    Exits with code 2 for wrong settings, and for a database that cannot be used.
    """
    if sys.argv[1:] == ["--version"]:  # typer would take three times as long
        typer.echo(_VERSION)
        return
    if len(sys.argv) > 1 and sys.argv[1].startswith("-") and sys.argv[1] not in _OWN_OPTIONS:
        sys.argv.insert(1, "serve")
    try:
        app()
    except (SettingsError, HistoryError, RequestError) as error:
        from stream_serve.settings import explain_to_operator

        _refuse(explain_to_operator(error))


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Serve, unless another command is named."""
    if version:
        typer.echo(_VERSION)
        raise typer.Exit
    if context.invoked_subcommand is None:
        serve()


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).")] = None,
    port: Annotated[
        str | None, typer.Option(metavar=_NUMBER, help="Port to listen on (3000); 0: any.")
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(metavar=_NUMBER, help="Processes that serve (1); more than one need Redis."),
    ] = None,
    reload: Annotated[bool, typer.Option(help="Start again when a source file changes.")] = False,
    log_level: LogLevel = None,
    allow_anonymous: Annotated[
        bool, typer.Option(help="Listen on other addresses without API keys.")
    ] = False,
) -> None:
    """Serve the chat page, the debug page and the API."""
    from stream_serve.server.loading import load_libraries

    load_libraries()
    from stream_serve.server import roles
    from stream_serve.settings import Settings

    settings = Settings.load(
        called="--{}",
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
        allow_anonymous=allow_anonymous or None,
    )
    if reload:
        roles.serve_reloading(settings)
    else:
        roles.serve(settings)


@app.command()
def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="The message; without one, standard input is read.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to ask.")] = None,
    thinking: Annotated[
        bool | None, typer.Option(help="Turn the thinking of a model on or off.")
    ] = None,
) -> None:
    """Ask one question and stream the answer; Ctrl+C stops the generation."""
    from stream_serve import logging
    from stream_serve.backends import local_runs
    from stream_serve.commands.chat import chat as show
    from stream_serve.producers.provider import ChatRequest
    from stream_serve.settings import Settings

    settings = Settings.load()
    message = prompt if prompt is not None else _read_input()
    for name, text in (("prompt", message), ("system prompt", system), ("model", model)):
        if text is not None and any("\ud800" <= letter <= "\udfff" for letter in text):
            _refuse(f"the {name} is not UTF-8")
    if not message.strip():
        _refuse('nothing to ask: give a prompt, as in: stream-serve chat "Hello"')
    options: dict[str, object] = {} if thinking is None else {"enable_thinking": thinking}
    logging.configure("error", settings.log_format)

    async def ask() -> int:
        async with local_runs(settings) as (runs, provider):
            request = ChatRequest(
                model=await provider.model_for(model),
                messages=[
                    {"role": "system", "content": system or settings.system_prompt},
                    {"role": "user", "content": message},
                ],
                options=options,
            )
            for reason in provider.unsupported(request).values():
                _refuse(f"--thinking: {reason}")
            return await show(runs, provider.ask(request))

    raise typer.Exit(asyncio.run(ask()))


@app.command(
    name="run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
def wrap(  # noqa: PLR0913, PLR0917 - each is an option
    command: Annotated[list[str], typer.Argument(help="The command, and what it is given.")],
    stream: Annotated[str, typer.Option(help="The stream's name, such as job-42.")],
    url: Annotated[
        str | None,
        typer.Option(help="A running service; without it, the streams of this folder's settings."),
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The variable that has the API key (STREAM_KEY)."),
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds between SIGTERM and SIGKILL, after a stop.")
    ] = 10.0,
    lease: Annotated[
        float, typer.Option(min=1, max=86_400, help="Seconds until a silent job is lost.")
    ] = 30.0,
    again: Annotated[
        bool, typer.Option("--again", help="Begin a stream anew that has ended.")
    ] = False,
) -> None:
    """Run a command, whose output becomes a stream; exits as it does."""
    from stream_serve.commands import places
    from stream_serve.commands.run import Wrapping, run
    from stream_serve.errors import StreamServeError
    from stream_serve.jobs.errors import JobEnded
    from stream_serve.settings import explain_to_operator, without

    def explain(error: StreamServeError) -> str:
        if url is None or isinstance(error, SettingsError):
            return explain_to_operator(error)
        from stream_serve.commands import remote

        return remote.explain(error, url, key_env)

    async def watch() -> int:
        if url is None:
            connect = places.connect(stream, key_env)
        else:
            from stream_serve.commands import remote

            connect = remote.connect(url, stream, places.key_in(key_env))
        how = Wrapping(name=stream, again=again, grace=grace, lease=lease, explain=explain)
        return await run(connect, command, without(key_env or places.KEY), how)

    try:
        code = asyncio.run(watch())
    except JobEnded:
        _refuse(f"the stream {stream} has ended: use another name, or begin it anew with --again")
    except ModuleNotFoundError as error:
        if error.name != "httpx2":
            raise
        _refuse("--url needs the extra client: install stream-serve[client]")
    except (StreamServeError, ValueError) as error:
        _refuse(explain(error) if isinstance(error, StreamServeError) else str(error))
    raise typer.Exit(code)


@app.command(name="migrate")
def bring_up_to_date() -> None:
    """Migrate the schema of the conversations' database."""
    from stream_serve.backends import migrate
    from stream_serve.settings import Settings

    settings = Settings.load()
    asyncio.run(migrate(settings))
    typer.echo("the schema is up to date")


@app.command(name="models")
def list_models() -> None:
    """List the models that callers may ask for; a provider without a configured one is asked."""
    from rich.console import Console

    from stream_serve import logging
    from stream_serve.backends import create_provider
    from stream_serve.commands import models
    from stream_serve.settings import Settings

    settings = Settings.load()
    logging.configure("error", settings.log_format)

    async def show() -> bool:
        provider = create_provider(settings)
        try:
            console = Console(highlight=False, markup=False)
            return await models.show(provider, settings, console)
        finally:
            await provider.close()

    raise typer.Exit(0 if asyncio.run(show()) else 1)


@app.command(name="doctor")
def examine() -> None:
    """Show the configuration, ask every provider one short question, look at Redis and the database."""
    from contextlib import AsyncExitStack
    from functools import partial

    from rich.console import Console

    from stream_serve import logging
    from stream_serve.backends import (
        check_database,
        check_redis,
        check_streams,
        create_each,
        local_runs,
    )
    from stream_serve.commands.doctor import Doctor, Subject
    from stream_serve.settings import Settings

    settings = Settings.load()
    logging.configure("error", settings.log_format)
    others = {
        "Redis": partial(check_redis, settings),
        "conversations": partial(check_database, settings),
        "streams": partial(check_streams, settings),
    }

    async def ask() -> bool:
        async with AsyncExitStack() as last:
            runs, demo = await last.enter_async_context(local_runs(settings))
            subjects = [Subject(*one) for one in create_each(settings)]
            for one in subjects:
                last.push_async_callback(one.provider.close)
            console = Console(highlight=False, markup=False)
            return await Doctor(settings, console, runs).examine(subjects, demo, others)

    raise typer.Exit(0 if asyncio.run(ask()) else 1)


def _read_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        _refuse("standard input is not UTF-8")


def _refuse(message: str) -> NoReturn:
    typer.echo(f"stream-serve: {message}", err=True)
    raise SystemExit(2)
