"""A strict reader of the AI SDK's UI message stream: it refuses what any of its clients would refuse.

It knows the parts with their fields, and the order in which clients take them. `Message` is what a page
has in the end.
"""

from __future__ import annotations

import json
from typing import Any, Final

Json = dict[str, Any]

# Each part's fields: those that it must have, and those that it may have.
_FIELDS: Final[dict[str, tuple[dict[str, type], dict[str, type]]]] = {
    "start": ({}, {"messageId": str, "messageMetadata": dict}),
    "start-step": ({}, {}),
    "finish-step": ({}, {}),
    "finish": ({}, {"finishReason": str, "messageMetadata": dict}),
    "abort": ({}, {"reason": str}),
    "error": ({"errorText": str}, {}),
    "text-start": ({"id": str}, {}),
    "text-delta": ({"id": str, "delta": str}, {}),
    "text-end": ({"id": str}, {}),
    "reasoning-start": ({"id": str}, {}),
    "reasoning-delta": ({"id": str, "delta": str}, {}),
    "reasoning-end": ({"id": str}, {}),
    "tool-input-start": ({"toolCallId": str, "toolName": str}, {"dynamic": bool}),
    "tool-input-delta": ({"toolCallId": str, "inputTextDelta": str}, {}),
    "tool-input-available": (
        {"toolCallId": str, "toolName": str, "input": object},
        {"dynamic": bool},
    ),
    "tool-output-available": ({"toolCallId": str, "output": object}, {}),
    "tool-output-error": ({"toolCallId": str, "errorText": str}, {}),
    "source-url": ({"sourceId": str, "url": str}, {"title": str}),
    "source-document": (
        {"sourceId": str, "mediaType": str, "title": str},
        {"filename": str},
    ),
    "file": ({"url": str, "mediaType": str}, {}),
}
_DATA: Final[tuple[dict[str, type], dict[str, type]]] = (
    {"data": object},
    {"id": str, "transient": bool},
)
_REASONS: Final = {"stop", "length", "content-filter", "tool-calls", "error", "other"}


class Message:
    """The message of a stream so far. Raises `AssertionError` for a part that a client would refuse."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.parts: list[Json] = []
        self.metadata: Json = {}
        self.reason: str | None = None
        self.error: str | None = None
        self.data: list[Json] = []
        self.aborted = False
        self._begun = False
        self._in_step = False
        self._open: dict[tuple[str, str], Json] = {}
        self._calls: dict[str, Json] = {}

    def add(self, part: Json) -> None:
        """Take the next part."""
        kind = part["type"]
        _check_fields(kind, part)
        assert self.error is None, f"{kind} after an error"
        assert self.reason is None, f"{kind} after the finish"
        assert self._begun is (kind != "start"), "a stream begins with one start"
        name, _, step = kind.rpartition("-")
        if name in {"text", "reasoning"}:
            self._say(name, step, part)
        elif name.startswith("tool"):
            self._use(kind, part)
        elif kind.startswith(("source", "file")):
            self._inside(kind)
            self.parts.append(dict(part))
        else:
            self._frame(kind, part)

    def text(self, kind: str = "text") -> str:
        return "".join(one["text"] for one in self.parts if one["type"] == kind)

    @property
    def sendable(self) -> Json:
        """The message as the client sends it back."""
        return {"id": self.id, "role": "assistant", "parts": self.parts}

    def _frame(self, kind: str, part: Json) -> None:
        match kind:
            case "start":
                self._begun = True
                self.id = part.get("messageId")
            case "start-step":
                assert not self._in_step, "a step in a step"
                self._in_step = True
                self.parts.append({"type": "step-start"})
            case "finish-step":
                self._inside(kind)
                assert not self._open, f"a step ends before {list(self._open)}"
                self._in_step = False
            case "abort":
                assert not self._in_step, "an abort before the step's end"
                self.aborted = True
            case "finish":
                assert not self._in_step, "a finish before the step's end"
                self.reason = part["finishReason"]
                assert self.reason in _REASONS
                self.metadata |= part.get("messageMetadata", {})
            case "error":
                self.error = part["errorText"]
            case _:
                self.data.append(part)

    def _say(self, kind: str, step: str, part: Json) -> None:
        self._inside(kind)
        key = (kind, part["id"])
        if step == "start":
            assert not self._open, f"{kind} while {list(self._open)} is open"
            self._open[key] = {"type": kind, "text": "", "state": "streaming"}
            self.parts.append(self._open[key])
            return
        assert key in self._open, f"{kind}-{step} of what is not open"
        if step == "delta":
            self._open[key]["text"] += part["delta"]
        else:
            self._open.pop(key)["state"] = "done"

    def _use(self, kind: str, part: Json) -> None:
        self._inside(kind)
        call_id = part["toolCallId"]
        if kind == "tool-input-start":
            assert call_id not in self._calls, "a call with the id of another one"
            call: Json = {"type": f"tool-{part['toolName']}", "toolCallId": call_id}
            if part.get("dynamic"):
                call |= {"type": "dynamic-tool", "toolName": part["toolName"]}
            self._calls[call_id] = call | {"state": "input-streaming", "said": ""}
            self.parts.append(self._calls[call_id])
            return
        assert call_id in self._calls, f"{kind} of a call that has not begun"
        call = self._calls[call_id]
        match kind:
            case "tool-input-delta":
                assert call["state"] == "input-streaming"
                call["said"] += part["inputTextDelta"]
            case "tool-input-available":
                call |= {"state": "input-available", "input": part["input"]}
            case "tool-output-available":
                given = call.get("input", json.loads(call["said"] or "{}"))
                call |= {"state": "output-available", "input": given, "output": part["output"]}
            case _:
                call |= {"state": "output-error", "errorText": part["errorText"]}

    def _inside(self, kind: str) -> None:
        assert self._in_step, f"{kind} outside of a step"


def message_of(data: bytes | str, message: Message | None = None) -> Message:
    """Return the message that a stream makes, or goes on to make."""
    found = message or Message()
    for _, part in parts_of(data):
        found.add(part)
    return found


def parts_of(data: bytes | str) -> list[tuple[int | None, Json]]:
    """Return the parts of a stream with their numbers; nothing follows `[DONE]`."""
    text = data.decode() if isinstance(data, bytes) else data
    assert "\r" not in text
    found: list[tuple[int | None, Json]] = []
    done = False
    for block in text.split("\n\n")[:-1]:
        number = None
        for line in block.split("\n"):
            assert not done, "something follows [DONE]"
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            elif value == "[DONE]":
                done = True
            elif name == "data":
                found.append((number, json.loads(value)))
            else:
                assert line.startswith(":"), line
    return found


def _check_fields(kind: str, part: Json) -> None:
    must, may = _DATA if kind.startswith("data-") else _FIELDS[kind]
    for name, wanted in must.items():
        assert isinstance(part[name], wanted), f"{kind}.{name}"
    for name, value in part.items():
        assert name == "type" or isinstance(value, (must | may)[name]), f"{kind}.{name}"
