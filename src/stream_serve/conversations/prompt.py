"""What a provider is told of a conversation: its newest questions and answers, in a form that all take.

How it works: many providers and chat templates refuse a history whose roles do not alternate, that does
not begin with a question, or that has an empty message. But a conversation has questions without an
answer (it failed, or was stopped before its first token), and a budget may cut it anywhere. So the path
is read as exchanges: a question, and its answer if there is one. Only whole exchanges are kept, the
newest that fit into the budget. A question without an answer is then joined with the next one,
so that the model still reads what the user said. A question in which there is nothing is left out, with
its answer. The last question is always sent whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from msgspec import Struct

from stream_serve.events import usage
from stream_serve.producers.provider import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stream_serve.conversations.base import Message

Content = str | list[dict[str, object]]

_BETWEEN = "\n\n"


class Exchange(Struct, frozen=True):
    """A question, and its answer; an empty text where it has none."""

    question: Content
    answer: str = ""

    @property
    def tokens(self) -> int:
        """About how many tokens both have."""
        return usage.count_of(text_of(self.question)) + usage.count_of(self.answer)


def messages(path: Sequence[Message], tokens: int) -> list[dict[str, object]]:
    """Return what of a path goes to the provider, in OpenAI's format and within `tokens`.

    The path ends with a question. Its messages alternate, begin with a question, and are not empty; the
    last one is that question, whole, also when it alone has more than `tokens`.
    """
    *earlier, last = exchanges(path)
    return _alternating([*_newest(earlier, tokens - last.tokens), last])


def exchanges(path: Iterable[Message]) -> list[Exchange]:
    """Return the questions of a path with their answers, without those in which there is nothing.

    The last message stays, whatever is in it: it is what is asked now.
    """
    found: list[Exchange] = []
    question: Content | None = None
    for message in path:
        if message.role == "user":
            if question is not None and not _blank(question):
                found.append(Exchange(question))
            question = _filled(message.content)
        elif question is not None:
            answer = text_of(message.content)
            if not _blank(question):
                found.append(Exchange(question, answer if answer.strip() else ""))
            question = None
    if question is not None:
        found.append(Exchange(question))
    return found


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
    """Return exchanges as messages; questions without an answer are joined with the next one."""
    result: list[dict[str, object]] = []
    asked: list[Content] = []
    for exchange in kept:
        asked.append(exchange.question)
        if exchange.answer or exchange is kept[-1]:
            result.append({"role": "user", "content": joined(asked)})
            asked = []
        if exchange.answer:
            result.append({"role": "assistant", "content": exchange.answer})
    return result


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
