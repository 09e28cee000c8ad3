"""The demo model: it answers without a key, and says what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_serve.events.types import Chunk, Reasoning
from stream_serve.events.usage import count
from stream_serve.producers.base import Finish
from stream_serve.producers.demo import Advice, DemoProvider
from stream_serve.producers.provider import ChatRequest
from support.deltas import content_of
from support.waiting import cut_off

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.events.types import Delta
    from stream_serve.producers.base import Producer
    from stream_serve.producers.provider import Provider

ADVICE = Advice(chinese="要接入真正的模型，请看说明。", english="To connect a real model, read on.")


def request(asked: object = "Hello", **options: object) -> ChatRequest:
    messages: list[dict[str, object]] = [
        {"role": "system", "content": "你是一个专业的编程助手"},
        {"role": "user", "content": asked},
    ]
    return ChatRequest("demo", messages, options)


async def answer(asked: ChatRequest) -> tuple[list[Delta], Finish]:
    """Ask for a whole answer, as fast as it goes."""
    producer: Producer = DemoProvider(ADVICE, pace=0).ask(asked)
    deltas: list[Delta] = []

    def emit(batch: Sequence[Delta]) -> None:
        assert batch, "a batch is never empty"
        deltas.extend(batch)

    finish = await producer.produce(emit)
    await producer.close()
    return deltas, finish


def text(deltas: Sequence[Delta], kind: type[Delta] = Chunk) -> str:
    return "".join(content_of(delta) for delta in deltas if isinstance(delta, kind))


@pytest.mark.parametrize(
    ("asked", "advice"), [("Hello there", ADVICE.english), ("你好，世界", ADVICE.chinese)]
)
async def test_it_says_that_it_is_a_demo_and_how_to_connect_a_real_model(
    asked: str, advice: str
) -> None:
    said = text((await answer(request(asked)))[0])
    assert "stream-serve" in said
    assert "演示模型" in said or "demo model" in said
    assert said.endswith(advice)
    assert asked in said


@pytest.mark.parametrize("asked", ["{quote} {advice}", "你好 {advice}"])
async def test_neither_the_question_nor_the_advice_is_read_as_a_format(asked: str) -> None:
    braces = Advice(chinese="{quote} {0}", english="{quote} {0}")
    producer = DemoProvider(braces, pace=0).ask(request(asked))
    deltas: list[Delta] = []
    await producer.produce(deltas.extend)
    assert text(deltas).endswith("{quote} {0}")
    assert asked in text(deltas)


async def test_it_answers_in_the_language_that_it_was_asked_in() -> None:
    assert text((await answer(request("写一首诗")))[0]).startswith("你好")
    assert text((await answer(request("Write a poem")))[0]).startswith("Hello")


@pytest.mark.parametrize("asked", ["Hello", "你好"])
async def test_its_answer_is_markdown_with_paragraphs_and_an_example_that_is_python(
    asked: str,
) -> None:
    said = text((await answer(request(asked)))[0])
    paragraphs = said.split("\n\n")
    starts = (
        ("Hello! I", "你好！我"),
        ("> ",),
        ("I cannot", "我没法"),
        ("1. ",),
        ("Reading", "用 Python"),
    )
    for start in starts:
        assert [paragraph for paragraph in paragraphs if paragraph.startswith(start)]
    assert paragraphs[-1].startswith(("To connect", "要接入"))
    code = said.partition("```python\n")[2].partition("```")[0]
    assert "urllib.request" in code
    compile(code, "the example", "exec")


async def test_it_ends_like_a_complete_answer_without_usage_or_sockets() -> None:
    deltas, finish = await answer(request())
    assert finish == Finish("stop", None)
    producer: Producer = DemoProvider().ask(request())
    assert producer.usage is None
    assert producer.closed is None
    assert not [delta for delta in deltas if not content_of(delta)]


async def test_it_thinks_first_where_that_is_asked_for() -> None:
    deltas, _ = await answer(request("Hello", enable_thinking=True))
    kinds = [type(delta) for delta in deltas]
    assert kinds == sorted(kinds, key=lambda kind: kind is not Reasoning)
    assert "Hello" in text(deltas, Reasoning)
    quiet, _ = await answer(request("Hello", enable_thinking=False))
    assert text(quiet, Reasoning) == ""
    assert text(quiet) == text(deltas)


async def test_it_comes_in_many_small_pieces() -> None:
    deltas, _ = await answer(request("你好"))
    assert len(deltas) > 100
    assert max(len(content_of(delta)) for delta in deltas) <= 20


@pytest.mark.parametrize("limit", [1, 5])
async def test_a_limit_of_tokens_cuts_the_answer_and_says_so(limit: int) -> None:
    deltas, finish = await answer(request(max_tokens=limit))
    assert len(deltas) == limit
    assert finish == Finish("length", None)


async def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    everything, _ = await answer(request())
    deltas, finish = await answer(request(max_tokens=len(everything)))
    assert deltas == everything
    assert finish == Finish("stop", None)


@pytest.mark.parametrize(
    "asked",
    ["{quote} {0} {", "}{", "%s %d", "a\n\n\nb\t c", "data: x\r\n\r\n", "\0", "", "😀", "x" * 5000],
)
async def test_any_question_gets_an_answer(asked: str) -> None:
    deltas, finish = await answer(request(asked, enable_thinking=True))
    assert finish == Finish("stop", None)
    assert len(text(deltas)) < 2000
    assert " ".join(asked.split())[:120] in text(deltas)


@pytest.mark.parametrize("asked", [None, [{"type": "text", "text": "hi"}], 7])
async def test_a_question_that_is_not_plain_text_is_answered_too(asked: object) -> None:
    assert (await answer(request(asked)))[1] == Finish("stop", None)


async def test_it_answers_the_users_last_message() -> None:
    messages: list[dict[str, object]] = [
        {"role": "user", "content": "the first"},
        {"role": "assistant", "content": "中文"},
        {"role": "user", "content": "the second"},
        {"role": "assistant", "content": "the third"},
    ]
    said = text((await answer(ChatRequest("demo", messages, {})))[0])
    assert "> the second" in said
    assert "the first" not in said
    assert said.startswith("Hello")


async def test_nothing_happens_before_the_answer_is_asked_for() -> None:
    producer: Producer = DemoProvider().ask(request())
    assert producer.closed is None
    await producer.close()
    await producer.close()


async def test_it_can_be_cancelled_while_it_waits_for_its_next_piece() -> None:
    producer: Producer = DemoProvider(pace=3600).ask(request())
    await cut_off(producer.produce(lambda _: pytest.fail("nothing was said yet")))
    await producer.close()


async def test_it_has_a_name_and_nothing_to_close() -> None:
    provider: Provider = DemoProvider()
    assert await provider.model_for(None) == await provider.model_for("qwen-max") == "demo"
    assert [(model.name, model.default) for model in provider.models] == [("demo", True)]
    assert provider.ask(request()).model == "demo"
    await provider.close()


async def test_it_may_be_silent_and_estimates_what_was_asked() -> None:
    producer: Producer = DemoProvider().ask(request("Hello"))
    assert producer.patience is None
    assert producer.prompt_tokens == count("你是一个专业的编程助手\nHello") > 0
