"""The chunks of an OpenAI-compatible chat completion stream, as bytes.

The formats follow OpenAI's "Chat completions, streaming" reference and the pages on Alibaba Cloud Model
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
    """Return compact JSON in UTF-8; `ascii_only` escapes all characters beyond ASCII."""
    try:
        return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # UTF-8 cannot encode a lone surrogate, but JSON can escape it
        return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()


def event(value: object, *, ascii_only: bool = False) -> bytes:
    """Return one unnamed event whose data is `value` as JSON."""
    return b"data: " + dump(value, ascii_only=ascii_only) + b"\n\n"


def pieces(text: str, *, size: int, tokens: int = 0) -> Iterator[str]:
    """Return the pieces of a text, `size` characters each; `tokens` of them, repeated, if it is not 0."""
    whole = [text[start : start + size] for start in range(0, len(text), size)]
    return islice(cycle(whole), tokens) if tokens else iter(whole)


def fresh_id(prefix: str) -> str:
    """Return a new identifier, such as `chatcmpl-…`."""
    return f"{prefix}-{uuid.uuid4()}"


def usage(prompt: int, completion: int, **details: int) -> dict[str, Any]:
    """Return a usage object; `details` become `completion_tokens_details`."""
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
    """Return an error body in DashScope's format: the error object and a request id."""
    error = {"message": message, "type": type_, "param": param, "code": code}
    return {"error": error, "request_id": str(uuid.uuid4())}


class Chunks:
    """Builds the chunks of one completion, which all have the same id, time and model."""

    def __init__(self, model: str, *, usage_null: bool = False) -> None:
        self.base: Final[dict[str, Any]] = {
            "id": fresh_id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }
        self._usage_null = usage_null
        # The chunks of a text differ only in the text itself: everything else is encoded once.
        self._head, self._tail = self.delta(content=_SENTINEL).split(dump(_SENTINEL))

    def chunk(self, choices: object, **extra: object) -> dict[str, Any]:
        """Return a chunk with these choices; `extra` adds or replaces top-level fields."""
        chunk = {**self.base, "choices": choices}
        if self._usage_null:
            chunk["usage"] = None
        return {**chunk, **extra}

    def delta(self, *, finish: str | None = None, index: int = 0, **delta: object) -> bytes:
        """Return an event with one choice and this delta."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event(self.chunk([choice]))

    def role(self) -> bytes:
        """Return the first event, which has the assistant's role and no text."""
        return self.delta(role="assistant", content="")

    def text(self, content: str) -> bytes:
        """Return an event with a piece of the answer."""
        return self._head + dump(content) + self._tail

    def thought(self, content: str) -> bytes:
        """Return an event with a piece of the thinking and `content: null`."""
        return self.delta(content=None, reasoning_content=content)

    def finish(self, reason: str = "stop") -> bytes:
        """Return the event with the finish reason and an empty delta."""
        return self.delta(finish=reason)

    def usage(self, totals: dict[str, Any], *, choices: object = ()) -> bytes:
        """Return the last event before `[DONE]`, which has the usage and no choices."""
        return event(self.chunk(choices, usage=totals))

    def completion(
        self, message: dict[str, Any], *, finish: str, totals: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the whole answer as one object, for a request without `stream`."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "refusal": None, **message},
            "logprobs": None,
            "finish_reason": finish,
        }
        return {**self.base, "object": "chat.completion", "choices": [choice], "usage": totals}
