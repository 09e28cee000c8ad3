"""`PlainChat`: the native dialect's request where it is no more than a text and some names.

How it works: most requests are so plain, and a model with all fields costs ten times as much to read as
one with these. What a `PlainChat` takes, `ChatBody` takes, too, and makes the same question of it. What
it does not take is left to `ChatBody`, which also says what is wrong.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta, Struct

from stream_serve.runs import names
from stream_serve.web.body import validated
from stream_serve.web.dialects.native import MAX_MODEL, SPELLED, ChatBody
from stream_serve.web.question import Question

_SPELLED: Final = SPELLED | {"messages[0].content": "message"}


class PlainChat(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A text to answer; the fields mean what they mean in a `ChatBody`."""

    message: Annotated[str, Meta(min_length=1)]
    system_prompt: str = ""
    model: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL)] | None = None
    run_id: Annotated[str, Meta(pattern=rf"^{names.PATTERN}\Z")] | None = None
    on_disconnect: Literal["stop", "continue"] = "stop"
    conversation_id: str | None = None

    ignored: ClassVar[tuple[str, ...]] = ()
    parent_id: ClassVar[str | None] = None
    at_root: ClassVar[bool] = False
    regenerate: ClassVar[str | None] = None
    tool_results: ClassVar[None] = None

    def check(self) -> None:
        """There is nothing to check: no two of the fields depend on each other."""

    def question(self) -> Question:
        """Return what is asked."""
        return Question(
            model=self.model,
            messages=[{"role": "user", "content": self.message}],
            system_prompt=self.system_prompt or None,
            spelled=_SPELLED,
        )

    def fingerprint(self) -> bytes:
        """Return a digest that differs for two different requests with the same run id."""
        asked = self.system_prompt, self.model, self.on_disconnect, self.conversation_id
        return hashlib.sha256(msgspec.json.encode((self.message, *asked))).digest()


_decoder: Final = msgspec.json.Decoder(PlainChat)


def read(raw: bytes) -> PlainChat | ChatBody:
    """Return what a body asks. Raises as `body.validated` does."""
    try:
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return validated(raw, ChatBody)
