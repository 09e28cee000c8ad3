"""`DemoProvider`: the built-in demo model, which answers when no provider is configured.

It needs no key and no network. It says that it is a demo and how to connect a real model, and streams at
a reading pace, in Chinese or English like the question.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from stream_serve.events import usage
from stream_serve.events.types import Chunk, Reasoning
from stream_serve.producers.base import Finish
from stream_serve.producers.provider import ChatRequest, Model

if TYPE_CHECKING:
    from stream_serve.events.types import Delta, Usage
    from stream_serve.producers.base import Emit, Patience

MODEL: Final = "demo"

_WIDE: Final = r"\u3000-\u9fff\uff00-\uffef"
_PIECE: Final = re.compile(rf"[{_WIDE}]{{1,2}}|\s*[^\s{_WIDE}]{{1,10}}|\s+")
_CJK: Final = re.compile("[\u3400-\u9fff]")
_QUOTE_LENGTH: Final = 120

_THOUGHT_ZH: Final = """\
用户问的是：“{quote}”。
我是内置的演示模型，没有真正的知识，所以我应该先说明这一点，再展示流式输出的样子：一段文字、一个列表、一段代码。"""

_ANSWER_ZH: Final = """\
你好！我是 **stream-serve 内置的演示模型**，不是真正的大模型。你刚才说：

> {quote}

我没法真正回答它，但你现在看到的就是流式输出：

1. 每个片段都是一个 SSE 事件，一到就显示；
2. 随时可以点击停止按钮，生成会立刻停止；
3. 打开思考模式，会先看到一段思考过程。

用 Python 读取这个流只需要几行：

```python
import json, urllib.request

request = urllib.request.Request(
    "http://localhost:3000/ai/chat/stream-sse",
    data=json.dumps({{"message": "你好"}}).encode(),
    headers={{"Content-Type": "application/json"}},
)
for line in urllib.request.urlopen(request):
    if line.startswith(b"data: "):
        print(json.loads(line[6:]).get("content", ""), end="", flush=True)
```

{advice}"""

_THOUGHT_EN: Final = """\
The user asks: "{quote}".
I am the built-in demo model and know nothing, so I should say that first, and then show what a stream \
looks like: some text, a list, a piece of code."""

_ANSWER_EN: Final = """\
Hello! I am the **built-in demo model of stream-serve**, not a real language model. You said:

> {quote}

I cannot really answer that, but what you are watching is a real stream:

1. every piece is one SSE event, shown as soon as it arrives;
2. press the stop button at any time, and the generation stops at once;
3. switch thinking on, and you see some thoughts first.

Reading the stream in Python takes a few lines:

```python
import json, urllib.request

request = urllib.request.Request(
    "http://localhost:3000/ai/chat/stream-sse",
    data=json.dumps({{"message": "Hello"}}).encode(),
    headers={{"Content-Type": "application/json"}},
)
for line in urllib.request.urlopen(request):
    if line.startswith(b"data: "):
        print(json.loads(line[6:]).get("content", ""), end="", flush=True)
```

{advice}"""


class Advice(Struct, frozen=True):
    """How to connect a real model, as text for the user in both languages."""

    chinese: str
    english: str


class DemoProvider:
    """The demo model. `pace` is the time between two pieces of an answer, in seconds."""

    def __init__(self, advice: Advice | None = None, pace: float = 0.035) -> None:
        self.advice = advice or Advice("", "")
        self.pace = pace

    @property
    def models(self) -> list[Model]:
        """The demo model alone."""
        return [Model(name=MODEL, default=True, thinks=True, sees=False, tools=False)]

    async def model_for(self, asked: str | None) -> str:
        """Return the name of the demo model, whichever model the request names."""
        del asked
        return MODEL

    def context_of(self, model: str) -> int | None:
        """Return None: it takes what it is given."""

    async def look_up(self, model: str) -> None:
        """Do nothing: there is no server."""

    def ask(self, request: ChatRequest) -> DemoProducer:
        """Return the producer of an answer; it does not start yet."""
        return DemoProducer(request, self)

    def unsupported(self, request: ChatRequest) -> dict[str, str]:
        """Return nothing: the demo ignores what it does not know."""
        del request
        return {}

    async def close(self) -> None:
        """Do nothing: the demo has no connections."""


class DemoProducer:
    """One answer of the demo model."""

    patience: Patience | None = None
    usage: Usage | None = None
    closed: bool | None = None
    model = MODEL

    def __init__(self, request: ChatRequest, provider: DemoProvider) -> None:
        self._request = request
        self._provider = provider

    @property
    def prompt_tokens(self) -> int:
        """The estimated tokens of the prompt."""
        return usage.count(self._request.text)

    async def produce(self, emit: Emit) -> Finish:
        """Emit the answer, one piece each `pace`; cancelled, it stops between two pieces."""
        options = self._request.options
        asked = self._request.question
        quote = " ".join(asked.split())
        if len(quote) > _QUOTE_LENGTH:
            quote = quote[:_QUOTE_LENGTH] + "…"
        chinese = _CJK.search(asked) is not None
        thought, answer = (_THOUGHT_ZH, _ANSWER_ZH) if chinese else (_THOUGHT_EN, _ANSWER_EN)
        advice = self._provider.advice
        answer = answer.format(quote=quote, advice=advice.chinese if chinese else advice.english)
        deltas: list[Delta] = []
        if options.get("enable_thinking"):
            deltas += [Reasoning(piece) for piece in _PIECE.findall(thought.format(quote=quote))]
        deltas += [Chunk(piece) for piece in _PIECE.findall(answer)]
        limit = cast("int", options.get("max_tokens", len(deltas)))
        for delta in deltas[:limit]:
            await asyncio.sleep(self._provider.pace)
            emit([delta])
        return Finish("stop" if limit >= len(deltas) else "length")

    async def close(self) -> None:
        """Do nothing: the demo has no connections."""
