"""The kinds of servers: for each, what it wants and does otherwise than OpenAI's own.

A kind is a set of defaults; each trait can be set otherwise. The sources are the providers' own pages,
and what their servers were seen to refuse:

- `dashscope`: the page "OpenAI compatible" of Alibaba Cloud Model Studio. `enable_thinking` is a field of
  its own; thinking comes as `reasoning_content`.
- `openai`: the API reference. Newer models refuse `max_tokens`; unknown fields are refused.
- `azure`: the same API behind `api-key`, from API version 2024-09-01 on.
- `vllm`: the page "OpenAI-Compatible Server". Templates take `chat_template_kwargs`; usage can come with
  every chunk.
- `llamacpp`: the README of its server. Templates take `chat_template_kwargs`; every chunk can have
  `timings`.
- `ollama`: the page "OpenAI compatibility": neither form of `enable_thinking` is read.
- `mistral`: refuses what it does not know, `stream_options` too; usage comes without it.
- `openrouter`: sends comments while it waits for a model; `enable_thinking` is unknown.
- `generic`: every other server.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from stream_serve.producers.openai.endpoint import Traits


class Kind(Struct, frozen=True):
    """What servers of one kind have in common: their traits, and the form of their keys."""

    traits: Traits
    auth: Literal["bearer", "api-key"] = "bearer"


_OPENAI: Final = Traits(max_tokens="max_completion_tokens", thinking=None, think_tags="never")

KINDS: Final = {
    "dashscope": Kind(Traits(think_tags="never")),
    "openai": Kind(_OPENAI),
    "azure": Kind(_OPENAI, auth="api-key"),
    "vllm": Kind(Traits(thinking="chat_template_kwargs", continuous_usage=True)),
    "llamacpp": Kind(Traits(thinking="chat_template_kwargs", continuous_usage="timings_per_token")),
    "ollama": Kind(Traits(thinking=None)),
    "mistral": Kind(Traits(stream_options=False, thinking=None)),
    "openrouter": Kind(Traits(thinking=None)),
    "generic": Kind(Traits()),
}
