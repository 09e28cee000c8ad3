"""`stream-serve chat`: asks one question in this process and streams the answer to the terminal.

The answer goes to standard output, everything else (thinking, tool calls, sources, usage, errors) to
standard error. A tool call is only shown. Ctrl+C stops the generation, not only the display. Control
characters in the model's text never reach a terminal, where they could move the cursor, change the title,
or worse.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console

from stream_serve.events import plain
from stream_serve.events.transcript import Transcript
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Reasoning,
    Source,
    ToolArguments,
    ToolCall,
)
from stream_serve.runs.spec import RunSpec

if TYPE_CHECKING:
    from stream_serve.producers.base import Producer
    from stream_serve.runs.service import Runs
    from stream_serve.runs.subscription import Subscription
    from stream_serve.runs.view import Receipt

EXIT_FAILED: Final = 1
EXIT_STOPPED: Final = 130


async def chat(runs: Runs, producer: Producer) -> int:
    """Run `producer` and print its answer; return 0, `EXIT_FAILED`, or `EXIT_STOPPED` after Ctrl+C.

    A closed standard output counts as a stop. Cancelled, it stops the run.
    """
    notes = Console(stderr=True, highlight=False, markup=False)
    subscription = await runs.start(RunSpec.of(producer), owner=None)
    stopping: list[asyncio.Task[Receipt]] = []

    def stop() -> None:
        stopping.append(asyncio.create_task(runs.stop(subscription.run_id, owner=None)))

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stop)
    try:
        code = await _show(subscription, notes)
        for receipt in await asyncio.gather(*stopping):
            notes.print(_receipt_line(receipt), style="dim")
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        subscription.close()
    return code


async def _show(subscription: Subscription, notes: Console) -> int:
    thinking = False
    called = Transcript()
    async for event in subscription.events():
        match event:
            case ToolCall() | ToolArguments():
                called.add((event,))
            case Source(url, title):
                notes.print(f"[source] {plain.line(title or '')} {plain.line(url)}", style="dim")
            case Reasoning(content):
                thinking = True
                notes.print(_plain(content, sys.stderr), style="dim italic", end="")
            case Chunk(content):
                if thinking:
                    notes.print("\n")
                    thinking = False
                with suppress(BrokenPipeError):
                    sys.stdout.write(_plain(content, sys.stdout))
                    sys.stdout.flush()
                    continue
                return EXIT_STOPPED
            case End(finish_reason, usage):
                sys.stdout.write("\n")
                _show_calls(called, notes)
                notes.print(
                    f"[{finish_reason}] {usage.prompt_tokens} + {usage.completion_tokens} tokens "
                    f"({usage.source})",
                    style="dim",
                )
                return EXIT_STOPPED if finish_reason == "stopped" else 0
            case Error():
                sys.stdout.write("\n")
                _show_calls(called, notes)
                notes.print(f"{event.code}: {event.message}", style="red")
            case _:
                pass
    return EXIT_FAILED


def _show_calls(called: Transcript, notes: Console) -> None:
    """Say which tools the model calls, each on a line of its own."""
    for call in called.tool_calls:
        notes.print(f"[tool call] {call.name}({plain.line(call.arguments)})", style="cyan")


def _plain(text: str, stream: TextIO) -> str:
    return plain.printable(text) if stream.isatty() else text


def _receipt_line(receipt: Receipt) -> str:
    closed = {True: "closed", False: "open", None: "none"}[receipt.upstream_closed]
    return f"stopped in {receipt.latency_ms:.1f} ms, connection to the provider: {closed}"
