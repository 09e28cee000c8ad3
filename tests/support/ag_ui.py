"""A client of AG-UI 1.0 as `@ag-ui/client` is: it takes nothing that the order of events forbids, and
makes messages of the rest. `run` asks the service as such a client does."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, cast

from support.waiting import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

Json = dict[str, Any]

HISTORY: Final[list[Json]] = [
    {"id": "r0", "role": "reasoning", "content": "old thoughts"},
    {"id": "a0", "role": "assistant", "content": "Hello"},
    {"id": "u1", "role": "user", "content": "你好"},
]

_BASE: Final = {"type", "metadata"}
_FIELDS: Final[dict[str, tuple[set[str], set[str]]]] = {
    "RUN_STARTED": ({"threadId", "runId"}, {"protocolVersion", "parentRunId"}),
    "RUN_FINISHED": ({"threadId", "runId"}, {"result", "outcome", "usage"}),
    "RUN_ERROR": ({"message"}, {"code", "usage"}),
    "TEXT_MESSAGE_START": ({"messageId", "role"}, set()),
    "TEXT_MESSAGE_CONTENT": ({"messageId", "delta"}, set()),
    "TEXT_MESSAGE_END": ({"messageId"}, set()),
    "REASONING_START": ({"messageId"}, set()),
    "REASONING_MESSAGE_START": ({"messageId", "role"}, set()),
    "REASONING_MESSAGE_CONTENT": ({"messageId", "delta"}, set()),
    "REASONING_MESSAGE_END": ({"messageId"}, set()),
    "REASONING_END": ({"messageId"}, set()),
    "TOOL_CALL_START": ({"toolCallId", "toolCallName"}, {"parentMessageId"}),
    "TOOL_CALL_ARGS": ({"toolCallId", "delta"}, set()),
    "TOOL_CALL_END": ({"toolCallId"}, set()),
    "MESSAGES_SNAPSHOT": ({"messages"}, set()),
    "CUSTOM": ({"name", "value"}, set()),
    "RAW": ({"event"}, {"source"}),
}
"""The fields that an event must have and may have."""

_OPEN: Final = {
    "TEXT_MESSAGE": ("text", "messageId"),
    "REASONING_MESSAGE": ("reasoning message", "messageId"),
    "REASONING": ("reasoning", "messageId"),
    "TOOL_CALL": ("tool call", "toolCallId"),
}


class Rejected(AssertionError):
    """The client does not take an event."""


class Client:
    """One instance of a client. `messages` are its thread; `cursor` is the newest `id:` that it has."""

    def __init__(self, messages: list[Json] | None = None) -> None:
        self.messages: list[Json] = deepcopy(messages or [])
        self.events: list[Json] = []
        self.called: list[tuple[str, Any]] = []
        """The tool calls that have ended, with their arguments as the page gets them."""
        self.pending: list[str] | None = None
        self.cursor = 0
        self._buffer = b""
        self.connect()

    def connect(self) -> None:
        """Begin a new run; the messages stay."""
        self._open: set[tuple[str, str]] = set()
        self.state = "new"
        self._buffer = b""
        self._begun: list[str] = []

    def feed(self, data: bytes) -> None:
        """Read bytes of a stream. Raises `Rejected`."""
        self._buffer += data
        if b"\r" in self._buffer:
            raise Rejected("a line ends with CR")
        *blocks, self._buffer = self._buffer.split(b"\n\n")
        for block in blocks:
            self._read(block.decode())

    @property
    def last(self) -> Json:
        return self.events[-1]

    def _read(self, block: str) -> None:
        data: list[str] = []
        for line in block.split("\n"):
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif line.startswith("id:"):
                self.cursor = int(line[3:])
        if data:
            event = json.loads("\n".join(data))
            self._check_fields(event)
            self._verify(event)
            self.events.append(event)
            self._apply(event)

    def _check_fields(self, event: Json) -> None:
        needs, may = _FIELDS[event["type"]]
        if not needs <= event.keys() or event.keys() - needs - may - _BASE:
            raise Rejected(f"fields of {event}")
        if event["type"] != "RAW" and _has_null(event):
            raise Rejected(f"null in {event}")

    def _verify(self, event: Json) -> None:
        kind = event["type"]
        if self.state == "new" and kind not in {"RUN_STARTED", "RUN_ERROR"}:
            raise Rejected(f"first event is {kind}")
        if self.state == "over":
            raise Rejected(f"{kind} after the end")
        if kind == "RUN_STARTED":
            if self.state == "running":
                raise Rejected("a run in a run")
            self.state = "running"
        elif kind == "RUN_ERROR":
            self.state = "over"
        elif kind == "RUN_FINISHED":
            if self._open:
                raise Rejected(f"finished with {self._open} open")
            self.state = "over"
        else:
            self._verify_part(event)

    def _verify_part(self, event: Json) -> None:
        prefix, _, part = event["type"].rpartition("_")
        if prefix not in _OPEN or part == "SNAPSHOT":
            return
        name, field = _OPEN[prefix]
        key = (name, event[field])
        if (part == "START") == (key in self._open):
            raise Rejected(f"{event} while {self._open} are open")
        if part == "START":
            self._open.add(key)
        elif part == "END":
            self._open.remove(key)

    def _apply(self, event: Json) -> None:
        match event["type"]:
            case "TEXT_MESSAGE_START":
                self._message(event["messageId"], {"role": event["role"], "content": ""})
            case "REASONING_MESSAGE_START":
                self._message(event["messageId"], {"role": "reasoning", "content": ""})
            case "TEXT_MESSAGE_CONTENT" | "REASONING_MESSAGE_CONTENT":
                message = self._find(event["messageId"])
                message["content"] = message.get("content", "") + event["delta"]
            case "TOOL_CALL_START":
                self._begin_call(event)
            case "TOOL_CALL_ARGS":
                self._call(event["toolCallId"])["arguments"] += event["delta"]
            case "TOOL_CALL_END":
                self._end_call(event["toolCallId"])
            case "MESSAGES_SNAPSHOT":
                self._replace(event["messages"])
            case "RUN_FINISHED":
                self._finish(event)
            case _:
                pass

    def _message(self, name: str, fields: Json) -> Json:
        for message in self.messages:
            if message["id"] == name:
                return message
        self.messages.append({"id": name, **fields})
        return self.messages[-1]

    def _find(self, name: str) -> Json:
        return next(message for message in self.messages if message["id"] == name)

    def _call(self, name: str) -> Json:
        calls = (call for message in self.messages for call in message.get("toolCalls", ()))
        return next(call["function"] for call in calls if call["id"] == name)

    def _begin_call(self, event: Json) -> None:
        name = event["toolCallId"]
        self._begun.append(name)
        if any(call["id"] == name for one in self.messages for call in one.get("toolCalls", ())):
            return
        parent = self._message(event["parentMessageId"], {"role": "assistant", "toolCalls": []})
        function = {"name": event["toolCallName"], "arguments": ""}
        parent.setdefault("toolCalls", []).append(
            {"id": name, "type": "function", "function": function}
        )

    def _end_call(self, name: str) -> None:
        try:
            arguments: Any = json.loads(self._call(name)["arguments"])
        except ValueError:
            arguments = {}
        self.called.append((name, arguments))

    def _replace(self, messages: list[Json]) -> None:
        """Take a snapshot: it deletes what it leaves out, but reasoning only if it has some."""
        new = {message["id"]: message for message in deepcopy(messages)}
        reasons = any(message["role"] == "reasoning" for message in messages)
        kept = [
            new.pop(one["id"], one)
            for one in self.messages
            if one["id"] in new or (one["role"] == "reasoning" and not reasons)
        ]
        self.messages = [*kept, *new.values()]

    def _finish(self, event: Json) -> None:
        outcome = event.get("outcome", {"type": "success"})
        if outcome["type"] == "success":
            self.pending = list(outcome.get("pendingToolCallIds") or self._begun)


def _has_null(value: object) -> bool:
    """Return whether there is a null in JSON, outside of free-form metadata."""
    if isinstance(value, dict):
        fields = cast("Json", value)
        return any(name != "metadata" and _has_null(one) for name, one in fields.items())
    if isinstance(value, list):
        return any(map(_has_null, cast("list[object]", value)))
    return value is None


class Reading:
    """An open stream, and the client that reads it."""

    def __init__(self, response: aiohttp.ClientResponse, client: Client) -> None:
        self.response = response
        self.client = client

    @property
    def run_id(self) -> str:
        return self.response.headers["X-Run-Id"]

    async def until(self, kind: str) -> Json:
        """Read until an event of a type has come."""
        seen = len(self.client.events)
        async with asyncio.timeout(PATIENCE):
            while all(one["type"] != kind for one in self.client.events[seen:]):
                data = await self.response.content.readany()
                assert data, f"the stream ended without {kind}"
                self.client.feed(data)
        return self.client.last

    async def rest(self) -> Client:
        """Read to the end of the stream, which has to be a clean one."""
        async with asyncio.timeout(PATIENCE):
            self.client.feed(await self.response.content.read())
        return self.client

    def drop(self) -> None:
        self.response.close()


def body(run: str = "run-1", **more: Any) -> Json:
    """Return what a client sends; `model` is the scenario."""
    props: Json = {name: more.pop(name) for name in ("model", "onDisconnect") if name in more}
    messages = more.pop("messages", HISTORY)
    return {
        "threadId": "t/1",
        "runId": run,
        "protocolVersion": "1.0",
        "state": {},
        "messages": messages,
        "tools": [],
        "context": [],
        "forwardedProps": props,
        **more,
    }


@asynccontextmanager
async def run(
    session: aiohttp.ClientSession,
    url: str,
    reader: Client | None = None,
    *,
    key: str | None = None,
    cursor: int | None = None,
    query: str = "",
    **fields: Any,
) -> AsyncGenerator[Reading]:
    """Ask for a run, as `HttpAgent` does."""
    headers = {"Accept": "text/event-stream"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    if cursor is not None:
        headers["Last-Event-ID"] = str(cursor)
    reader = Client(HISTORY) if reader is None else reader
    post = session.post(f"{url}/ag-ui{query}", json=body(**fields), headers=headers)
    async with post as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield Reading(response, reader)
