"""The dialect `ag-ui`: AG-UI 1.0, in which `POST /ag-ui` answers.

The format is AG-UI's specification 1.0, "Events"; how strict its clients are was seen by running
`@ag-ui/client`. They reject a run for `[DONE]`, for a null where a field may be absent, and for an event
that the order of events does not allow.

How it works: each of our events becomes none, one or several of theirs. Only the last of them has an
`id:`, which is our event's number. So a client that goes on after the newest `id:` it has seen misses
nothing, if it has dropped what came behind that. A text or a stretch of reasoning is open from its first
piece until something else comes. A tool call is open until the run ends: only then are its arguments
known to be whole.

Whoever joins a run gets a `MESSAGES_SNAPSHOT` first: the messages that the run was asked with, as they
came, and this run's own. A client deletes the messages that a snapshot leaves out, so that it has all of
them. Reasoning is an exception: a client keeps its own unless the snapshot has some. Without a cursor the
run's own messages are empty in it, and every event follows again, with pieces joined. With a cursor they
have what came before it, and what is open is opened again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import msgspec

from stream_serve.events import sse
from stream_serve.events.types import (
    Chunk,
    End,
    Error,
    Extra,
    Reasoning,
    Source,
    Start,
    ToolArguments,
    ToolCall,
)
from stream_serve.web.dialects import ag_ui_events
from stream_serve.web.dialects.ag_ui_events import STOPPED, TERMINAL, messages_of
from stream_serve.web.dialects.pieces import coalesced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stream_serve.events.types import Delta, Event

Json = dict[str, Any]

NAME: Final = "ag-ui"
VERSION: Final = "1.0"
_PIECE: Final = b"id: %d\ndata: %b%b}\n\n"
_REASONING_ENDS: Final = ("REASONING_MESSAGE_END", "REASONING_END")
_encode: Final = msgspec.json.Encoder().encode


def door_of(*, thread_id: str, run_id: str, parent: str | None, messages: list[Json]) -> Json:
    """Return the `door` of a run: what its caller calls it, and the messages it was asked with."""
    door: Json = {"name": NAME, "threadId": thread_id, "runId": run_id, "messages": messages}
    return door if parent is None else {**door, "parentRunId": parent}


class AgUi:
    """The dialect."""

    name: ClassVar[str] = NAME

    def __init__(self) -> None:
        self.headers: Mapping[str, str] = {}

    def translation(self, run_id: str) -> AgUiTranslation:
        """Return the translation of a run into AG-UI's events."""
        return AgUiTranslation(run_id)


class AgUiTranslation:
    """A run as AG-UI's events, for one reader."""

    __slots__ = (
        "_answer_id",
        "_arguments",
        "_calls",
        "_head",
        "_ids",
        "_kind",
        "_model",
        "_parent",
        "_run_id",
        "_stretches",
        "_taken",
    )

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._kind: type[Chunk | Reasoning] | None = None
        self._head = b""
        self._stretches = 0
        self._calls: dict[int, ToolCall] = {}
        self._arguments: dict[int, list[str]] = {}
        self._begin(Start(run_id, ""))

    def add(self, number: int, event: Event) -> bytes:
        """Return the events for one of ours."""
        kind = self._kind
        if kind is not None and isinstance(event, kind) and event.content:
            return _PIECE % (number, self._head, _encode(event.content))
        return _written(self._events(event), number)

    def joined(self) -> bytes:
        """Return the beginning of a run of which nothing else is known."""
        return self.retell((), replay=False)

    def retell(self, past: Sequence[tuple[int, Event]], *, replay: bool) -> bytes:
        """Return the beginning of a run, and what it has said so far, for a reader that joins it."""
        told = [one for _, event in coalesced(past, 0) for one in self._events(event)]
        own = messages_of(told, empty=replay)
        first = past[0][1] if past else None
        asked: list[Json] = _door(first).get("messages", []) if isinstance(first, Start) else []
        snapshot: Json = {"type": "MESSAGES_SNAPSHOT", "messages": [*asked, *own]}
        if replay:
            rest = [one for one in told if one["type"] != "RUN_STARTED"]
        elif told and told[-1]["type"] in TERMINAL:
            rest = told[-1:]
        else:
            rest = self._opened()
        return _written([self._started(), snapshot, *rest], past[-1][0] if past else None)

    def failed(self, error: Error) -> bytes:
        """Return the error, with which the stream ends."""
        return _written([ag_ui_events.failure(error)], None)

    def _begin(self, start: Start) -> None:
        door = _door(start)
        thread_id = door.get("threadId") or start.conversation_id or start.run_id
        self._ids = {"threadId": thread_id, "runId": door.get("runId", start.run_id)}
        self._parent = door.get("parentRunId")
        self._model = start.model
        self._answer_id = start.message_id or f"msg-{start.run_id}"
        self._taken = _calls_in(door.get("messages", []))

    def _events(self, event: Event) -> list[Json]:
        match event:
            case Start():
                self._begin(event)
                return [self._started()]
            case End():
                return self._end(event)
            case Error():
                return [ag_ui_events.failure(event)]
            case _:
                return self._said(event)

    def _said(self, delta: Delta) -> list[Json]:
        match delta:
            case Chunk(content) | Reasoning(content):
                return self._piece(type(delta), content) if content else []
            case ToolCall():
                return [*self._close(), self._called(delta)]
            case ToolArguments(index, content):
                return self._argued(index, content)
            case Source():
                return [ag_ui_events.cited(delta)]
            case Extra():
                return [ag_ui_events.passed_on(delta)]

    def _started(self) -> Json:
        started: Json = {"type": "RUN_STARTED", **self._ids, "protocolVersion": VERSION}
        return started if self._parent is None else {**started, "parentRunId": self._parent}

    def _piece(self, kind: type[Chunk | Reasoning], content: str) -> list[Json]:
        """Return a piece of a text, which is begun unless it is open."""
        before: list[Json] = []
        if self._kind is not kind:
            before = self._close()
            self._stretches += kind is Reasoning
            self._kind = kind
            before += self._opening()
        event: Json = {"type": self._type("CONTENT"), "messageId": self._message_id()}
        self._head = _encode(event).removesuffix(b"}") + b',"delta":'
        return [*before, {**event, "delta": content}]

    def _called(self, call: ToolCall) -> Json:
        """Return the beginning of a tool call. A thread has each id once; some providers repeat them."""
        if call.id in self._taken:
            call = msgspec.structs.replace(call, id=f"{call.id}-{self._run_id}")
        self._calls[call.index] = call
        self._arguments[call.index] = []
        return self._calling(call)

    def _argued(self, index: int, content: str) -> list[Json]:
        call = self._calls.get(index)
        if call is None or not content:
            return []
        self._arguments[index].append(content)
        return [{"type": "TOOL_CALL_ARGS", "toolCallId": call.id, "delta": content}]

    def _end(self, end: End) -> list[Json]:
        whole = all(ag_ui_events.is_json("".join(pieces)) for pieces in self._arguments.values())
        calls = [call.id for call in self._calls.values()]
        closing = self._close()
        self._calls.clear()
        self._arguments.clear()
        if not whole and end.finish_reason != STOPPED:
            return [*closing, ag_ui_events.cut(end, model=self._model)]
        closing += [{"type": "TOOL_CALL_END", "toolCallId": one} for one in calls]
        finished = ag_ui_events.finished(self._ids, end, model=self._model, calls=calls)
        return [*closing, finished]

    def _opened(self) -> list[Json]:
        """Return the beginnings of all that is open."""
        return [*self._opening(), *map(self._calling, self._calls.values())]

    def _opening(self) -> list[Json]:
        """Return the beginning of the text that is open, if there is one."""
        if self._kind is None:
            return []
        message_id = self._message_id()
        if self._kind is Chunk:
            return [{"type": "TEXT_MESSAGE_START", "messageId": message_id, "role": "assistant"}]
        return [
            {"type": "REASONING_START", "messageId": message_id},
            {"type": "REASONING_MESSAGE_START", "messageId": message_id, "role": "reasoning"},
        ]

    def _close(self) -> list[Json]:
        """Return the end of the text that is open, if there is one."""
        if self._kind is None:
            return []
        types = ["TEXT_MESSAGE_END"] if self._kind is Chunk else _REASONING_ENDS
        message_id = self._message_id()
        self._kind = None
        return [{"type": one, "messageId": message_id} for one in types]

    def _calling(self, call: ToolCall) -> Json:
        return {
            "type": "TOOL_CALL_START",
            "toolCallId": call.id,
            "toolCallName": call.name,
            "parentMessageId": self._answer_id,
        }

    def _type(self, part: str) -> str:
        return f"TEXT_MESSAGE_{part}" if self._kind is Chunk else f"REASONING_MESSAGE_{part}"

    def _message_id(self) -> str:
        """Return the id of the message that is open. Each stretch of reasoning is a message."""
        if self._kind is Chunk:
            return self._answer_id
        return f"reasoning-{self._run_id}-{self._stretches}"


def _door(start: Start) -> Json:
    """Return what `POST /ag-ui` left in the start of a run; nothing of a run from elsewhere."""
    door = start.door or {}
    return door if door.get("name") == NAME else {}


def _calls_in(messages: list[Json]) -> frozenset[str]:
    """Return the ids of the tool calls in messages. What others than answers call so may be anything."""
    answers = (message for message in messages if message.get("role") == "assistant")
    calls = (call for message in answers for call in message.get("toolCalls", ()))
    return frozenset(cast("str", call["id"]) for call in calls)


def _written(events: Sequence[Json], number: int | None) -> bytes:
    """Return events as they are sent; the last one has the number."""
    frames = [sse.UNNUMBERED % _encode(event) for event in events]
    if frames and number is not None:
        frames[-1] = sse.frame(number, _encode(events[-1]))
    return b"".join(frames)
