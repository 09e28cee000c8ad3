"""The events of a run: frozen values, one class for each `type`.

Every run has one `start`, any number of deltas (`chunk`, `reasoning`, `tool_call`, `tool_arguments`,
`source`, `extra`), and one terminal event, which is the last: `end` or `error`. Their JSON is the
service's native format; see `codec`. Every other dialect is a translation of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from stream_serve.events import plain

if TYPE_CHECKING:
    from stream_serve.errors import RunFailure

_MAX_MESSAGE: Final = 2000
_MAX_WORD: Final = 128


class MessageRef(Struct, frozen=True, kw_only=True):
    """Where an answer is kept: the conversation, the question, and the message that it becomes."""

    conversation_id: str
    user_message_id: str
    answer_id: str


class Usage(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Tokens that the run used. `source` says who counted: the provider, or we from the text.

    `cached_tokens` are those of the prompt that the provider had read before, where it says so.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    source: Literal["provider", "estimated"]
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class Start(Struct, frozen=True, rename="camel", tag_field="type", tag="start", omit_defaults=True):
    """The run has begun; nothing has been produced yet.

    In a conversation it names the conversation, the user message and the answer that it becomes.
    `created_at` is in epoch seconds. `door` is what the dialect that the run was started in needs to tell
    of it again, to any reader in any process.
    """

    run_id: str
    model: str
    conversation_id: str | None = None
    user_message_id: str | None = None
    message_id: str | None = None
    created_at: int | None = None
    door: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        run_id: str,
        model: str,
        ref: MessageRef | None,
        *,
        created_at: int | None = None,
        door: dict[str, Any] | None = None,
    ) -> Start:
        """Return the event of a run, whose answer may be kept in a conversation."""
        start = cls(run_id, model, created_at=created_at, door=door)
        if ref is None:
            return start
        return msgspec.structs.replace(
            start,
            conversation_id=ref.conversation_id,
            user_message_id=ref.user_message_id,
            message_id=ref.answer_id,
        )

    @property
    def ref(self) -> MessageRef | None:
        """Where the answer is kept; None outside of conversations."""
        if not (self.conversation_id and self.user_message_id and self.message_id):
            return None
        return MessageRef(
            conversation_id=self.conversation_id,
            user_message_id=self.user_message_id,
            answer_id=self.message_id,
        )


class Chunk(Struct, frozen=True, tag_field="type", tag="chunk", gc=False):
    """A piece of the answer's text, often several tokens."""

    content: str


class Reasoning(Struct, frozen=True, tag_field="type", tag="reasoning", gc=False):
    """A piece of what a thinking model thinks before it answers."""

    content: str


class ToolCall(Struct, frozen=True, tag_field="type", tag="tool_call", gc=False):
    """The model begins to call a tool. Its arguments follow, as pieces with the same `index`.

    `index` counts the calls of the answer, from 0. `id` is the provider's, or ours where it sends none;
    it is another one for each call.
    """

    index: int
    id: str
    name: str


class ToolArguments(Struct, frozen=True, tag_field="type", tag="tool_arguments", gc=False):
    """A piece of a tool call's arguments; all pieces of a call together are the text of a JSON object."""

    index: int
    content: str


class Source(Struct, frozen=True, tag_field="type", tag="source", omit_defaults=True, gc=False):
    """A page that the answer refers to, as the provider names it."""

    url: str
    title: str | None = None


class Extra(Struct, frozen=True, tag_field="type", tag="extra"):
    """What the provider sent beside the answer's parts, unchanged: logprobs, annotations, and fields that
    are not known here.

    `place` is where it stood in the provider's chunk: in its `delta`, in its `choice`, or in the `chunk`
    itself.
    """

    place: Literal["delta", "choice", "chunk"]
    fields: dict[str, Any]


SAVED: Final = "in a conversation: whether the answer is stored by now; else it is absent"


FINISH_REASONS: Final = ("stop", "length", "content_filter", "tool_calls", "stopped", "unknown")


class End(Struct, frozen=True, rename="camel", tag_field="type", tag="end", omit_defaults=True):
    """The run ended well, or was stopped.

    `provider_finish_reason` is there only where the provider used another word than the documented one.
    A word that nobody knows is a `stop`: the provider said that the answer ended, and not why. `unknown`
    is there only for a provider that need not send a finish_reason.
    """

    finish_reason: Annotated[
        str,
        Meta(
            description="stop, length, content_filter, tool_calls, stopped (by a stop), or, from a "
            "provider that need not say it, unknown.",
            examples=[*FINISH_REASONS],
            extra_json_schema={"enum": [*FINISH_REASONS]},
        ),
    ]
    usage: Usage
    saved: Annotated[bool, Meta(description=SAVED)] | None = None
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
    ended_at: Annotated[int, Meta(description="epoch seconds")] | None = None


class Error(Struct, frozen=True, rename="camel", tag_field="type", tag="error", omit_defaults=True):
    """The run ended badly; the text so far stays valid."""

    message: str
    code: str
    retryable: bool
    retry_after: Annotated[float, Meta(description="seconds")] | None = None
    provider_code: Annotated[str, Meta(description="the provider's own code")] | None = None
    request_id: Annotated[str, Meta(description="the provider's id of the request")] | None = None
    saved: Annotated[bool, Meta(description=SAVED)] | None = None

    @classmethod
    def of(cls, failure: RunFailure, message: str) -> Error:
        """Return the event that tells readers of a failure, in words that are made for them.

        Words of others in it come as one line without control characters, whoever produced.
        """
        return cls(
            message=plain.line(message, _MAX_MESSAGE),
            code=failure.code,
            retryable=failure.retryable,
            retry_after=failure.retry_after,
            provider_code=_word(failure.provider_code),
            request_id=_word(failure.request_id),
        )


Delta = Chunk | Reasoning | ToolCall | ToolArguments | Source | Extra
"""What an answer is made of."""

Event = Start | Delta | End | Error


def _word(word: str | None) -> str | None:
    return None if word is None else plain.line(word, _MAX_WORD)


def whole(text: str) -> str:
    """Return a text that can be encoded as UTF-8: half of a surrogate pair becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
