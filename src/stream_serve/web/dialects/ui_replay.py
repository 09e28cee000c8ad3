"""What a message of the AI SDK has already, as the parts of a stream, for a run that goes on with it.

How it works: a client that begins anew replaces the message by what the stream says. So the stream begins
with what the message had: its texts, its reasoning, its tools with their results, its sources. The input
of a tool comes as a delta alone: where a part says that the input is there, a page calls the tool again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stream_serve.web.dialects.ui_history import input_of, result_of, tool_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Json = dict[str, Any]

_SAID: Final = frozenset({"text", "reasoning"})
_KEPT: Final = {
    "source-url": ("sourceId", "url"),
    "source-document": ("sourceId", "mediaType", "title"),
    "file": ("url", "mediaType"),
}
"""Parts that are the same in a message and in a stream, and the texts that they must have."""

_OPTIONAL: Final = ("title", "filename")


def before(parts: Iterable[Json]) -> list[Json]:
    """Return a message's parts as those of a stream. What a stream cannot have is left out."""
    found: list[Json] = []
    is_open = False
    for number, part in enumerate(parts):
        if part.get("type") == "step-start":
            if is_open:
                found.append({"type": "finish-step"})
            is_open = True
            found.append({"type": "start-step"})
        else:
            found += _part(f"before-{number}", part)
    return [*found, {"type": "finish-step"}] if is_open else found


def _part(name: str, part: Json) -> Iterator[Json]:
    kind = str(part.get("type"))
    if kind in _SAID:
        yield {"type": f"{kind}-start", "id": name}
        yield {"type": f"{kind}-delta", "id": name, "delta": str(part.get("text", ""))}
        yield {"type": f"{kind}-end", "id": name}
    elif kind in _KEPT and all(isinstance(part.get(one), str) for one in _KEPT[kind]):
        optional = [one for one in _OPTIONAL if isinstance(part.get(one), str)]
        yield {"type": kind, **{one: part[one] for one in (*_KEPT[kind], *optional)}}
    elif kind.startswith("data-") and "data" in part:
        known = {"id": part["id"]} if isinstance(part.get("id"), str) else {}
        yield {"type": kind, **known, "data": part["data"]}
    elif (tool := tool_of(part)) is not None and isinstance(part.get("toolCallId"), str):
        yield from _tool(tool, part)


def _tool(tool: str, part: Json) -> Iterator[Json]:
    call: Json = {"toolCallId": part["toolCallId"]}
    dynamic = {"dynamic": True} if part.get("type") == "dynamic-tool" else {}
    yield {"type": "tool-input-start", **call, "toolName": tool, **dynamic}
    if "input" in part or "rawInput" in part:
        yield {"type": "tool-input-delta", **call, "inputTextDelta": input_of(part)}
    result = result_of(part)
    if result is not None:
        field, value = result
        kind = "tool-output-available" if field == "output" else "tool-output-error"
        yield {"type": kind, **call, field: value}
