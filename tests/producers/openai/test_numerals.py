"""Numbers that Python or JSON cannot hold, wherever a provider puts them."""

from __future__ import annotations

import pytest

from stream_serve.events.types import Chunk, Extra, Reasoning
from stream_serve.producers.openai import failures
from support.chunks import read
from support.deltas import content_of

NUMERALS = [
    *("0", "-0", "7", "-0.0", "1E5", "1e999", "-1e999", "NaN", "Infinity", "-Infinity"),
    *("9" * 100, "1" * 4299, "1" * 4300, "1" * 5000, "-" + "1" * 5000, "0." + "1" * 5000),
    *("1" * 5000 + ".5", "1e" + "9" * 5000),
]
CHUNK = '{"choices":[{"delta":{"content":"a"%s},"finish_reason":null%s}]%s}'


@pytest.mark.parametrize("numeral", NUMERALS)
def test_a_number_in_the_place_of_the_text_is_the_text_as_it_is_written(numeral: str) -> None:
    reading, deltas = read(f'{{"choices":[{{"delta":{{"content":{numeral}}}}}]}}'.encode())
    assert deltas == [Chunk(numeral)]
    for part in (numeral, f'{{"type":"text","text":{numeral}}}'):
        more, deltas = read(f'{{"choices":[{{"delta":{{"content":[{part}]}}}}]}}'.encode())
        (delta,) = deltas
        assert repr(abs(float(content_of(delta)))) == repr(abs(float(numeral)))
        assert (reading.unread.lost, more.unread.lost) == (None, None)


@pytest.mark.parametrize("numeral", NUMERALS)
def test_a_number_anywhere_else_costs_no_text(numeral: str) -> None:
    for name in ("index", "role", "tool_calls", "finish_reason", "usage", "logprobs", "error_code"):
        field = f',"{name}":{numeral}'
        for chunk in (CHUNK % (field, "", ""), CHUNK % ("", field, ""), CHUNK % ("", "", field)):
            reading, deltas = read(chunk.encode())
            assert [one for one in deltas if not isinstance(one, Extra)] == [Chunk("a")]
            assert (reading.error, reading.unread.lost) == (None, None)


@pytest.mark.parametrize("numeral", NUMERALS)
def test_a_number_among_figures_thoughts_and_errors_is_read_or_left_out(numeral: str) -> None:
    reading, _ = read(f'{{"choices":[],"usage":{{"prompt_tokens":{numeral}}}}}'.encode())
    assert reading.usage is None
    _, deltas = read(f'{{"choices":[{{"delta":{{"reasoning":{numeral}}}}}]}}'.encode())
    assert deltas in ([], [Reasoning(numeral)])
    reading, _ = read(f'{{"error":{{"code":{numeral},"message":"no","type":"x"}}}}'.encode())
    assert reading.error is not None
    assert failures.read(reading.error.error).message == "no"
