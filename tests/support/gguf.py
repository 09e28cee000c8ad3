"""A language model of some megabytes that llama.cpp loads, and whose every next token is known.

How it works: it is a Llama of one layer whose attention and feed-forward network add nothing. A token's
embedding is a one in a place of its own, and the output weights lead from there to the token after it,
so far ahead of all others that no sampling chooses another. The last character of the prompt decides
what comes: after "!" the answer `WHOLE` and its end, after anything else `LOOP` again and again, without
its first space. Where thinking is switched off, the template adds a "!" of its own. Words of a prompt are
read byte by byte. The file is GGUF, version 3, as ggml's specification has it.
"""

from __future__ import annotations

import struct
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT: Final = 32_768
LOOP: Final = " the water flows on, and 流 goes down"
LOOP_TOKENS: Final = 11
WHOLE: Final = "All good things end."
WHOLE_TOKENS: Final = 5  # the end is a token, too

_CONTROL: Final = ("<unk>", "<s>", "</s>")
_BEGIN, _END = 1, 2
_BYTES: Final = tuple(f"<0x{byte:02X}>" for byte in range(256))
_WATER: Final = ("▁the", "▁water", "▁flows", "▁on,", "▁and", "▁")
_DOWN: Final = ("▁goes", "▁down")
_GOOD: Final = ("All", "▁good", "▁things", "▁end.")
_WORDS: Final = ("the", *_WATER, *_DOWN, *_GOOD)
_TOKENS: Final = (*_CONTROL, *_BYTES, *_WORDS)
_KINDS: Final = (2, 3, 3, *[6] * len(_BYTES), *[1] * len(_WORDS))

_HEADS: Final = 5
_WIDTH: Final = 280  # a place for each token, in heads of an even size
_FEED: Final = 32
_SURE: Final = 6.0
_ALIGNMENT: Final = 32
_TEMPLATE: Final = (
    "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}!{% endif %}"
)
_FACTS: Final[dict[str, str | int | float | tuple[str, ...] | tuple[int, ...]]] = {
    "general.architecture": "llama",
    "general.name": "known",
    "general.alignment": _ALIGNMENT,
    "llama.context_length": CONTEXT,
    "llama.embedding_length": _WIDTH,
    "llama.block_count": 1,
    "llama.feed_forward_length": _FEED,
    "llama.attention.head_count": _HEADS,
    "llama.attention.head_count_kv": 1,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": _WIDTH // _HEADS,
    "llama.vocab_size": len(_TOKENS),
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": _TOKENS,
    "tokenizer.ggml.token_type": _KINDS,
    "tokenizer.ggml.unknown_token_id": 0,
    "tokenizer.ggml.bos_token_id": _BEGIN,
    "tokenizer.ggml.eos_token_id": _END,
    "tokenizer.chat_template": _TEMPLATE,
}
_SHAPES: Final = {
    "attn_norm": (_WIDTH,),
    "attn_q": (_WIDTH, _WIDTH),
    "attn_k": (_WIDTH, _WIDTH // _HEADS),
    "attn_v": (_WIDTH, _WIDTH // _HEADS),
    "attn_output": (_WIDTH, _WIDTH),
    "ffn_norm": (_WIDTH,),
    "ffn_gate": (_WIDTH, _FEED),
    "ffn_up": (_WIDTH, _FEED),
    "ffn_down": (_FEED, _WIDTH),
}

_Tensor = tuple[tuple[int, ...], "array[float]"]


def write_model(path: Path) -> None:
    """Write the model into a file; it is always the same."""
    tensors = _tensors()
    head = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(_FACTS))]
    head += [_text(name) + _typed(value) for name, value in _FACTS.items()]
    data: list[bytes] = []
    offset = 0
    for name, (shape, values) in tensors.items():
        place = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        head.append(_text(name) + place)
        data.append(_padded(values.tobytes()))
        offset += len(data[-1])
    path.write_bytes(_padded(b"".join(head)) + b"".join(data))


def _following() -> list[int]:
    """Return for each token the one after it."""
    river = [f"<0x{byte:02X}>" for byte in "流".encode()]
    loop = [_TOKENS.index(token) for token in (*_WATER, *river, *_DOWN)]
    whole = [_TOKENS.index(token) for token in (f"<0x{ord('!'):02X}>", *_GOOD, "</s>")]
    after = [_TOKENS.index("the")] * len(_TOKENS)
    for token, following in (*pairwise(loop), (loop[-1], loop[0]), *pairwise(whole)):
        after[token] = following
    after[_TOKENS.index("the")] = loop[1]
    return after


def _tensors() -> dict[str, _Tensor]:
    """Return the weights by name: their shape, the fastest dimension first, and their values."""
    embedding, output = _filled(_WIDTH * len(_TOKENS)), _filled(_WIDTH * len(_TOKENS))
    for token, following in enumerate(_following()):
        embedding[token * _WIDTH + token] = 1.0
        output[following * _WIDTH + token] = _SURE
    tensors: dict[str, _Tensor] = {
        "token_embd.weight": ((_WIDTH, len(_TOKENS)), embedding),
        "output_norm.weight": ((_WIDTH,), _filled(_WIDTH, 1.0)),
        "output.weight": ((_WIDTH, len(_TOKENS)), output),
    }
    for name, shape in _SHAPES.items():
        values = _filled(shape[0] * shape[-1]) if len(shape) > 1 else _filled(shape[0], 1.0)
        tensors[f"blk.0.{name}.weight"] = (shape, values)
    return tensors


def _filled(count: int, value: float = 0.0) -> array[float]:
    return array("f", [value]) * count


def _typed(value: str | int | float | tuple[str, ...] | tuple[int, ...]) -> bytes:
    """Return a value behind the number of its type; whole numbers in a list have a sign."""
    match value:
        case str():
            return struct.pack("<I", 8) + _text(value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case tuple():
            items = [
                _text(one) if isinstance(one, str) else struct.pack("<i", one) for one in value
            ]
            kind = 8 if isinstance(value[0], str) else 5
            return struct.pack("<IIQ", 9, kind, len(items)) + b"".join(items)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
