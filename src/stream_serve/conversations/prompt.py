"""What a provider is told of a conversation: its newest questions and answers, in a form that all take.

How it works: many providers and chat templates refuse a history whose roles do not alternate, that does
not begin with a question, or that has an empty message. But a conversation has questions without an
answer (it failed, or was stopped before its first token), and a budget may cut it anywhere. So the path
is read as exchanges: a question, and what followed it. Only whole exchanges are kept, the newest that
fit into the budget. A question that nothing followed is then joined with the next one, so that the model
still reads what the user said. A question in which there is nothing is left out, with what followed. The
last exchange is always sent whole.

What follows a question is an answer, or steps: an answer that calls tools, the results, and the next
answer. A call is sent only with its result, and a result only with its call, right after the answer that
called, in the order of the calls. A call whose arguments were cut, since the answer was stopped or became
too long, is no JSON object and is not sent; neither is its result. Answers that follow one another, since
what was between them is left out, are joined.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct, field
from msgspec.structs import replace

from stream_serve.conversations import tokens as counted
from stream_serve.conversations.base import ASSISTANT, TOOL, USER, Status
from stream_serve.producers.provider import is_picture, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_serve.conversations.base import Message
    from stream_serve.events.transcript import CalledTool

Content = str | list[dict[str, object]]

_BETWEEN: Final = "\n\n"
_NO_ARGUMENTS: Final = "{}"
_LEFT_OUT: Final[dict[str, object]] = {"type": "text", "text": "[picture]"}
"""What stands in the place of a picture for a model that takes none."""


class Step(Struct):
    """An answer, with its calls that have a result, and these results in the same order."""

    text: str
    calls: list[CalledTool] = field(default_factory=list)
    results: list[Message] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """About how many tokens it has."""
        return sum(map(counted.of_message, self.sent()))

    def sent(self) -> list[dict[str, object]]:
        """Return it as messages."""
        answer: dict[str, object] = {"role": ASSISTANT, "content": self.text or None}
        if self.calls:
            answer["tool_calls"] = [_call(one) for one in self.calls]
        return [answer, *map(_result, self.results)]


class Exchange(Struct):
    """A question, and the steps that followed it."""

    question: Content
    steps: list[Step] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """About how many tokens all of it has."""
        return counted.of_content(self.question) + sum(one.tokens for one in self.steps)


def messages(path: Sequence[Message], tokens: int) -> list[dict[str, object]]:
    """Return what of a path goes to the provider, in OpenAI's format and within `tokens`.

    The path is `answerable`. Its messages alternate but for tools' results, begin with a question, and
    are not empty; the last exchange is there whole, also when it alone has more than `tokens`.
    """
    *earlier, last = exchanges(path)
    return _alternating([*_newest(earlier, tokens - last.tokens), last])


def answerable(path: Sequence[Message]) -> bool:
    """Return whether a path ends with a question, or with a result whose call is sent, too."""
    if not path or path[-1].role == ASSISTANT:
        return False
    if path[-1].role == USER:
        return True
    found = exchanges(path)
    return bool(found and found[-1].steps and found[-1].steps[-1].results)


def without_pictures(path: Sequence[Message]) -> list[Message]:
    """Return a path for a model that takes no pictures, with a word in the place of each."""
    return [replace(message, content=_seen(message.content)) for message in path]


def asked(path: Sequence[Message]) -> int:
    """Return about how many tokens the last exchange of a path has."""
    return exchanges(path)[-1].tokens


def exchanges(path: Iterable[Message]) -> list[Exchange]:
    """Return the questions of a path with what followed them, without those in which there is nothing.

    The last exchange stays, whatever is in its question: it is what is asked now.
    """
    divided: list[tuple[Content, list[Message]]] = []
    for message in path:
        if message.role == USER:
            divided.append((_filled(message.content), []))
        elif divided:
            divided[-1][1].append(message)
    last = len(divided) - 1
    return [
        Exchange(question, steps(after))
        for n, (question, after) in enumerate(divided)
        if n == last or not _blank(question)
    ]


def steps(after: Iterable[Message]) -> list[Step]:
    """Return answers, and the results of their calls, as steps in which there is something."""
    found: list[Step] = []
    answer: Message | None = None
    results: dict[str, Message] = {}
    for message in after:
        if message.role == TOOL:
            results.setdefault(message.tool_call_id or "", message)
            continue
        if answer is not None:
            _add(found, answer, results)
        answer, results = message, {}
    if answer is not None:
        _add(found, answer, results)
    return found


def open_calls(answer: Message) -> list[CalledTool]:
    """Return the calls of an answer that can have a result: those that are whole, each id once."""
    if answer.status is Status.GENERATING:
        return []
    found: dict[str, CalledTool] = {}
    for call in answer.tool_calls or ():
        whole = _whole(call, answer.status)
        if whole is not None:
            found.setdefault(call.id, whole)
    return [*found.values()]


def _add(found: list[Step], answer: Message, results: dict[str, Message]) -> None:
    """Add an answer with its results; joined with the one before it, if nothing is between them."""
    text = text_of(answer.content)
    calls = [call for call in open_calls(answer) if call.id in results] if results else []
    step = Step(text if text.strip() else "", calls, [results[call.id] for call in calls])
    if not step.text and not step.calls:
        return
    if found and not found[-1].calls:
        before = found.pop().text
        step.text = _BETWEEN.join(filter(None, (before, step.text)))
    found.append(step)


def _whole(call: CalledTool, status: Status) -> CalledTool | None:
    """Return a call whose arguments are an object; without any, that is an empty one.

    None for a call that was cut.
    """
    if not call.arguments.strip():
        return replace(call, arguments=_NO_ARGUMENTS) if status is Status.COMPLETE else None
    try:
        return call if isinstance(json.loads(call.arguments), dict) else None
    except (ValueError, RecursionError):
        return None


def _call(call: CalledTool) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _result(message: Message) -> dict[str, object]:
    named: dict[str, object] = {} if message.name is None else {"name": message.name}
    return {
        "role": TOOL,
        "tool_call_id": message.tool_call_id,
        **named,
        "content": message.content,
    }


def _newest(earlier: Sequence[Exchange], tokens: int) -> list[Exchange]:
    """Return the newest exchanges that fit into `tokens` together."""
    kept: list[Exchange] = []
    for exchange in reversed(earlier):
        tokens -= exchange.tokens
        if tokens < 0:
            break
        kept.append(exchange)
    return kept[::-1]


def _alternating(kept: Sequence[Exchange]) -> list[dict[str, object]]:
    """Return exchanges as messages; questions that nothing followed are joined with the next one."""
    result: list[dict[str, object]] = []
    waiting: list[Content] = []
    for exchange in kept:
        waiting.append(exchange.question)
        if exchange.steps or exchange is kept[-1]:
            result.append({"role": USER, "content": joined(waiting)})
            waiting = []
        for step in exchange.steps:
            result += step.sent()
    return result


def _seen(content: Content) -> Content:
    if isinstance(content, str):
        return content
    return [_LEFT_OUT if is_picture(part) else part for part in content]


def joined(contents: Sequence[Content]) -> Content:
    """Return several contents as one: texts as paragraphs, anything else as a list of parts."""
    if len(contents) == 1:
        return contents[0]
    if all(isinstance(content, str) for content in contents):
        return _BETWEEN.join(cast("Sequence[str]", contents))
    return [part for content in contents for part in _parts(content)]


def _parts(content: Content) -> list[dict[str, object]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _filled(content: Content) -> Content:
    """Return a content without parts in which there is nothing, unless all are such."""
    if isinstance(content, str):
        return content
    return [part for part in content if not _blank([part])] or content


def _blank(content: Content) -> bool:
    """Return whether there is nothing in a content: only blanks, or no part but such texts."""
    if isinstance(content, str):
        return not content.strip()
    return all(
        part.get("type") == "text" and not str(part.get("text", "")).strip() for part in content
    )
