"""What each dialect tells of a run, reduced to what all have: text, thinking, tool calls, an end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct, field

from support.ag_ui import Client

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]


class Told(Struct):
    """What some part of a stream tells. `whole` is whether it begins with all that came before it.

    `calls` are the name and the arguments of each call, by its id. `ends` counts the ends.
    """

    text: str = ""
    thought: str = ""
    calls: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    ends: int = 0
    whole: bool = False

    def then(self, later: Told) -> Told:
        """Return what both tell, one after the other; a call that begins again is told again."""
        if later.whole:
            return later
        calls = {name: [*call] for name, call in self.calls.items()}
        for name, call in later.calls.items():
            if call[0] or name not in calls:
                calls[name] = [*call]
            else:
                calls[name][1] += call[1]
        return Told(
            self.text + later.text, self.thought + later.thought, calls, self.ends + later.ends
        )


def objects(data: bytes) -> list[Json]:
    """Return the JSON of each event of a stream."""
    lines = (line for line in data.decode().split("\n") if line.startswith("data: "))
    return [json.loads(line.removeprefix("data: ")) for line in lines if line != "data: [DONE]"]


def native(data: bytes) -> Told:
    told, names = Told(), cast("dict[int, str]", {})
    for one in objects(data):
        match one["type"]:
            case "chunk":
                told.text += one["content"]
            case "reasoning":
                told.thought += one["content"]
            case "tool_call":
                names[one["index"]] = f"call_{one['index']}"
                told.calls[f"call_{one['index']}"] = [one["name"], ""]
            case "tool_arguments":
                call = told.calls.setdefault(f"call_{one['index']}", ["", ""])
                call[1] += one["content"]
            case "end" | "error":
                told.ends += 1
            case _:
                pass
    return told


def chat(data: bytes) -> Told:
    told = Told()
    for one in objects(data):
        choices = cast("list[Json]", one.get("choices") or [])
        told.ends += "error" in one or any(choice["finish_reason"] for choice in choices)
        for choice in choices:
            delta = choice["delta"]
            told.text += delta.get("content") or ""
            told.thought += delta.get("reasoning_content") or ""
            for part in delta.get("tool_calls", ()):
                call = told.calls.setdefault(f"call_{part['index']}", ["", ""])
                call[0] = part["function"].get("name") or call[0]
                call[1] += part["function"]["arguments"]
    return told


def completions(data: bytes) -> Told:
    told = Told()
    for one in objects(data):
        choices = cast("list[Json]", one.get("choices") or [])
        told.ends += "error" in one or any(choice["finish_reason"] for choice in choices)
        told.text += "".join(choice["text"] for choice in choices)
    return told


def responses(data: bytes) -> Told:
    told, calls = Told(), cast("dict[str, str]", {})
    for one in objects(data):
        match one["type"]:
            case "response.created":
                told.whole = True
            case "response.output_text.delta":
                told.text += one["delta"]
            case "response.reasoning_summary_text.delta":
                told.thought += one["delta"]
            case "response.output_item.added" if one["item"]["type"] == "function_call":
                item = one["item"]
                calls[item["id"]] = item["call_id"]
                told.calls[item["call_id"]] = [item["name"], ""]
            case "response.function_call_arguments.delta":
                name = calls.get(one["item_id"]) or _number_of(one)
                told.calls.setdefault(name, ["", ""])[1] += one["delta"]
            case "response.completed" | "response.incomplete" | "response.failed":
                told.ends += 1
            case _:
                pass
    return told


def ui_messages(data: bytes) -> Told:
    told = Told()
    for one in objects(data):
        match one["type"]:
            case "text-delta":
                told.text += one["delta"]
            case "reasoning-delta":
                told.thought += one["delta"]
            case "tool-input-start":
                told.calls[one["toolCallId"]] = [one["toolName"], ""]
            case "tool-input-delta":
                call = told.calls.setdefault(one["toolCallId"], ["", ""])
                call[1] += one["inputTextDelta"]
            case "finish" | "error":
                told.ends += 1
            case _:
                pass
    return told


def ag_ui(data: bytes) -> Told:
    """Return what a new instance of the client has in the end; it needs to be told of everything."""
    client = Client()
    client.feed(data)
    told = Told(whole=True, ends=int(client.state == "over"))
    for message in client.messages:
        content = str(message.get("content") or "")
        if message["role"] == "reasoning":
            told.thought += content
        elif message["role"] == "assistant":
            told.text += content
        for call in message.get("toolCalls", ()):
            told.calls[call["id"]] = [call["function"]["name"], call["function"]["arguments"]]
    return told


def _number_of(event: Json) -> str:
    return f"item {event['output_index']}"


TELLING: Final[dict[str, Callable[[bytes], Told]]] = {
    "native": native,
    "chat-completions": chat,
    "completions": completions,
    "responses": responses,
    "ai-sdk": ui_messages,
    "ag-ui": ag_ui,
}
