"""Protocol chunks: the pieces of an OpenAI-compatible chat completion stream, as bytes.

Shapes after OpenAI's "Chat completions, streaming" reference and the pages on Alibaba Cloud Model
Studio's OpenAI-compatible mode.
"""

from __future__ import annotations

import json
import time
import uuid
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE: Final = b"data: [DONE]\n\n"

ANSWER: Final = """\
你好！这是一段**流式输出**的示例回答,它会一小段一小段地到达。

Streaming means that every piece is shown *as it arrives* — nothing waits for the end. 🚀

1. 客户端发送一条消息;
2. the server relays each token;
3. 用户点击停止,上游连接立即关闭 ✅

```python
async for piece in stream:
    print(piece, end="", flush=True)  # 你好 👩‍💻
```

> Zwölf Boxkämpfer jagen Viktor — naïve café, 日本語, العربية.

Done. 完成！
"""

THOUGHT: Final = (
    "用户想知道流式输出是什么。Let me think step by step: first the idea, then an example. 🤔"
)

_SENTINEL: Final = "\x01content\x01"


def dump(value: object, *, ascii_only: bool = False) -> bytes:
    """Compact JSON in UTF-8; `ascii_only` writes everything beyond ASCII as escapes."""
    try:
        return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8, but it has an escape
        return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()


def event(value: object, *, ascii_only: bool = False) -> bytes:
    """One unnamed event whose data is this JSON value."""
    return b"data: " + dump(value, ascii_only=ascii_only) + b"\n\n"


def pieces(text: str, *, size: int, tokens: int = 0) -> Iterator[str]:
    """Cut a text in pieces of `size` characters; with `tokens`, that many, repeating the text."""
    whole = [text[start : start + size] for start in range(0, len(text), size)]
    return islice(cycle(whole), tokens) if tokens else iter(whole)


def fresh_id(prefix: str) -> str:
    """A new identifier, such as `chatcmpl-…`."""
    return f"{prefix}-{uuid.uuid4()}"


def usage(prompt: int, completion: int, **details: int) -> dict[str, Any]:
    """A usage object; `details` become `completion_tokens_details`."""
    totals: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if details:
        totals["completion_tokens_details"] = details
    return totals


def failure(
    message: str,
    *,
    code: str | None,
    type_: str = "invalid_request_error",
    param: str | None = None,
) -> dict[str, Any]:
    """An error body as DashScope sends it: the error object and the request's id."""
    error = {"message": message, "type": type_, "param": param, "code": code}
    return {"error": error, "request_id": str(uuid.uuid4())}


class Chunks:
    """Builds the chunks of one completion: all carry the same id, time and model."""

    def __init__(self, model: str, *, usage_null: bool = False) -> None:
        self.base: Final[dict[str, Any]] = {
            "id": fresh_id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }
        self._usage_null = usage_null
        # A stream of many thousand pieces differs in this one place only: build the rest once.
        self._head, self._tail = self.delta(content=_SENTINEL).split(dump(_SENTINEL))

    def chunk(self, choices: object, **extra: object) -> dict[str, Any]:
        """A chunk with these choices; `extra` adds or replaces top-level fields."""
        chunk = {**self.base, "choices": choices}
        if self._usage_null:
            chunk["usage"] = None
        return {**chunk, **extra}

    def delta(self, *, finish: str | None = None, index: int = 0, **delta: object) -> bytes:
        """An event with one choice that carries this delta."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(self.chunk([choice]))

    def role(self) -> bytes:
        """The first event: the assistant's role and no text."""
        return self.delta(role="assistant", content="")

    def text(self, content: str) -> bytes:
        """An event that carries a piece of the answer."""
        return self._head + dump(content) + self._tail

    def thought(self, content: str) -> bytes:
        """An event that carries a piece of the thinking, with `content: null`."""
        return self.delta(content=None, reasoning_content=content)

    def finish(self, reason: str = "stop") -> bytes:
        """The event with the finish reason and an empty delta."""
        return self.delta(finish=reason)

    def usage(self, totals: dict[str, Any], *, choices: object = ()) -> bytes:
        """The last event before `[DONE]`: no choices, the totals."""
        return event(self.chunk(choices, usage=totals))

    def completion(
        self, message: dict[str, Any], *, finish: str, totals: dict[str, Any]
    ) -> dict[str, Any]:
        """The whole answer as one object, for a request that did not ask for a stream."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "refusal": None, **message},
            "logprobs": None,
            "finish_reason": finish,
        }
        return {**self.base, "object": "chat.completion", "choices": [choice], "usage": totals}
