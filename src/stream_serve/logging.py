"""Logging: structlog for our lines and those of libraries, as JSON or with colours on a terminal.

Tracebacks never show local variables, because these may contain keys or the text of messages.

The line of a run is as frequent as runs are, and all of them have the same shape. So `LineHandler.write`
takes it past structlog, as a struct which is encoded at once, and those of one turn of the event loop go
out together.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, TextIO

import msgspec
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Struct

    Write = Callable[[str, Struct], None]

_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines to standard error, in the order in which they were logged."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[bytes] = []

    def write(self, event: str, fields: Struct) -> None:
        """Log a line of the level INFO as JSON, from the event loop, at whose next turn it goes out."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._catch_up)
        time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        said = b'%b,"event":"%b","level":"info","timestamp":"%b"}\n'
        self._lines.append(said % (msgspec.json.encode(fields)[:-1], event.encode(), time.encode()))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and before it what was logged before it."""
        self._catch_up()
        super().emit(record)

    def flush(self) -> None:
        """Write what has not been written."""
        self._catch_up()
        super().flush()

    def _catch_up(self) -> None:
        """Write the lines that wait; where standard error is gone they are lost, as all others are."""
        self.acquire()
        try:
            waiting = len(self._lines)  # meanwhile, another thread may log one more
            text = b"".join(self._lines[:waiting]).decode()
            del self._lines[:waiting]
            if text:
                with suppress(OSError, ValueError):
                    self.stream.write(text)
        finally:
            self.release()


def configure(level: str, style: Literal["auto", "json", "console"]) -> Write | None:
    """Set up logging for this process, to standard error.

    `level` is the lowest level that is logged. With the style "auto" a terminal gets colours, everything
    else JSON. Returns what writes frequent lines as JSON, `LineHandler.write`; None where they are logged
    like all others, or not at all.
    """
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if console:
        render: list[structlog.typing.Processor] = [
            _escape_control,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    else:
        render = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = LineHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "alembic"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.WARNING)
    return None if console or root.level > logging.INFO else handler.write


def hand_on() -> None:
    """Give our lines to the logging of the application around us, unless that has set up structlog.

    structlog's own default shows the local variables of a traceback.
    """
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.contextvars.merge_contextvars,
                _say,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )


def _say(
    logger: object, name: str, event: structlog.typing.EventDict
) -> tuple[tuple[str, str], dict[str, object]]:
    """Return what the standard library's logger is given: one line of text, and the exception."""
    del logger, name
    given = {"exc_info": event.pop("exc_info", None)}
    said = [str(event.pop("event")), *(f"{key}={value!r}" for key, value in event.items())]
    return ("%s", " ".join(said)), given


def _escape_control(
    logger: object, name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escape control characters in values, which may come from requests, before a terminal gets them."""
    del logger, name
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
    return event
