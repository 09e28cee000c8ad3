"""Messages of JSON streams: Durable Streams 1.0, section 9.1, "JSON Mode".

How it works: each message is kept as its JSON without spaces, and a line feed after it. No message has a
line feed inside (RFC 8259, section 7: in texts it is escaped), so that boundaries are found by looking
for them, and a read is only a replacement of bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from stream_serve.errors import BadRequest

END: Final = b"\n"
MAX_MESSAGES: Final = 100_000
"""In one append: each costs its writer and each reader more than its bytes."""

_LIST: Final = b"["
_SPACES: Final = b" \t\r\n"
_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode


def pack(body: bytes) -> bytes:
    """Return the messages of a body as they are kept: those of an array, or one.

    An empty array has none. Raises `BadRequest` for what is not JSON, and for more than `MAX_MESSAGES`.
    """
    try:
        if not body.isascii():
            body.decode()
        if body.lstrip(_SPACES).startswith(_LIST):
            # Of an array's elements, each is a message: one level is flattened (9.1.2).
            messages = _decode(msgspec.json.format(body, indent=-1))
            if len(messages) > MAX_MESSAGES:
                raise BadRequest(f"an append may have at most {MAX_MESSAGES} messages: divide it")
            return END.join([*messages, b""])
        return msgspec.json.format(body, indent=-1) + END
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {_reason(error)}") from None


def unpack(data: bytes) -> bytes:
    """Return kept messages as one JSON array."""
    return b"[" + data[:-1].replace(END, b",") + b"]"


def after(data: bytes, count: int) -> int | None:
    """Return the place behind `count` messages; None if there are not as many."""
    if data.count(END) < count:
        return None
    place = 0
    for _ in range(count):
        place = data.find(END, place) + 1
    return place


def whole(data: bytes) -> int:
    """Return how many bytes of a text end with a whole character of UTF-8.

    What is no UTF-8 at all is whole as it is.
    """
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if size > back else len(data)
    return len(data)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return str(error).removeprefix("JSON is malformed: ")
