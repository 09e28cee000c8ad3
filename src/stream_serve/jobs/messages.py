"""What a job says, as the messages of its stream: JSON in bytes, one event each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

Reason = Literal["completed", "failed", "stopped"]
"""How a job may say that it ended; `lost` is said for it."""

MAX_WORDS: Final = 1_000
"""So many characters of an error's words are shown: enough for a sentence, and no page of a server."""

_TEXTS: Final = (b'{"type":"log",', b'{"type":"chunk",')
_encode: Final = msgspec.json.Encoder().encode


def log(content: str, *, source: str | None = None, partial: bool = False) -> bytes:
    """Return a line of a log. `partial`: it goes on in the next one of the same source."""
    said: dict[str, object] = {"type": "log", "content": _text(content)}
    if source is not None:
        said["source"] = _text(source)
    if partial:
        said["partial"] = True
    return _encode({**said, "at": _now()})


def progress(value: float, content: str | None = None) -> bytes:
    """Return how far the job is, from 0 to 1; what is beyond is taken as that. Raises `ValueError`."""
    if value != value:  # noqa: PLR0124 - only so is it told from all numbers
        raise ValueError("value: it should be a number from 0 to 1")
    said: dict[str, object] = {"type": "progress", "value": min(1.0, max(0.0, value))}
    if content is not None:
        said["content"] = _text(content)
    return _encode({**said, "at": _now()})


def data(content: Any) -> bytes:
    """Return anything that JSON can say. Raises `TypeError`, `ValueError` for what it cannot."""
    said = _encode({"type": "data", "data": content, "at": _now()})
    # Only what is given as JSON already can have a line feed, which ends a message.
    return msgspec.json.format(said, indent=-1) if b"\n" in said else said


def chunk(content: str) -> bytes:
    """Return a piece of a text, as a model's answer has them."""
    return _encode({"type": "chunk", "content": _text(content)})


def end(reason: Reason, *, exit_code: int | None = None, error: str | None = None) -> bytes:
    """Return the last message."""
    said: dict[str, object] = {"type": "end", "finishReason": reason}
    if exit_code is not None:
        said["exitCode"] = exit_code
    if error is not None:
        said["error"] = _text(error)[:MAX_WORDS]
    return _encode({**said, "at": _now()})


def halves(message: bytes) -> tuple[bytes, bytes] | None:
    """Return a text as two messages, of which a reader makes the same text again; None for what is no
    text, or cannot be less."""
    if not message.startswith(_TEXTS):
        return None
    said: dict[str, Any] = msgspec.json.decode(message)
    content: str = said["content"]
    middle = len(content) // 2
    if not middle:
        return None
    goes_on = {"partial": True} if said["type"] == "log" else {}
    first = _encode({**said, "content": content[:middle], **goes_on})
    return first, _encode({**said, "content": content[middle:]})


def words_of(error: BaseException) -> str:
    """Return an exception in words, without its traceback."""
    words = str(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(text: str) -> str:
    """Return a text as UTF-8 can say it: a file's name may hold what it cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
