"""The models of a server: what its list says, and which answers where nothing else says so."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_serve.errors import (
    ModelsUnavailable,
    UnknownModel,
    UpstreamAuth,
    UpstreamError,
    UpstreamProtocol,
    UpstreamUnreachable,
)
from stream_serve.producers.base import Patience
from stream_serve.producers.openai.endpoint import Endpoint
from stream_serve.producers.openai.models import SoleModel, parse
from stream_serve.producers.openai.provider import OpenAIProvider
from stream_serve.producers.provider import Model, named
from stream_serve.testing import ScriptedUpstream, blackhole
from support.waiting import until

KEY = "sk-canary-0123456789abcdef"


def body(*models: object) -> bytes:
    return json.dumps({"object": "list", "data": models}).encode()


@pytest.mark.parametrize(
    ("fields", "context"),
    [
        ({}, None),
        ({"max_model_len": 32768}, 32768),
        ({"context_length": 4096}, 4096),
        ({"max_context_length": 8}, 8),
        ({"meta": {"n_ctx": 2048, "n_ctx_train": 4096}}, 2048),
        ({"max_model_len": True, "meta": []}, None),
        ({"max_model_len": "1", "context_length": -1}, None),
    ],
)
def test_the_context_is_read_where_a_server_says_it(
    fields: dict[str, object], context: int | None
) -> None:
    assert parse(body({"id": "m", **fields})) == [Model(name="m", context=context)]


def test_what_has_no_name_to_be_shown_is_left_out() -> None:
    odd: list[object] = [
        {"id": "a\x1b[2J"},
        {"id": ""},
        {"id": 1},
        {},
        None,
        "x",
        {"id": "y" * 201},
    ]
    assert parse(body(*odd, {"id": "b"}, {"id": "b"})) == [Model(name="b")]


@pytest.mark.parametrize("text", [b"", b"<html>", b"{}", b'{"data": 1}', b"1", b"[" * 100_000])
def test_what_is_no_list_is_an_error(text: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        parse(text)
    assert parse(b'[{"id": "m"}]') == [Model(name="m")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "meta", "n"]), inner),
)


@given(JSON)
def test_any_json_is_a_list_or_an_error(value: object) -> None:
    for one in ({"data": value}, {"data": [value]}, value):
        try:
            found = parse(json.dumps(one).encode())
        except UpstreamProtocol:
            continue
        assert all(model.name.isprintable() for model in found)


def test_many_names_are_cut() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named(map(str, range(25))).endswith("18, 19, and 5 more")


class Server:
    """Says what it is told to, and counts how often."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.error: UpstreamError | None = None
        self.asked = 0

    async def list_models(self) -> list[Model]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [Model(name=name) for name in self.names]


async def test_the_only_model_is_asked_for_once() -> None:
    server = Server("m")
    sole = SoleModel(server.list_models)
    assert [await sole.name() for _ in range(3)] == ["m"] * 3
    assert await asyncio.gather(sole.name(), sole.name()) == ["m", "m"]
    assert server.asked == 1


@pytest.mark.simulated_time
async def test_a_server_is_asked_again_after_a_minute_and_what_it_said_last_holds() -> None:
    server = Server("m")
    sole = SoleModel(server.list_models)
    assert await sole.name() == "m"
    server.names = ("n",)
    await asyncio.sleep(59)
    assert await sole.name() == "m"
    await asyncio.sleep(2)
    assert await sole.name() == "n"
    server.error = UpstreamUnreachable("away")
    await asyncio.sleep(61)
    assert [await sole.name(), await sole.name()] == ["n", "n"]
    assert server.asked == 3


async def test_none_or_several_are_refused_by_name_and_asked_again() -> None:
    server = Server()
    sole = SoleModel(server.list_models)
    with pytest.raises(UnknownModel, match="has none"):
        await sole.name()
    server.names = ("a", "b")
    with pytest.raises(UnknownModel, match="a, b") as refused:
        await sole.name()
    assert refused.value.parameters == ["Endpoint.model"]
    assert [one.name for one in sole.found] == ["a", "b"]
    server.names = ("b",)
    assert await sole.name() == "b"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UpstreamUnreachable("away", parameters=["Endpoint.url"]), ModelsUnavailable),
        (UpstreamAuth("no", parameters=["A_KEY"]), UnknownModel),
    ],
)
async def test_a_server_that_cannot_be_asked_is_a_refusal_that_says_why(
    error: UpstreamError, kind: type[Exception]
) -> None:
    server = Server()
    server.error = error
    with pytest.raises(kind, match=str(error)) as refused:
        await SoleModel(server.list_models).name()
    assert getattr(refused.value, "parameters") == ["Endpoint.model", *error.parameters]  # noqa: B009


# Over a socket


def connect(url: str, *, timeout: float = 5) -> OpenAIProvider:
    return OpenAIProvider(
        Endpoint(url, KEY, "", "A_KEY"),
        patience=Patience(5, 5),
        connect_timeout=timeout,
        max_event_bytes=1_000,
    )


async def test_the_list_is_asked_with_the_key_and_the_query(upstream: ScriptedUpstream) -> None:
    upstream.models = ["a", "b"]
    provider = connect(f"{upstream.url}?v=1")
    assert [one.name for one in await provider.list_models()] == ["a", "b"]
    (record,) = upstream.requests
    assert (record.method, record.path, record.query) == ("GET", "/v1/models", "v=1")
    assert record.authorized
    assert "content-length" not in {name.lower() for name in record.headers}
    await upstream.until(lambda: upstream.open_connections == 0)
    assert provider.models == []
    await provider.close()


async def test_a_wrong_path_is_said_for_the_list_too(upstream: ScriptedUpstream) -> None:
    provider = connect(upstream.origin)
    with pytest.raises(UnknownModel, match="the path of its URL is wrong"):
        await provider.model_for(None)
    assert await provider.model_for("m") == "m"
    await provider.close()


async def test_a_server_that_says_nothing_is_given_up(upstream: ScriptedUpstream) -> None:
    with blackhole() as port:
        provider = connect(f"http://127.0.0.1:{port}/v1", timeout=0.05)
        with pytest.raises(ModelsUnavailable):
            await provider.model_for(None)
        await provider.close()


async def test_a_cancelled_question_for_the_list_closes_its_connection() -> None:
    silent = asyncio.Event()
    gone = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        silent.set()
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    provider = connect(f"http://127.0.0.1:{port}/v1")
    task = asyncio.create_task(provider.model_for(None))
    await silent.wait()
    task.cancel()
    await until(task.done)
    async with asyncio.timeout(5):
        await gone.wait()
    await provider.close()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("found", [None, [], ["a", "b"]])
async def test_who_comes_while_the_server_is_asked_takes_what_that_brings(
    found: list[str] | None,
) -> None:
    asked, answered = 0, asyncio.Event()

    async def ask() -> list[Model]:
        nonlocal asked
        asked += 1
        await answered.wait()
        if found is None:
            raise UpstreamUnreachable("it is away")
        return [Model(name=name) for name in found]

    sole = SoleModel(ask)
    asking = [asyncio.create_task(sole.name()) for _ in range(20)]
    await asyncio.sleep(0)
    answered.set()
    kind = UnknownModel if found is not None else ModelsUnavailable
    for one in asking:
        with pytest.raises(kind):
            await one
    assert asked == 1
    with pytest.raises(kind):
        await sole.name()
    assert asked == 2


def test_a_list_is_read_however_odd_one_of_its_models_is() -> None:
    models = (
        b'{"data":[7,{"id":1},{"id":"a","price":NaN},null,{"id":"b","meta":[]},{"id":"\\ud800"}]}'
    )
    assert [one.name for one in parse(models)] == ["a", "b"]
    long = b'{"data":[{"id":"a","x":"' + b"x" * 4_000_000 + b'"},{"id":"b","meta":{"n_ctx":7}}]}'
    assert parse(long) == [Model(name="a"), Model(name="b", context=7)]


@pytest.mark.parametrize("one", [b"{}", b"1", b'{"id":"a"}', b"[[]]"])
def test_a_list_with_more_values_than_any_has_is_not_read(one: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        parse(b'{"data":[' + one + (b"," + one) * 300_000 + b"]}")
