"""The finish_reasons of all servers, mapped to the four that OpenAI documents.

How it works: OpenAI's `finish_reason` is `stop`, `length`, `tool_calls` or `content_filter` (old servers
also send `function_call`). Other servers use the words of their engine: `eos_token` (TGI), `end_turn`
and `max_tokens` (Anthropic), `STOP`, `SAFETY` and `RECITATION` (Gemini), `sensitive` (Zhipu), `COMPLETE`
and `ERROR_LIMIT` (Cohere), `abort` (vLLM, SGLang), `insufficient_system_resource` (DeepSeek). A word with
the meaning of one of the four is mapped to it. A word for a failure means that the answer was cut off.
An unknown word means that the answer has ended for an unknown reason. A word that says that the answer
goes on (`in_progress`), or that stands for none (`undefined`, `FINISH_REASON_UNSPECIFIED`), says nothing.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from stream_serve.events import plain

_MAX_WORD: Final = 100
_SEPARATORS: Final = re.compile(r"[\W_]+")
_PREFIXES: Final = ("finish_reason_", "stop_reason_", "reason_")
_EMPTY: Final = frozenset(  # DashScope's own API says "null" until the end
    ("", "null", "none", "nil", "nan", "na", "false", "undefined", "unspecified", "unset", "empty")
)
_GOES_ON: Final = re.compile(
    "(is_|still_)?(in_?progress|on_?going|running|generating|streaming|processing|working|thinking|queued"
    "|pending|started|created|active|continue[ds]?|continuing|partial)|(not|un|never)_?(yet_)?"
    "(stop|end|finish|complete|done)[a-z]*|(to_be_)?continued"
)

_STOP: Final = (
    "stop stopped stop_sequence stop_sequences stop_token stop_word stop_words stop_string stop_str "
    "eos eos_token eos_found endoftext end_of_text end_of_sequence end_of_stream end_turn "
    "end_of_turn eot im_end end ended complete completed completion done finish finished normal success"
)
_LENGTH: Final = (
    "length max_length max_len length_limit max_tokens max_token max_new_tokens max_output_tokens "
    "max_completion_tokens token_limit tokens_limit limit stopped_limit max_context "
    "max_context_length context_length context_limit context_length_exceeded "
    "context_window_exceeded model_context_window_exceeded model_length error_limit"
)
_TOOLS: Final = "tool_calls tool_call tool_use function_call function_calls"
_FILTER: Final = (
    "content_filter content_filtered content_filtering contentfilter filtered safety sensitive "
    "recitation blocklist blocked prohibited_content prohibited spii refusal guardrail guardrails "
    "guardrail_intervened moderation model_armor image_safety image_recitation "
    "image_prohibited_content error_toxic"
)
_KNOWN: Final = {
    word: documented
    for words, documented in (
        (_STOP, "stop"),
        (_LENGTH, "length"),
        (_TOOLS, "tool_calls"),
        (_FILTER, "content_filter"),
    )
    for word in words.split()
}
_UNKNOWN_REASONS: Final = frozenset({"other", "unknown"})
_BROKEN: Final = re.compile(
    "abort|error|fail|cancel|time_?out|timed_out|time_limit|insufficient|overload|unavailable|interrupt"
    "|incomplete|truncat|exhaust|preempt|evict|crash|killed|malformed|unexpected|exception|disconnect"
    "|shut_?down|terminated|out_of_memory|(^|_)oom$|no_capacity|rate_limit|quota"
)


class Ending(Struct, frozen=True):
    """The meaning of a `finish_reason`.

    `reason` is one of the four documented words; None for a word that means a failure. `word` is the
    provider's own word if it differs, without control characters and at most 100 characters long.
    """

    reason: str | None
    word: str | None = None


def read(word: str) -> Ending | None:
    """Return the meaning of a finish_reason; None for one without a meaning, such as "" or "null".

    An unknown word becomes `stop` and is kept in `word`, because the provider ended the answer. A
    word that means a failure or an unknown reason ("other", "unknown") has no `reason`.
    """
    if word in _DOCUMENTED:
        return _DOCUMENTED[word]
    shown = clean(word)
    plain = _SEPARATORS.sub("_", shown.lower()).strip("_")
    for prefix in _PREFIXES:
        plain = plain.removeprefix(prefix)
    if plain in _EMPTY or _GOES_ON.fullmatch(plain):
        return None
    reason = _KNOWN.get(plain)
    if reason is None and plain not in _UNKNOWN_REASONS and not _BROKEN.search(plain):
        reason = "stop"
    return Ending(reason, None if shown == reason else shown)


def clean(word: str) -> str:
    """Return a word that is safe to display: no control characters, at most 100 characters."""
    return plain.line(word[: 10 * _MAX_WORD])[:_MAX_WORD]


_DOCUMENTED: Final = {word: Ending(word) for word in set(_KNOWN.values())}
