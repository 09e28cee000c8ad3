"""A strict reader of a response's streaming events, and a service over a database.

What the reader insists on is what the helpers of one client or another fail without.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from openai import AsyncOpenAI

from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

    from stream_serve.testing import ScriptedUpstream

Json = dict[str, Any]

DONE: Final = "[DONE]"
ENDS: Final = {
    "response.completed": {"completed"},
    "response.incomplete": {"incomplete", "cancelled"},
    "response.failed": {"failed"},
}
REQUIRED: Final = {
    *("id", "object", "created_at", "model", "status", "output", "completed_at", "error", "usage"),
    *("incomplete_details", "instructions", "metadata", "previous_response_id", "temperature"),
    *("max_output_tokens", "top_p", "top_logprobs", "parallel_tool_calls", "tools", "tool_choice"),
    *("truncation", "text", "reasoning", "service_tier", "store", "background", "user"),
    *("presence_penalty", "frequency_penalty", "safety_identifier", "prompt_cache_key"),
    "max_tool_calls",
}
NEVER_NULL: Final = {
    *("id", "created_at", "model", "status", "output", "temperature", "top_p", "top_logprobs"),
    *("parallel_tool_calls", "tools", "tool_choice", "truncation", "text", "reasoning", "metadata"),
    *("service_tier", "store", "background", "presence_penalty", "frequency_penalty"),
}


def events_of(body: bytes) -> list[Json]:
    """Return the events of a stream. Everything in it has to be an event, a comment, or [DONE]."""
    found: list[Json] = []
    for block in body.decode().split("\n\n"):
        if not block or block.startswith(":"):
            continue
        if block == f"data: {DONE}":
            found.append({"type": DONE})
            continue
        kind, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        found.append(event)
    return found


class StrictReader:
    """Follows the events of one response; `response` is the object in the end."""

    def __init__(self, first: int = 0, *, holes: bool = False) -> None:
        self.response: Json | None = None
        self.items: list[Json] = []
        self.failure: Json | None = None
        self.done: set[int] = set()
        self._next = first
        self._holes = holes
        self._ended = self._closed = False
        self._id: tuple[str, int, str] | None = None
        self._begun = False

    @classmethod
    def read(cls, events: Iterable[Json], **how: Any) -> StrictReader:
        reader = cls(**how)
        for event in events:
            reader.add(event)
        return reader

    @property
    def ended(self) -> bool:
        return self._ended

    def add(self, event: Json) -> None:
        kind = event["type"]
        if kind == DONE:
            assert self._ended
            assert not self._closed
            self._closed = True
            return
        assert not self._ended, kind
        number = event["sequence_number"]
        assert number >= self._next if self._holes else number == self._next
        self._next = number + 1
        if self._id is None:
            assert kind == "response.created"
        assert self.failure is None or kind == "response.failed"
        getattr(self, "on_" + kind.replace(".", "_"))(event)

    def on_response_created(self, event: Json) -> None:
        assert self._id is None
        response = self._same(event)
        assert response["status"] in {"queued", "in_progress"}
        assert response["output"] == []

    def on_response_queued(self, event: Json) -> None:
        assert not self._begun
        assert self._same(event)["status"] == "queued"

    def on_response_in_progress(self, event: Json) -> None:
        assert not self._begun
        self._begun = True
        assert self._same(event)["status"] == "in_progress"

    def on_response_output_item_added(self, event: Json) -> None:
        assert self._begun
        item = event["item"]
        assert event["output_index"] == len(self.items)
        assert item["id"] not in {one["id"] for one in self.items}
        assert item["status"] == "in_progress"
        match item["type"]:
            case "message":
                assert (item["role"], item["content"]) == ("assistant", [])
            case "reasoning":
                assert item["summary"] == []
            case kind:
                assert kind == "function_call"
                assert (item["arguments"], bool(item["call_id"])) == ("", True)
        copy: Json = json.loads(json.dumps(item))
        self.items.append(copy)

    def on_response_content_part_added(self, event: Json) -> None:
        content = self._item(event, "message")["content"]
        assert event["content_index"] == len(content)
        part: Json = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        assert event["part"] == part
        content.append(part)

    def on_response_output_text_delta(self, event: Json) -> None:
        part = self._item(event, "message")["content"][event["content_index"]]
        part["text"] += event["delta"]
        part["logprobs"] += event["logprobs"]

    def on_response_output_text_annotation_added(self, event: Json) -> None:
        part = self._item(event, "message")["content"][event["content_index"]]
        assert event["annotation_index"] == len(part["annotations"])
        part["annotations"].append(event["annotation"])

    def on_response_output_text_done(self, event: Json) -> None:
        part = self._item(event, "message")["content"][event["content_index"]]
        assert (event["text"], event["logprobs"]) == (part["text"], part["logprobs"])

    def on_response_content_part_done(self, event: Json) -> None:
        content = self._item(event, "message")["content"]
        assert event["part"] == content[event["content_index"]]

    def on_response_reasoning_summary_part_added(self, event: Json) -> None:
        summary = self._item(event, "reasoning")["summary"]
        assert event["summary_index"] == len(summary)
        assert event["part"] == {"type": "summary_text", "text": ""}
        summary.append({**event["part"]})

    def on_response_reasoning_summary_text_delta(self, event: Json) -> None:
        part = self._item(event, "reasoning")["summary"][event["summary_index"]]
        part["text"] += event["delta"]

    def on_response_reasoning_summary_text_done(self, event: Json) -> None:
        part = self._item(event, "reasoning")["summary"][event["summary_index"]]
        assert event["text"] == part["text"]

    def on_response_reasoning_summary_part_done(self, event: Json) -> None:
        summary = self._item(event, "reasoning")["summary"]
        assert event["part"] == summary[event["summary_index"]]

    def on_response_function_call_arguments_delta(self, event: Json) -> None:
        self._item(event, "function_call")["arguments"] += event["delta"]

    def on_response_function_call_arguments_done(self, event: Json) -> None:
        item = self._item(event, "function_call")
        assert (event["arguments"], event["name"]) == (item["arguments"], item["name"])

    def on_response_output_item_done(self, event: Json) -> None:
        index, item = event["output_index"], event["item"]
        assert item["status"] in {"completed", "incomplete"}
        assert {**self.items[index], "status": item["status"]} == item
        assert index not in self.done
        self.done.add(index)
        self.items[index]["status"] = item["status"]

    def on_error(self, event: Json) -> None:
        assert self.failure is None
        self.failure = event["error"]
        assert event["message"] == event["error"]["message"]
        assert event["code"] == event["error"]["code"]

    def on_response_completed(self, event: Json) -> None:
        self._end(event)

    def on_response_incomplete(self, event: Json) -> None:
        self._end(event)

    def on_response_failed(self, event: Json) -> None:
        for item in self.items:
            item["status"] = "incomplete" if item["status"] == "in_progress" else item["status"]
        assert self.failure is not None
        assert event["response"]["error"] == self.failure
        self.done = set(range(len(self.items)))
        self._end(event)

    def _end(self, event: Json) -> None:
        response = self._same(event)
        assert response["status"] in ENDS[event["type"]]
        assert self.done == set(range(len(self.items)))
        assert self.items == response["output"]
        self._ended, self.response = True, response

    def _same(self, event: Json) -> Json:
        response = event["response"]
        assert response.keys() >= REQUIRED, REQUIRED - response.keys()
        assert all(response[name] is not None for name in NEVER_NULL)
        same = (response["id"], response["created_at"], response["model"])
        self._id = self._id or same
        assert self._id == same
        assert (response["error"] is not None) == (response["status"] == "failed")
        cut = {"incomplete", "cancelled"}
        assert (response["incomplete_details"] is not None) == (response["status"] in cut)
        return response

    def _item(self, event: Json, kind: str) -> Json:
        index: int = event["output_index"]
        item = self.items[index]
        assert (item["id"], item["type"]) == (event["item_id"], kind)
        assert index not in self.done
        return item


@asynccontextmanager
async def serving(
    upstream: ScriptedUpstream, database: Path, **more: Any
) -> AsyncGenerator[AsyncOpenAI]:
    """Run the service over a database; give a client of it, which repeats nothing."""
    settings: dict[str, Any] = {
        **more,
        "upstream_url": upstream.url,
        "database_url": f"sqlite:///{database}",
    }
    async with (
        Service(**settings) as service,
        AsyncOpenAI(base_url=f"{service.url}/v1", api_key="any", max_retries=0) as openai,
    ):
        yield openai
