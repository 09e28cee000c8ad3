"""The JSON of a chat completion's chunks, and its decoder.

Fields whose type differs between servers are `object`: decoding them costs nothing more, and an odd one
does not cost the others. `odd` decodes what does not fit all the same, such as a number in the place of a
text, which counts as it is written.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

DONE: Final = b"[DONE]"
Said = str | list[Any] | dict[str, Any] | None
"""What a model says: a text, or parts of one."""


class WireDelta(Struct, gc=False):
    """`choices[0].delta`."""

    content: Said = None
    reasoning_content: Said = None
    reasoning: Said = None
    reasoning_details: object = None
    refusal: Said = None
    text: Said = None
    error: Any = None


class WireChoice(Struct, gc=False):
    """One of the `choices`. OpenRouter sends `error` with the finish_reason "error"."""

    delta: WireDelta | None = None
    error: Any = None
    finish_reason: object = None
    index: object = 0
    message: WireDelta | None = None
    text: Said = None
    content: Said = None
    usage: object = None


class WireChunk(Struct, gc=False):
    """The `data` of one event. When the provider fails, `error` replaces the other fields.

    `base_resp` is MiniMax's status, which may be in every chunk, also when there is no error.
    """

    choices: list[WireChoice] | None = None
    usage: object = None
    error: Any = None
    base_resp: Any = None
    request_id: str | None = None
    timings: object = None
    x_groq: object = None


decode: Final = msgspec.json.Decoder(WireChunk).decode
"""Decode a usual chunk. Raises what `FAILED` has for all others."""

FAILED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
