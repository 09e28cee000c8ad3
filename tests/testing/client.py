"""A client of the scripted upstream that shows an answer's bytes as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

    from stream_serve.testing import ScriptedUpstream

KEY = "sk-canary-0123456789-tail"


@dataclass(frozen=True)
class Answer:
    """What one request got, undecoded."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def chunks(self) -> list[Any]:
        """The JSON of every event, for answers written in the plainest way."""
        events = self.body.removesuffix(b"\n\n").split(b"\n\n")
        return [json.loads(one[6:]) for one in events if one != b"data: [DONE]"]

    @property
    def text(self) -> str:
        return plain(self.body)

    @property
    def finishes(self) -> list[str]:
        """All finish reasons, in their order."""
        choices = [choice for chunk in self.chunks for choice in chunk["choices"] or ()]
        return [choice["finish_reason"] for choice in choices if choice["finish_reason"]]


def plain(body: bytes) -> str:
    """The text of an answer whose events have one `data` line each, after LF line ends."""
    data = [line[5:].removeprefix(b" ") for line in body.split(b"\n") if line.startswith(b"data:")]
    chunks: list[Any] = [json.loads(one) for one in data if one.strip() != b"[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk["choices"] or ()]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@dataclass(frozen=True)
class Client:
    """Asks the upstream over a real socket; nothing is retried, followed or decompressed."""

    session: aiohttp.ClientSession
    upstream: ScriptedUpstream

    async def ask(self, model: str, *, usage: bool = False, **fields: object) -> Answer:
        """The whole answer; `usage` asks for the totals."""
        options = {"stream_options": {"include_usage": True}} if usage else {}
        async with self.post(model, **options, **fields) as response:
            body = await response.read()
            return Answer(response.status, dict(response.headers), body)

    def post(self, model: str, **fields: object) -> Any:
        messages = [{"role": "user", "content": "say it"}]
        body = {"model": model, "messages": messages, "stream": True, **fields}
        return self.session.post(
            f"{self.upstream.url}/chat/completions", json=body, allow_redirects=False
        )

    async def get(self, path: str) -> Any:
        async with self.session.get(self.upstream.origin + path) as response:
            return await response.json()
