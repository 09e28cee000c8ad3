"""The items of a response's output, made of a run's deltas; each delta leads to some streaming events.

How it works: an item is a message, a reasoning or a function call, and has one text that grows. One
message or reasoning at a time is open: another item closes it. A call is closed by the next item when its
arguments are a whole object; until then more of them may come, since some providers send the fragments
of several calls in turns. Whoever reads the events, with their `output_index`, has the same items in the
end. The format is OpenAI's reference "Responses, streaming events".
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, cast

import msgspec

from stream_serve.events.types import (
    Chunk,
    Delta,
    Extra,
    Reasoning,
    Source,
    ToolArguments,
    ToolCall,
)
from stream_serve.web.dialects.responses import ids
from stream_serve.web.dialects.responses.brackets import Brackets

Json = dict[str, Any]

IN_PROGRESS: Final = "in_progress"
COMPLETED: Final = "completed"
INCOMPLETE: Final = "incomplete"
_LOGPROBS: Final = "logprobs"


class Item:
    """An item of the output. `last` is for whoever numbers its deltas."""

    kind: ClassVar[str]
    prefix: ClassVar[str]
    delta_type: ClassVar[str]
    part: ClassVar[Json] = {"content_index": 0}

    def __init__(self, run_id: str, index: int) -> None:
        self.index = index
        self.id = ids.output_id(self.prefix, run_id, index)
        self.status = IN_PROGRESS
        self.pieces: list[str] = []
        self.last = -1

    @property
    def text(self) -> str:
        """What it says so far: one text, which all events share that have it."""
        if len(self.pieces) > 1:
            self.pieces[:] = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    @property
    def where(self) -> Json:
        """The fields that say where its events belong."""
        return {"item_id": self.id, "output_index": self.index, **self.part}

    def delta(self, text: str) -> Json:
        """Return the event for a piece of its text."""
        return {"type": self.delta_type, **self.where, "delta": text}

    def begin(self) -> list[Json]:
        """Return the events with which it begins."""
        return [self._of_item("added")]

    def close(self, status: str) -> list[Json]:
        """Return the events with which it ends."""
        self.status = status
        return [self._of_item("done")]

    def shown(self) -> Json:
        """Return it as it is now."""
        raise NotImplementedError

    def _of_item(self, what: str) -> Json:
        kind = f"response.output_item.{what}"
        return {"type": kind, "output_index": self.index, "item": self.shown()}


class Message(Item):
    """A piece of the answer, with the pages that it refers to."""

    kind = "message"
    prefix = "msg"
    delta_type = "response.output_text.delta"

    def __init__(self, run_id: str, index: int) -> None:
        super().__init__(run_id, index)
        self._annotations: list[Json] = []
        self._logprobs: list[Json] = []
        self._begun = False

    def delta(self, text: str, logprobs: list[Json] | None = None) -> Json:
        """Return the event for a piece of its text, or for the logprobs of the piece before."""
        return {**super().delta(text), _LOGPROBS: logprobs or []}

    def repeated(self) -> Json:
        """Return one event for all deltas so far."""
        return self.delta(self.text, self._logprobs)

    def begin(self) -> list[Json]:
        """Return the events with which it begins: the item, and its part."""
        added = super().begin()
        self._begun = True
        return [*added, self._of_part("added", {**self._part(), "text": ""})]

    def annotate(self, source: Source) -> Json:
        """Add a page. It has no place in the text: what a provider says of that is not known here."""
        annotation: Json = {
            "type": "url_citation",
            "url": source.url,
            "title": source.title or source.url,
            "start_index": 0,
            "end_index": 0,
        }
        self._annotations.append(annotation)
        return {
            "type": "response.output_text.annotation.added",
            **self.where,
            "annotation_index": len(self._annotations) - 1,
            "annotation": annotation,
        }

    def add_logprobs(self, logprobs: list[Json]) -> Json:
        """Add the logprobs of the newest text."""
        self._logprobs.extend(logprobs)
        return self.delta("", logprobs)

    def close(self, status: str) -> list[Json]:
        """Return the events with which its text, its part and the item end."""
        text = self.text
        done: Json = {
            "type": "response.output_text.done",
            **self.where,
            "text": text,
            _LOGPROBS: list(self._logprobs),
        }
        return [done, self._of_part("done", self._part()), *super().close(status)]

    def shown(self) -> Json:
        """Return it as it is now."""
        return {
            "id": self.id,
            "type": self.kind,
            "status": self.status,
            "role": "assistant",
            "content": [self._part()] if self._begun else [],
        }

    def _part(self) -> Json:
        return {
            "type": "output_text",
            "text": self.text,
            "annotations": list(self._annotations),
            _LOGPROBS: list(self._logprobs),
        }

    def _of_part(self, what: str, part: Json) -> Json:
        return {"type": f"response.content_part.{what}", **self.where, "part": part}


class Thoughts(Item):
    """What a thinking model thinks, as a summary: clients show only that."""

    kind = "reasoning"
    prefix = "rs"
    delta_type = "response.reasoning_summary_text.delta"
    part: ClassVar[Json] = {"summary_index": 0}

    def __init__(self, run_id: str, index: int) -> None:
        super().__init__(run_id, index)
        self._begun = False

    def begin(self) -> list[Json]:
        """Return the events with which it begins: the item, and its summary."""
        added = super().begin()
        self._begun = True
        return [*added, self._of_part("added", "")]

    def close(self, status: str) -> list[Json]:
        """Return the events with which its text, its summary and the item end."""
        text = self.text
        kind = "response.reasoning_summary_text.done"
        done: Json = {"type": kind, **self.where, "text": text}
        return [done, self._of_part("done", text), *super().close(status)]

    def shown(self) -> Json:
        """Return it as it is now."""
        summary = [{"type": "summary_text", "text": self.text}] if self._begun else []
        return {"id": self.id, "type": self.kind, "status": self.status, "summary": summary}

    def _of_part(self, what: str, text: str) -> Json:
        kind = f"response.reasoning_summary_part.{what}"
        return {"type": kind, **self.where, "part": {"type": "summary_text", "text": text}}


class Call(Item):
    """A call of a function."""

    kind = "function_call"
    prefix = "fc"
    delta_type = "response.function_call_arguments.delta"
    part: ClassVar[Json] = {}

    def __init__(self, run_id: str, index: int, call: ToolCall) -> None:
        super().__init__(run_id, index)
        self._call = call
        self._unread: list[str] = []
        self._brackets = Brackets()
        self._whole = False

    @property
    def is_whole(self) -> bool:
        """Whether the arguments so far are an object, to which nothing can be added.

        Each piece is read once, and the text decoded once, however often this is asked.
        """
        unread = "".join(self._unread)
        self._unread.clear()
        if not unread.strip():
            return self._whole
        if self._brackets.closed:
            self._whole = False  # something follows the object
            return False
        self._brackets.read(unread)
        if self._brackets.closed:
            self._whole = self.text.lstrip().startswith("{") and _is_json(self.text)
        return self._whole

    def argue(self, text: str) -> Json:
        """Add a piece of the arguments, and return the event for it."""
        self.pieces.append(text)
        self._unread.append(text)
        return self.delta(text)

    def complete(self) -> list[Json]:
        """Return the events with which it ends well: no arguments are an empty object."""
        said: list[Json] = []
        if not self.text.strip():
            self.pieces.append("{}")
            said.append(self.delta("{}"))
        return [*said, *self.close(COMPLETED)]

    def close(self, status: str) -> list[Json]:
        """Return the events with which its arguments and the item end."""
        done: Json = {
            "type": "response.function_call_arguments.done",
            **self.where,
            "name": self._call.name,
            "arguments": self.text,
        }
        return [done, *super().close(status)]

    def shown(self) -> Json:
        """Return it as it is now."""
        return {
            "id": self.id,
            "type": self.kind,
            "status": self.status,
            "call_id": self._call.id,
            "name": self._call.name,
            "arguments": self.text,
        }


class Output:
    """The items of a response so far."""

    def __init__(self, run_id: str) -> None:
        self.items: list[Item] = []
        self.open: Message | Thoughts | None = None
        self._run_id = run_id
        self._calls: dict[int, Call] = {}
        self._sources: list[Source] = []
        self._logprobs: list[Json] = []

    def add(self, delta: Delta) -> list[Json]:
        """Add what has come, and return the streaming events for it."""
        match delta:
            case Chunk(content):
                return self._say(Message, content)
            case Reasoning(content):
                return self._say(Thoughts, content)
            case ToolCall():
                return self._call(delta)
            case ToolArguments(index, content):
                return self._argue(index, content)
            case Source():
                return self._cite(delta)
            case Extra():
                return self._weigh(_logprobs_of(delta))

    def complete(self) -> list[Json]:
        """Close what is open, as the end of a whole answer, and return the streaming events for it."""
        open_ = self._unfinished()
        self._clear()
        return [
            event
            for item in open_
            for event in (item.complete() if isinstance(item, Call) else item.close(COMPLETED))
        ]

    def cut(self) -> list[Json]:
        """Close what is open, as the end of an answer that is not whole, and return the events."""
        open_ = self._unfinished()
        self._clear()
        said: list[Json] = []
        for item in open_:
            whole = isinstance(item, Call) and item.is_whole
            said += item.close(COMPLETED if whole else INCOMPLETE)
        return said

    def fail(self) -> None:
        """Mark what is open as not whole; readers are told of the failure only."""
        for item in self._unfinished():
            item.status = INCOMPLETE
        self._clear()

    def shown(self) -> list[Json]:
        """Return the items as they are now."""
        return [item.shown() for item in self.items]

    def _say(self, kind: type[Message | Thoughts], text: str) -> list[Json]:
        if not text:
            return []
        item = self.open
        if item is not None and type(item) is kind:
            item.pieces.append(text)
            return [item.delta(text)]
        said = self._give_way()
        item = self.open = kind(self._run_id, len(self.items))
        said += self._begin(item)
        if isinstance(item, Message):
            said += self._deferred(item)
        item.pieces.append(text)
        return [*said, item.delta(text)]

    def _call(self, call: ToolCall) -> list[Json]:
        said = self._give_way()
        if (before := self._calls.pop(call.index, None)) is not None:
            said += before.complete()
        item = self._calls[call.index] = Call(self._run_id, len(self.items), call)
        return [*said, *self._begin(item)]

    def _argue(self, index: int, text: str) -> list[Json]:
        item = self._calls.get(index)
        if item is None or not text:
            return []
        return [item.argue(text)]

    def _cite(self, source: Source) -> list[Json]:
        if isinstance(self.open, Message):
            return [self.open.annotate(source)]
        self._sources.append(source)
        return []

    def _weigh(self, logprobs: list[Json]) -> list[Json]:
        if not logprobs:
            return []
        if isinstance(self.open, Message):
            return [self.open.add_logprobs(logprobs)]
        self._logprobs += logprobs
        return []

    def _deferred(self, message: Message) -> list[Json]:
        """Return the events for what came before the message that it belongs to."""
        said = [message.annotate(source) for source in self._sources]
        if self._logprobs:
            said.append(message.add_logprobs(self._logprobs))
        self._sources, self._logprobs = [], []
        return said

    def _begin(self, item: Item) -> list[Json]:
        self.items.append(item)
        return item.begin()

    def _give_way(self) -> list[Json]:
        """Close what another item ends."""
        said = self.open.close(COMPLETED) if self.open is not None else []
        self.open = None
        for index, call in list(self._calls.items()):
            if call.is_whole:
                del self._calls[index]
                said += call.complete()
        return said

    def _unfinished(self) -> list[Item]:
        found: list[Item] = [*self._calls.values()]
        if self.open is not None:
            found.append(self.open)
        return sorted(found, key=lambda item: item.index)

    def _clear(self) -> None:
        self.open = None
        self._calls.clear()


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        return False
    return True


def _logprobs_of(extra: Extra) -> list[Json]:
    """Return the tokens of a chat completion's logprobs as this API has them."""
    found: object = extra.fields.get(_LOGPROBS)
    content = cast("Json", found).get("content") if isinstance(found, dict) else None
    tokens = cast("list[object]", content) if isinstance(content, list) else []
    return [{"bytes": [], "top_logprobs": [], **one} for one in map(_token, tokens) if one]


def _token(value: object) -> Json:
    """Return a token with its logprob; {} for anything else."""
    token = cast("Json", value) if isinstance(value, dict) else {}
    known = isinstance(token.get("token"), str) and isinstance(token.get("logprob"), int | float)
    return {name: one for name, one in token.items() if one is not None} if known else {}
