"""Several providers as one: who is asked, under which name, and that all are closed."""

from __future__ import annotations

import asyncio

import pytest

from stream_serve.errors import UnknownModel, UpstreamUnreachable
from stream_serve.producers.provider import ChatRequest, Model
from stream_serve.producers.router import Route, Router
from support.upstream import StepProducer, StepProvider


class Named(StepProvider):
    """Remembers what it is asked, and whether it is closed."""

    def __init__(self, default: str = "own", defect: Exception | None = None) -> None:
        super().__init__(batches=1, defect=defect)
        self.default = default
        self.asked: list[ChatRequest] = []
        self.closed = False
        self.hold: asyncio.Event | None = None

    def ask(self, request: ChatRequest) -> StepProducer:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.asked.append(request)
        return super().ask(request)

    async def model_for(self, asked: str | None) -> str:
        if not asked and not self.default:
            raise UnknownModel("several", parameters=["Endpoint.model"])
        return asked or self.default

    async def close(self) -> None:
        self.closed = True
        if self.hold is not None:
            await self.hold.wait()


def request(model: str) -> ChatRequest:
    return ChatRequest(model, [{"role": "user", "content": "a"}], {"seed": 1})


def router(one: Named, two: Named, *, only_listed: bool = False, default: str = "first") -> Router:
    return Router(
        {"one": one, "two": two},
        [
            Route(Model(name="second", context=8), "two", "theirs"),
            Route(Model(name="first"), "one", "first"),
        ],
        default=default,
        fallback="one",
        only_listed=only_listed,
    )


async def test_a_model_goes_to_its_provider_under_its_name_there() -> None:
    one, two = Named(), Named()
    both = router(one, two)
    producer = both.ask(request("second"))
    assert producer.model == "second"
    assert two.asked == [request("theirs")]
    both.ask(request("other"))
    assert one.asked == [request("other")]


async def test_what_a_producer_says_of_itself_is_the_providers() -> None:
    one, two = Named(), Named()
    producer = router(one, two).ask(request("second"))
    inner = two.producers[0]
    deltas: list[object] = []
    assert (await producer.produce(deltas.extend)).reason == "stop"
    assert deltas
    assert (producer.patience, producer.prompt_tokens) == (inner.patience, inner.prompt_tokens)
    assert (producer.usage, producer.closed) == (inner.usage, inner.closed)
    await producer.close()
    assert inner.closings == 1


async def test_the_default_and_the_unlisted_are_named() -> None:
    both = router(Named(), Named())
    assert [await both.model_for(name) for name in (None, "", "second", "x")] == [
        *("first", "first", "second", "x"),
    ]
    strict = router(Named(), Named(), only_listed=True)
    with pytest.raises(UnknownModel, match="second, first"):
        await strict.model_for("x")
    assert await strict.model_for("second") == "second"
    assert await router(Named(), Named(), default="").model_for(None) == "own"


async def test_the_models_are_those_of_the_table_and_the_default_is_first() -> None:
    both = router(Named(), Named())
    assert list(both.models) == [Model(name="first", default=True), Model(name="second", context=8)]
    without = Router({"one": Named()}, [], default="", fallback="one")
    assert list(without.models) == Named().models


async def test_an_error_names_the_keys_of_the_provider_that_it_is_about() -> None:
    defect = UpstreamUnreachable("away", parameters=["Endpoint.url", "Patience.idle"])
    both = router(Named(default=""), Named(defect=defect), default="")
    with pytest.raises(UpstreamUnreachable) as failed:
        await both.ask(request("second")).produce(lambda _: None)
    assert failed.value.parameters == ["url of the provider two", "Patience.idle"]
    with pytest.raises(UnknownModel) as refused:
        await both.model_for(None)
    assert refused.value.parameters == ["default = true in [[models]]"]


async def test_all_are_closed_also_when_the_waiting_for_one_is_cancelled() -> None:
    one, two = Named(), Named()
    one.hold = two.hold = asyncio.Event()
    task = asyncio.create_task(router(one, two).close())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert one.closed
    assert two.closed
