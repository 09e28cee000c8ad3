"""Token counts estimated from the text, for answers whose provider reports no usage.

How it works: a vocabulary is too large to carry along, so the estimate is a sum. Each byte of the text is
replaced by its class (a small letter, a digit, the first byte of a Chinese character, …), and some short
sequences of classes are counted: begins of words, long words, digits, runs of punctuation, characters of
each script. Each has a weight in tokens. The weights were fitted to Qwen's vocabulary by
`scripts/fit-usage`; how far they are from it is in `docs/api.md`, and other vocabularies differ more. All
is done once, at the end of a run, in a few passes over its bytes. The messages of a conversation are
counted for each of its questions, and so their counts are remembered.
"""

from __future__ import annotations

from typing import Final

from stream_serve.events.types import Usage

WEIGHTS: Final = {
    "words": 0.9,  # a usual English word is one token, with the space before it
    "foreign": 0.71,  # a word of another language in Latin letters is more
    "long4": 0.11,
    "long9": 0.44,
    "long12": 0.0,
    "camel": 0.0,  # camelCase
    "mixed": 2.75,  # letters as in base64
    "capitals": 0.13,
    "letters after digits": 0.18,
    "digits": 1.0,  # each digit is one token
    "spaces before digits": 1.0,
    "punctuation before letters": 0.49,
    "punctuation": 0.95,
    "more punctuation": 0.17,
    "rules": 0.0,  # lines of equal marks: three of four cost nothing
    "backslashes": 1.62,
    "names": 0.83,  # words with a capital, but for those after a mark
    "line ends": 0.78,
    "indents": 0.98,
    "Central European": 0.7,
    "Greek": 0.84,
    "Cyrillic": 0.36,
    "Ukrainian": 1.85,
    "Hebrew": 0.7,
    "Arabic": 0.44,
    "Persian": 2.18,
    "Thai": 0.52,
    "Indic": 1.16,
    "kana": 0.6,
    "CJK punctuation": 0.63,
    "Han": 0.55,
    "traditional": 2.86,  # some frequent ones of what simplified Chinese writes otherwise
    "spaces before Han": 1.72,
    "Hangul": 0.86,
    "full-width": 0.97,
    "general punctuation": 1.45,
    "symbols": 1.71,
    "emoji": 1.48,
    "variation selectors": 1.89,
}
"""How many tokens each thing that `measure` counts stands for."""

REMEMBERED: Final = 32_768
"""How many counts of texts are remembered, which takes some 4 MB."""

_WEIGHTS: Final = tuple(WEIGHTS.values())
_ENGLISH: Final = (b" the ", b" and ", b" of ", b" to ", b" is ", b" that ")
_WORDS_PER_ENGLISH: Final = 12
_RULES: Final = tuple(mark * 4 for mark in (b"-", b"=", b"_"))
_TRADITIONAL: Final = tuple(one.encode() for one in "這個來時會")
remembered: Final[dict[int, int]] = {}
"""The counts by the hashes of their texts."""


def _table(classes: dict[str, tuple[int, ...] | range], rest: str) -> bytes:
    table = bytearray(rest.encode() * 256)
    for name, members in classes.items():
        for member in members:
            table[member] = ord(name)
    return bytes(table)


_CLASS: Final = _table(
    {
        ".": range(0x21, 0x7F),
        "a": range(ord("a"), ord("z") + 1),
        "A": range(ord("A"), ord("Z") + 1),
        "0": range(ord("0"), ord("9") + 1),
        " ": (0x09, 0x0B, 0x0C, 0x20),
        "\n": (0x0A, 0x0D),
        "c": range(0x80, 0xC0),  # all further bytes of a character in UTF-8
        "e": (0xC3,),
        "p": range(0xC4, 0xCA),
        "g": range(0xCA, 0xD0),
        "r": range(0xD0, 0xD4),
        "h": range(0xD4, 0xD8),
        "b": (0xD8, 0xD9),
        "q": range(0xDA, 0xDD),
        "i": (0xE0,),
        "v": (0xE1,),
        "k": (0xE3,),
        "H": range(0xE4, 0xEA),
        "o": range(0xEA, 0xEE),
        "f": (0xEE, 0xEF),
        "y": (0xC2, 0xE2),
        "E": range(0xF0, 0xF8),
    },
    rest="x",
)
_WORD: Final = _table({"a": tuple(b"aA"), "e": tuple(b"eprgv")}, rest=" ")
_RUN: Final = _table({".": tuple(b"."), " ": tuple(b" "), "\n": tuple(b"\n")}, rest="x")


def count(text: str) -> int:
    """Return an estimate of the tokens in `text`; 0 only for an empty text."""
    if not text:
        return 0
    weighed = zip(measure(text), _WEIGHTS, strict=False)
    return max(1, round(sum(number * weight for number, weight in weighed)))


def count_of(text: str) -> int:
    """Return `count` of a text that may be asked for again, such as a message of a history."""
    key = hash(text)
    found = remembered.get(key)
    if found is None:
        if len(remembered) >= REMEMBERED:
            remembered.clear()
        found = remembered[key] = count(text)
    return found


def measure(text: str) -> tuple[int, ...]:
    """Return how often each thing of `WEIGHTS` is in a text; those of ASCII only for a text in it."""
    raw = text.encode("utf-8", "replace")
    classes = raw.translate(_CLASS)
    if text.isascii():
        return _measure_ascii(raw, classes)
    return _measure_ascii(raw, classes) + _measure_scripts(raw, classes)


def _measure_ascii(raw: bytes, classes: bytes) -> tuple[int, ...]:
    find = classes.count
    words = (b" " + classes.translate(_WORD)).count(b" a")
    runs = b"x" + classes.translate(_RUN)
    marks, before_letters = find(b"."), find(b".a") + find(b".A")
    mark_runs = runs.count(b"x.") + runs.count(b" .") + runs.count(b"\n.")
    prose = find(b"a a") + find(b"a A") - 2 * marks
    if prose > 0:
        prose -= _WORDS_PER_ENGLISH * sum(raw.count(word) for word in _ENGLISH)
    rules = sum(map(raw.count, _RULES)) if marks > mark_runs else 0
    capitals_inside, long = find(b"aA"), find(b"a" * 9)
    camel = find(b"aAaa") if capitals_inside else 0
    return (
        words,
        max(0, prose),
        find(b"aaaa"),
        long,
        find(b"a" * 12) if long else 0,
        camel,
        capitals_inside - camel,
        find(b"AA"),
        find(b"0a") + find(b"0A"),
        find(b"0"),
        find(b" 0"),
        before_letters,
        mark_runs - before_letters,
        marks - mark_runs - 3 * rules,
        rules,
        raw.count(b"\\"),
        find(b" Aa") + find(b"\nAa"),
        runs.count(b"x\n") + runs.count(b" \n"),
        runs.count(b"x  ") + runs.count(b"\n  ") + runs.count(b".  "),
    )


def _measure_scripts(raw: bytes, classes: bytes) -> tuple[int, ...]:
    find = classes.count
    thai = raw.count(b"\xe0\xb8") + raw.count(b"\xe0\xb9")
    cjk_marks, marks = raw.count(b"\xe3\x80"), raw.count(b"\xe2\x80")
    selectors, han = raw.count(b"\xef\xb8\x8f"), find(b"H")
    return (
        find(b"p"),
        find(b"g"),
        find(b"r"),
        raw.count(b"\xd1\x94") + raw.count(b"\xd1\x96") + raw.count(b"\xd1\x97"),
        find(b"h"),
        find(b"b"),
        find(b"q"),
        thai,
        find(b"i") - thai,
        find(b"k") - cjk_marks,
        cjk_marks,
        han,
        sum(map(raw.count, _TRADITIONAL)) if han else 0,
        find(b" H"),
        find(b"o"),
        find(b"f") - selectors,
        marks,
        find(b"y") - marks,
        find(b"E"),
        selectors,
    )


def estimate(
    *, prompt_tokens: int, answer: str, reasoning: str, pieces: tuple[int, int] = (0, 0)
) -> Usage:
    """Return the estimated usage of a run from its prompt's tokens and the text generated so far.

    `pieces` is in how many pieces the answer and the reasoning came: each is at least one token.
    """
    said, thought = max(count(answer), pieces[0]), max(count(reasoning), pieces[1])
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=said + thought,
        total_tokens=prompt_tokens + said + thought,
        source="estimated",
        reasoning_tokens=thought or None,
    )
