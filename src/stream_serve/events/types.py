"""The events of a run, as they go out: frozen values, one class for each `type`.

The types `start`, `chunk`, `end` and `error` are the article's; `reasoning` is ours, and a client
that was written for the article ignores it. Every run has one `start`, any number of `chunk` and
`reasoning`, and one terminal event, which is the last: `end` or `error`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from stream_serve.errors import RunFailure

ERROR_TITLE: Final = "服务器内部错误"
"""The article's text for `error.error`, the same for every failure; `code` tells them apart."""


class Usage(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Tokens that the run used. `source` says who counted: the provider, or we from the text."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    source: Literal["provider", "estimated"]
    reasoning_tokens: int | None = None


class Start(Struct, frozen=True, rename="camel", tag_field="type", tag="start", omit_defaults=True):
    """The run has begun; the provider has not answered yet.

    In a conversation it names the conversation, the user message and the answer that it becomes.
    """

    run_id: str
    model: str
    conversation_id: str | None = None
    user_message_id: str | None = None
    message_id: str | None = None


class Chunk(Struct, frozen=True, tag_field="type", tag="chunk", gc=False):
    """A piece of the answer's text, often several tokens."""

    content: str


class Reasoning(Struct, frozen=True, tag_field="type", tag="reasoning", gc=False):
    """A piece of what a thinking model thinks before it answers."""

    content: str


_SAVED: Final = "in a conversation: whether the answer is stored by now; else it is absent"


class End(Struct, frozen=True, rename="camel", tag_field="type", tag="end", omit_defaults=True):
    """The run ended well, or was stopped.

    `provider_finish_reason` is there only where the provider used another word than the documented one.
    A word that nobody knows is a `stop`: the provider said that the answer ended, and not why.
    """

    finish_reason: Annotated[
        str,
        Meta(
            description="stop, length, content_filter, tool_calls, or stopped (by a stop).",
            examples=["stop", "length", "content_filter", "tool_calls", "stopped"],
            extra_json_schema={
                "enum": ["stop", "length", "content_filter", "tool_calls", "stopped"]
            },
        ),
    ]
    usage: Usage
    saved: Annotated[bool, Meta(description=_SAVED)] | None = None
    provider_finish_reason: (
        Annotated[
            str,
            Meta(
                description="the provider's own word, where it is not finishReason: such as "
                "end_turn or MAX_TOKENS, or one that is not known (finishReason is stop then). "
                "At most 100 characters, without control characters."
            ),
        ]
        | None
    ) = None


class Error(Struct, frozen=True, rename="camel", tag_field="type", tag="error", omit_defaults=True):
    """The run ended badly; the text so far stays valid."""

    error: str
    message: str
    code: str
    retryable: bool
    retry_after: Annotated[float, Meta(description="seconds")] | None = None
    provider_code: Annotated[str, Meta(description="the provider's own code")] | None = None
    request_id: Annotated[str, Meta(description="the provider's id of the request")] | None = None
    saved: Annotated[bool, Meta(description=_SAVED)] | None = None

    @classmethod
    def of(cls, failure: RunFailure, *, saved: bool | None = None) -> Error:
        """Describe a failure to the readers of the run."""
        return cls(
            error=ERROR_TITLE,
            message=str(failure),
            code=failure.code,
            retryable=failure.retryable,
            retry_after=failure.retry_after,
            provider_code=failure.provider_code,
            request_id=failure.request_id,
            saved=saved,
        )


Delta = Chunk | Reasoning
"""What a provider's answer is made of."""

Event = Start | Chunk | Reasoning | End | Error

encode = msgspec.json.Encoder().encode
"""Give an event as JSON bytes: UTF-8, one line, nothing that could end an SSE line."""
