"""The tool calls of one answer, joined from the fragments in which a provider sends them.

How it works: a fragment belongs to the call with its `index`; without one, to the call with its `id`, or
else to the call before it. An id or a name that is another one than the call's begins another call, since
some servers send each whole call with the index 0. So do arguments that begin with "{" after an object
that is whole, where the fragment has a name again. A call begins as soon as its name is known; arguments
that come before are held back.

- A call gets an index of ours, counted from 0, and the provider's id, or one of ours where there is none
  or another call has it.
- Arguments as an object become its JSON. An empty object may only stand for the text that follows.
- What came as fragments may come once more as a whole (`add_whole`): only what is missing is new.
- A call without a name cannot be passed on: a part of the answer is lost (`Unread.lost`).
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Final, cast

import msgspec
from msgspec import Struct

from stream_serve.events import plain
from stream_serve.events.types import Extra, ToolArguments, ToolCall
from stream_serve.producers.openai import extras, odd
from stream_serve.producers.openai.repeats import Pieces
from stream_serve.producers.openai.surrogates import SurrogateJoiner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_serve.events.types import Delta
    from stream_serve.producers.openai.odd import Unread
    from stream_serve.producers.openai.reports import Fields

WHERE: Final = "tool_calls"
MAX_CALLS: Final = 1000
MAX_ID: Final = 16_384
MAX_NAME: Final = 256
_LEGACY: Final = -1
_MAX_COMPARED: Final = 67_108_864
_MAX_DIGITS: Final = 9
_FUNCTIONS: Final = ("function", "custom")
_ARGUMENTS: Final = ("arguments", "input", "parameters")
_KNOWN: Final = frozenset({"index", "id", "type", "name", *_FUNCTIONS, *_ARGUMENTS})


class Fragment(Struct, frozen=True):
    """A part of a call, as it came. `whole`: its arguments came as an object."""

    index: int | None
    id: str
    name: str
    arguments: str
    whole: bool
    rest: dict[str, object]


class Call:
    """One call. `given` is the provider's id, `place` its index; `index` is ours, once it has begun."""

    __slots__ = ("arguments", "empty", "given", "index", "joiner", "last", "name", "place", "rest")

    def __init__(self, place: int | None) -> None:
        self.place = place
        self.given = ""
        self.name = ""
        self.index: int | None = None
        self.arguments = Pieces()
        self.last = ""
        self.joiner = SurrogateJoiner()
        self.empty = False
        self.rest: dict[str, object] = {}

    def add(self, arguments: str) -> None:
        """Record a piece of the arguments."""
        if arguments:
            self.arguments.add(arguments)
            self.last = arguments


class ToolCalls:
    """The state of the tool calls of one answer: adds fragments, and appends their deltas to a list."""

    __slots__ = (
        "_by_delta",
        "_by_id",
        "_by_index",
        "_calls",
        "_compared",
        "_ids",
        "_last",
        "_unread",
        "begun",
    )

    def __init__(self, unread: Unread) -> None:
        self._unread = unread
        self._calls: list[Call] = []
        self._by_index: dict[int, Call] = {}
        self._by_id: dict[str, Call] = {}
        self._ids: set[str] = set()
        self._last: Call | None = None
        self._by_delta = False
        self._compared = 0
        self.begun = 0

    def add(self, value: object, deltas: list[Delta]) -> bool:
        """Add the `tool_calls` of a delta; return whether there was a part of a call in them."""
        if self._add_usual(value, deltas):
            return True
        found = self._add(value, deltas)
        self._by_delta = self._by_delta or found
        return found

    def add_function(self, value: object, deltas: list[Delta]) -> bool:
        """Add a `function_call`, as OpenAI sent it before there were `tool_calls`."""
        if not isinstance(value, dict):
            self._unread.add("function_call", lost=False)
            return False
        if self._calls and _LEGACY not in self._by_index:
            return False  # the same in other words
        piece = self._read({"function": value})
        if piece is None:
            return False
        self._join(msgspec.structs.replace(piece, index=_LEGACY), set(), deltas)
        return True

    def add_whole(self, value: object, deltas: list[Delta]) -> bool:
        """Add the `tool_calls` of a `message`, which may repeat calls; return whether there was more."""
        came = sorted(self._calls, key=lambda call: call.place or 0)  # that of a list without ids
        if not came:
            return self._add(value, deltas)
        before, size = self._lost_or_more(), len(deltas)
        for place, entry in enumerate(_entries(value, self._unread)):
            piece = self._read(entry)
            if piece is None:
                continue
            if not self._by_delta and not _is_object(piece.arguments):
                self._add([entry], deltas)
                continue
            call = self._named_by(piece) or (came[place] if place < len(came) else None)
            if call is None or not self._repeats(call, piece, deltas):
                self._extend(self._new(piece), piece, deltas)
        return len(deltas) > size or self._lost_or_more() != before

    def rest(self, deltas: list[Delta]) -> None:
        """Append what is held back at the end of the stream, and count calls without a name."""
        for call in self._calls:
            self._settle(call, deltas)
            if (half := call.joiner.rest()) and call.index is not None:
                deltas.append(ToolArguments(call.index, half))
            if call.index is None:
                self._unread.add(WHERE, lost=True)
        self._calls.clear()

    def _lost_or_more(self) -> tuple[int, int]:
        return len(self._calls), self._unread.count

    def _add_usual(self, value: object, deltas: list[Delta]) -> bool:
        """Add one piece of arguments for the newest call, as there is one at each token.

        Return False for everything else.
        """
        call = self._last
        if type(value) is not list or call is None or call.index is None or call.empty:
            return False
        entries = cast("list[object]", value)
        if len(entries) != 1 or type(entries[0]) is not dict:
            return False
        entry = cast("Fields", entries[0])
        if entry.get("index") != call.place or entry.get("id") or not entry.keys() <= _KNOWN:
            return False
        inner = entry.get("function")
        if call.place is None or type(inner) is not dict:
            return False
        function = cast("Fields", inner)
        arguments = function.get("arguments")
        if type(arguments) is not str or function.get("name"):
            return False
        if arguments := call.joiner.add(arguments):
            call.add(arguments)
            deltas.append(ToolArguments(call.index, arguments))
        return True

    def _add(self, value: object, deltas: list[Delta]) -> bool:
        touched: set[Call] = set()
        found = False
        for entry in _entries(value, self._unread):
            piece = self._read(entry)
            if piece is not None:
                self._join(piece, touched, deltas)
                found = True
        return found

    def _read(self, entry: Fields) -> Fragment | None:
        """Return what an entry says; None if that is nothing."""
        inner = next((one for name in _FUNCTIONS if (one := entry.get(name))), entry)
        function = cast("Fields", inner) if isinstance(inner, dict) else entry
        arguments = next(
            (one for name in _ARGUMENTS if (one := function.get(name)) is not None), ""
        )
        text = self._arguments(arguments)
        rest = {name: one for name, one in entry.items() if name not in _KNOWN}
        piece = Fragment(
            _index(entry.get("index")),
            self._word(entry.get("id"), MAX_ID),
            self._word(function.get("name"), MAX_NAME),
            text,
            isinstance(arguments, dict),
            extras.fitting(rest, self._unread) if rest else rest,
        )
        empty = not (piece.id or piece.name or piece.arguments or piece.rest)
        return None if empty else piece

    def _arguments(self, value: object) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, dict | list):
            try:
                return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
            except (ValueError, RecursionError):
                self._unread.add("tool_calls[0].function.arguments", lost=True)
        else:
            self._unread.add("tool_calls[0].function.arguments")
        return ""

    def _word(self, value: object, limit: int) -> str:
        """Return an id or a name, fit to be shown; "" for one that is none, or too long."""
        if value is None or value == "":
            return ""
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or len(value) > limit:
            self._unread.add(WHERE)
            return ""
        return plain.line(value)

    def _join(self, piece: Fragment, touched: set[Call], deltas: list[Delta]) -> None:
        """Add a fragment to its call."""
        call = self._find(piece, touched) or self._new(piece)
        if call is not None:
            touched.add(call)
        self._extend(call, piece, deltas)

    def _find(self, piece: Fragment, touched: set[Call]) -> Call | None:
        """Return the call that a fragment continues; None for one that begins a call."""
        last = self._last
        if piece.index is not None:
            call = self._by_index.get(piece.index)
            if call is None and not piece.id and not piece.name and last and last.place is None:
                last.place = piece.index
                self._by_index[piece.index] = last
                return last
        elif piece.id:
            call = self._by_id.get(piece.id)
        elif piece.name and last in touched:
            return None
        else:
            call = last
        if call is None or not self._is_other(call, piece):
            return call
        return self._by_id.get(piece.id) if piece.id != call.given else None

    def _is_other(self, call: Call, piece: Fragment) -> bool:
        """Return whether a fragment cannot belong to the call in whose place it came."""
        if piece.id and call.given and piece.id != call.given:
            return True
        if not piece.name or not call.name:
            return False
        if piece.name != call.name:
            return True
        same_id = bool(piece.id) and piece.id == call.given
        begins = piece.arguments.lstrip().startswith("{") and self._is_whole(call)
        return begins and not (same_id and self._is_said(call, piece.arguments))

    def _new(self, piece: Fragment) -> Call | None:
        """Return a new call for a fragment; None where there are too many."""
        if len(self._calls) >= MAX_CALLS:
            self._unread.add(WHERE, lost=True)
            return None
        call = Call(piece.index)
        self._calls.append(call)
        if piece.index is not None:
            self._by_index[piece.index] = call
        return call

    def _extend(self, call: Call | None, piece: Fragment, deltas: list[Delta]) -> None:
        """Append what a fragment brings."""
        if call is None:
            return
        if self._last is not None and self._last is not call:
            self._settle(self._last, deltas)
        self._last = call
        if piece.id and not call.given:
            call.given = piece.id
            self._by_id.setdefault(piece.id, call)
        call.name = call.name or piece.name
        arguments = call.joiner.add(self._new_arguments(call, piece))
        call.add(arguments)
        if call.index is not None:
            self._tell(call, arguments, piece.rest, deltas)
            return
        call.rest |= piece.rest
        if call.name:
            self._begin(call, deltas)

    def _begin(self, call: Call, deltas: list[Delta]) -> None:
        call.index, self.begun = self.begun, self.begun + 1
        free = call.given and call.given not in self._ids
        id_ = call.given if free else f"call_{secrets.token_hex(12)}"
        self._ids.add(id_)
        deltas.append(ToolCall(call.index, id_, call.name))
        self._tell(call, call.arguments.joined(), call.rest, deltas)

    def _tell(
        self, call: Call, arguments: str, rest: dict[str, object], deltas: list[Delta]
    ) -> None:
        """Append a piece of a call that has begun, and the fields that are not known."""
        if call.index is None:
            return
        if arguments:
            deltas.append(ToolArguments(call.index, arguments))
        if rest:
            deltas.append(Extra("delta", {WHERE: [{"index": call.index, **rest}]}))

    def _new_arguments(self, call: Call, piece: Fragment) -> str:
        """Return the arguments of a fragment, unless they stand for others or repeat those before."""
        arguments = piece.arguments
        if arguments and arguments == "{}" and piece.whole:
            call.empty = True
            return ""
        if not arguments or not call.arguments:
            return arguments
        if piece.whole and not self._is_said(call, arguments):
            self._unread.add(WHERE, lost=True)
        elif not piece.whole and not (piece.id and self._is_said(call, arguments)):
            return arguments
        return ""

    def _settle(self, call: Call, deltas: list[Delta]) -> None:
        """Append the empty object that was no beginning."""
        if call.empty and not call.arguments:
            call.add("{}")
            self._tell(call, "{}", {}, deltas)
        call.empty = False

    def _named_by(self, piece: Fragment) -> Call | None:
        if piece.id:
            return self._by_id.get(piece.id)
        return None if piece.index is None else self._by_index.get(piece.index)

    def _repeats(self, call: Call, piece: Fragment, deltas: list[Delta]) -> bool:
        """Append what a whole call has more than came of it; return False for another call."""
        if piece.name and call.name and piece.name != call.name:
            return False
        if piece.id and call.given and piece.id != call.given:
            return False
        said = self._said(call)
        if said is None:
            return True
        if piece.arguments.startswith(said):
            more = msgspec.structs.replace(
                piece, arguments=piece.arguments[len(said) :], whole=False, rest={}
            )
            self._extend(call, more, deltas)
            return True
        if _is_object(said):
            same = json.loads(said) == json.loads(piece.arguments or "null")
            if not (same or self._by_delta):
                return False
            if not same:
                self._unread.add(WHERE)
        elif piece.arguments:
            self._unread.add(WHERE, lost=True)
        return True

    def _said(self, call: Call) -> str | None:
        """Return the arguments so far; None where too much has been compared in this answer."""
        self._compared += call.arguments.size
        if self._compared > _MAX_COMPARED:
            self._unread.add(WHERE, lost=True)
            return None
        return call.arguments.joined()

    def _is_said(self, call: Call, arguments: str) -> bool:
        return call.arguments.size == len(arguments) > 1 and self._said(call) == arguments

    def _is_whole(self, call: Call) -> bool:
        """Return whether the arguments so far are a whole object."""
        if call.empty:
            return True
        if not call.last.rstrip().endswith("}"):
            return False
        said = self._said(call)
        return said is not None and _is_object(said)


def _entries(value: object, unread: Unread) -> Iterator[Fields]:
    """Yield the entries of `tool_calls`: of a list, of one call, or of an object by their index."""
    if isinstance(value, dict):
        fields = cast("Fields", value)
        known = any(name in fields for name in _KNOWN)
        value = [fields] if known else list(fields.values())
    if isinstance(value, list):
        for one in cast("list[object]", value):
            if isinstance(one, dict):
                yield cast("Fields", one)
            elif one is not None:
                unread.add(WHERE, lost=odd.has_words(one))
    elif value:
        unread.add(WHERE)


def _index(value: object) -> int | None:
    """Return the index of a fragment, which may be a text or 1.0; None if it has none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
