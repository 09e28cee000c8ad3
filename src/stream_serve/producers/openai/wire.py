"""The JSON of a chat completion's chunks, and the decoders for it.

How it works: nearly every chunk of a stream has one choice with a piece of text, of thinking or of a tool
call, and nothing else. `decode_usual` takes those, at the speed of C: all other fields must be null or
empty in them, and there may be no field in the choice or its delta that is not listed. `decode_plain`
takes the chunks at a stream's beginning and end, with no field at all that is not listed. `decode_any`
takes any JSON; `odd` makes the same values of it. Fields whose type differs between servers are `object`:
an odd one does not cost the others. A number in the place of a text counts as it is written.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

DONE: Final = b"[DONE]"
Said = str | list[Any] | dict[str, Any] | None
"""What a model says: a text, or parts of one."""

_Empty = Literal[""] | None
_NoItems = Annotated[list[Any], Meta(max_length=0)] | None
_NoFields = Annotated[dict[str, Any], Meta(max_length=0)] | None


class WireDelta(Struct, gc=False):
    """`choices[0].delta`."""

    content: object = None
    reasoning_content: object = None
    reasoning: object = None
    reasoning_details: object = None
    refusal: object = None
    text: object = None
    error: Any = None
    tool_calls: object = None
    function_call: object = None


class WireChoice(Struct, gc=False):
    """One of the `choices`. OpenRouter sends `error` with the finish_reason "error".

    `fields` has all of its fields as they came, where they are not the usual ones.
    """

    delta: WireDelta | None = None
    error: Any = None
    finish_reason: object = None
    index: object = 0
    message: WireDelta | None = None
    text: object = None
    content: object = None
    usage: object = None
    fields: dict[str, Any] | None = None


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


class UsualDelta(Struct, gc=False, forbid_unknown_fields=True):
    """The delta of a usual chunk: it has every field of a `WireDelta` that is read."""

    content: Said = None
    reasoning_content: Said = None
    reasoning: Said = None
    text: _Empty = None
    role: object = None
    name: object = None
    obfuscation: object = None
    reasoning_details: _NoItems = None
    refusal: _Empty = None
    error: None = None
    tool_calls: object = None
    function_call: None = None
    tool_call_id: _Empty = None
    annotations: _NoItems = None
    audio: None = None
    audio_content: _Empty = None
    images: _NoItems = None
    provider_specific_fields: None = None


class UsualChoice(Struct, gc=False, forbid_unknown_fields=True):
    """The one choice of a usual chunk, which neither ends the answer nor brings anything else."""

    delta: UsualDelta | None = None
    error: None = None
    finish_reason: _Empty = None
    index: object = 0
    message: None = None
    text: _Empty = None
    content: _Empty = None
    usage: None = None
    logprobs: None = None
    stop_reason: None = None
    matched_stop: None = None
    token_ids: _NoItems = None
    native_finish_reason: None = None
    content_filter_results: object = None


class UsualChunk(Struct, gc=False):
    """A usual chunk. `usage` and `timings` may count as they go."""

    choices: Annotated[list[UsualChoice], Meta(min_length=1, max_length=1)]
    usage: object = None
    error: None = None
    base_resp: None = None
    timings: object = None
    x_groq: None = None
    citations: _NoItems = None
    search_results: _NoItems = None
    search_info: _NoFields = None


class PlainChoice(Struct, gc=False, forbid_unknown_fields=True):
    """The choice of a plain chunk, which may end the answer."""

    delta: UsualDelta | None = None
    finish_reason: Literal["", "stop", "length"] | None = None
    index: object = 0
    error: None = None
    usage: None = None
    logprobs: None = None
    stop_reason: None = None
    matched_stop: None = None


class PlainChunk(Struct, gc=False, forbid_unknown_fields=True):
    """A usual chunk as the first or the last one, or the usage after it: it says nothing but that."""

    choices: Annotated[list[PlainChoice], Meta(max_length=1)]
    usage: dict[str, Any] | None = None
    id: Any = None
    object: Any = None
    created: Any = None
    model: Any = None
    error: None = None
    system_fingerprint: _Empty = None
    service_tier: _Empty = None


AnyDelta = WireDelta | UsualDelta


def has_text(delta: AnyDelta) -> bool:
    """Return whether a delta contains a part of the answer."""
    return bool(
        delta.content
        or delta.text
        or delta.refusal
        or delta.reasoning_content
        or delta.reasoning
        or delta.reasoning_details
    )


def is_beside(choice: WireChoice) -> bool:
    """Return whether a choice has a message beside its delta, and is not the last one."""
    delta = choice.delta
    if delta is None or choice.finish_reason:
        return False
    return has_text(delta) or bool(delta.tool_calls)


decode_usual: Final = msgspec.json.Decoder(UsualChunk).decode
"""Decode a usual chunk. Raises what `FAILED` has for all others."""

decode_plain: Final = msgspec.json.Decoder(PlainChunk).decode
"""Decode a plain chunk. Raises as `decode_usual` does."""

decode_any: Final = msgspec.json.Decoder().decode
"""Decode any JSON. Raises what `FAILED` has for what is none."""

FAILED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
