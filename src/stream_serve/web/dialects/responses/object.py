"""The object `response`: what is known of a run, for the answer, for each lifecycle event, and for GET.

How it works: one fold over the run's events, so that the object is the same wherever it is asked for.
What the run was asked with stands in the start event (`Door`), since nobody else keeps it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct, field

from stream_serve.events.types import End, Error, Event, Start, Usage
from stream_serve.web.dialects.responses import ids
from stream_serve.web.dialects.responses.items import COMPLETED, IN_PROGRESS, INCOMPLETE, Output

Json = dict[str, Any]

NAME: Final = "responses"
QUEUED: Final = "queued"
CANCELLED: Final = "cancelled"
FAILED: Final = "failed"
_MODEL: Final = "model"
_RETRYABLE: Final = {"upstream_rate_limited": "rate_limit_exceeded"}
_CUT: Final = {
    "stopped": (CANCELLED, CANCELLED),
    "length": (INCOMPLETE, "max_output_tokens"),
    "content_filter": (INCOMPLETE, "content_filter"),
}
"""The finish reasons of answers that are not whole: the status, and the reason in OpenAI's words."""
_ECHOED: Final[Json] = {
    "conversation": None,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "prompt": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}
"""What the object repeats of the request, and what it says where a request says nothing."""


class Door(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a start event keeps of a request. `echo` is what the object repeats of it.

    `store` says whether the response may be read later than its own reader; `input` are the new items.
    `created_at` is there where it is stored, in epoch seconds: the run itself begins a little later.
    `foreign` is the one of a run that came in elsewhere: it can only be read here, for as long as its run
    is known; `store` then says whether a conversation keeps what it says.
    """

    echo: Json = field(default_factory=dict[str, Any])
    background: bool = False
    store: bool = True
    previous_response_id: str | None = None
    input: list[Json] = field(default_factory=list[Json])
    created_at: int | None = None
    foreign: bool = False

    def as_start(self) -> Json:
        """Return it as the start event has it."""
        return {NAME: msgspec.to_builtins(self)}

    @classmethod
    def of(cls, start: Start | None) -> Door:
        """Return what a start event has; of a run that came in by another door, nothing."""
        kept = (start.door or {}).get(NAME) if start is not None else None
        foreign = cls(foreign=True, store=start is not None and start.ref is not None)
        try:
            return foreign if kept is None else msgspec.convert(kept, cls)
        except msgspec.ValidationError:
            return foreign


class ResponseObject:
    """A response as far as its run has come. `number` is that of the newest event."""

    def __init__(self, run_id: str) -> None:
        self.output = Output(run_id)
        self.door = Door()
        self.start: Start | None = None
        self.end: End | Error | None = None
        self._id = ids.response_id(run_id)

    def add(self, event: Event) -> list[Json]:
        """Add an event of the run, and return the streaming events for it, without their numbers."""
        match event:
            case Start():
                self.start, self.door = event, Door.of(event)
                return self._begin()
            case End():
                return self._end(event)
            case Error():
                return self._fail(event)
            case _:
                return self.output.add(event)

    def shown(self, status: str | None = None) -> Json:
        """Return the object as it is now; `status` is another one than the run's."""
        found, reason = self._status()
        start, end, door = self.start, self.end, self.door
        return {
            "id": self._id,
            "object": "response",
            "created_at": door.created_at or (start and start.created_at) or 0,
            _MODEL: start.model if start is not None else "",
            "status": status or found,
            "background": door.background,
            "completed_at": end.ended_at if isinstance(end, End) and found == COMPLETED else None,
            "error": failure_of(end) if isinstance(end, Error) else None,
            "incomplete_details": None if reason is None else {"reason": reason},
            "output": self.output.shown(),
            "previous_response_id": door.previous_response_id,
            "store": door.store and (end is None or end.saved is not False),
            "usage": usage_of(end.usage) if isinstance(end, End) else None,
            **_ECHOED,
            **door.echo,
        }

    def _begin(self) -> list[Json]:
        first = QUEUED if self.door.background else IN_PROGRESS
        said = [self._lifecycle("created", first)]
        if self.door.background:
            said.append(self._lifecycle(QUEUED, first))
        return [*said, self._lifecycle(IN_PROGRESS)]

    def _end(self, end: End) -> list[Json]:
        cut = end.finish_reason in _CUT
        said = self.output.cut() if cut else self.output.complete()
        self.end = end
        return [*said, self._lifecycle(INCOMPLETE if cut else COMPLETED)]

    def _fail(self, error: Error) -> list[Json]:
        self.output.fail()
        self.end = error
        return [error_event(error), self._lifecycle(FAILED)]

    def _lifecycle(self, what: str, status: str | None = None) -> Json:
        return {"type": f"response.{what}", "response": self.shown(status)}

    def _status(self) -> tuple[str, str | None]:
        """Return the status, and why the answer is not whole."""
        if self.end is None:
            return IN_PROGRESS, None
        if isinstance(self.end, Error):
            return FAILED, None
        return _CUT.get(self.end.finish_reason, (COMPLETED, None))


def failure_of(error: Error) -> Json:
    """Return a failure as OpenAI's clients read it.

    Some of them repeat a request by themselves as its code says, so that the code says whether that may
    help. Our own code is the type, and stands in the message.
    """
    code = _RETRYABLE.get(error.code, "server_error") if error.retryable else "invalid_prompt"
    message = f"{error.message} ({error.code})"
    return {"code": code, "message": message, "type": error.code, "param": None}


def error_event(error: Error) -> Json:
    """Return the event `error`, in both shapes that clients know."""
    failure = failure_of(error)
    flat = {name: failure[name] for name in ("code", "message", "param")}
    return {"type": "error", **flat, "error": failure}


def usage_of(usage: Usage) -> Json:
    """Return a usage; an estimated one says so."""
    found: Json = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens or 0,
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens,
    }
    return found | ({"source": "estimated"} if usage.source == "estimated" else {})
