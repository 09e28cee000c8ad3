"""The chats of the AI SDK as conversations: stored once, found by the chat's id, gone on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER
from support.history import place_of
from support.service import Service
from support.ui_chat import chat, stop, user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from stream_serve.testing import ScriptedUpstream
    from support.ui_messages import Message

Json = dict[str, Any]
CHAT = "a/b 你好"
SHORT = "answer?tokens=2"


@pytest.fixture(params=["sqlite", "postgresql"])
async def service(
    request: pytest.FixtureRequest, upstream: ScriptedUpstream, tmp_path: Path
) -> AsyncIterator[Service]:
    place = await place_of(str(request.param), tmp_path)
    async with Service(upstream_url=upstream.url, database_url=place.url, model=SHORT) as running:
        yield running
    await place.close()


async def say(
    client: aiohttp.ClientSession, service: Service, *messages: Json, **body: Any
) -> Message:
    async with chat(client, service.url, *messages, chat_id=CHAT, **body) as stream:
        return await stream.rest()


async def alone(
    client: aiohttp.ClientSession, service: Service, message: Json, **body: Any
) -> Message:
    """Send the newest message only, as the pattern of the AI SDK's own pages does."""
    return await say(client, service, messages=None, message=message, **body)


async def tree(client: aiohttp.ClientSession, service: Service) -> list[Json]:
    """Return the messages of the chat's conversation, oldest first; there is only one."""
    async with client.get(f"{service.url}/ai/conversations") as response:
        (conversation,) = (await response.json())["conversations"]
    assert conversation["callerId"] == CHAT
    async with client.get(f"{service.url}/ai/conversations/{conversation['id']}") as response:
        return (await response.json())["messages"]


def shape(messages: list[Json]) -> list[tuple[str, str, int | None]]:
    """Return the role, the text and the place of the parent of each message."""
    places = {one["id"]: place for place, one in enumerate(messages)}
    return [(one["role"], one["content"], places.get(one["parentId"])) for one in messages]


def sent(upstream: ScriptedUpstream) -> list[Json]:
    return upstream.requests[-1].body["messages"][1:]


async def test_a_chat_is_a_conversation_in_which_each_message_is_stored_once(
    service: Service, client: aiohttp.ClientSession
) -> None:
    first = await say(client, service, user("one", "u1"))
    answer = first.sendable
    second = await say(client, service, user("one", "u1"), answer, user("two", "u2"))
    await say(
        client, service, user("one", "u1"), answer, user("two", "u2"), trigger="regenerate-message"
    )
    messages = await tree(client, service)
    text = first.text()
    assert shape(messages) == [
        ("user", "one", None),
        ("assistant", text, 0),
        ("user", "two", 1),
        ("assistant", text, 2),
        ("assistant", text, 2),
    ]
    assert [one["callerId"] for one in messages[::2]] == ["u1", "u2", None]
    assert (messages[1]["id"], messages[3]["id"]) == (first.id, second.id)
    assert first.metadata["saved"] is True


async def test_the_provider_is_told_the_clients_own_history(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    await say(client, service, user("one", "u1"))
    other = {"id": "x", "role": "assistant", "parts": [{"type": "text", "text": "edited"}]}
    await say(client, service, user("one", "u1"), other, user("two", "u2"))
    assert [one["content"] for one in sent(upstream)] == ["one", "edited", "two"]
    messages = shape(await tree(client, service))
    assert messages[2:4] == [("assistant", "edited", 0), ("user", "two", 2)]


async def test_the_newest_message_alone_goes_on_with_what_is_stored(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    first = await alone(client, service, user("one", "u1"))
    await alone(client, service, user("two", "u2"))
    text = first.text()
    assert [one["content"] for one in sent(upstream)] == ["one", text, "two"]
    await alone(client, service, user("two", "u2"), trigger="regenerate-message")
    assert [one["content"] for one in sent(upstream)] == ["one", text, "two"]
    await alone(client, service, user("zwei", "u2"), messageId="u2")
    assert [one["content"] for one in sent(upstream)] == ["one", text, "zwei"]
    await alone(client, service, user("zwei", "u2"), trigger="regenerate-message")
    assert [one["content"] for one in sent(upstream)] == ["one", text, "zwei"]
    assert shape(await tree(client, service)) == [
        ("user", "one", None),
        ("assistant", text, 0),
        ("user", "two", 1),
        ("assistant", text, 2),
        ("assistant", text, 2),
        ("user", "zwei", 1),
        ("assistant", text, 5),
        ("assistant", text, 5),
    ]
    await alone(client, service, user("ein", "u1"), messageId="u1")
    assert [one["content"] for one in sent(upstream)] == ["ein"]


@pytest.mark.parametrize("how", [say, alone])
async def test_an_edited_message_is_one_beside_the_other(
    service: Service, client: aiohttp.ClientSession, how: Any
) -> None:
    await how(client, service, user("one", "u1"))
    await how(client, service, user("uno", "u1"), messageId="u1")
    assert [(one[0], one[2]) for one in shape(await tree(client, service))] == [
        ("user", None),
        ("assistant", 0),
        ("user", None),
        ("assistant", 2),
    ]


def answered(message: Message) -> Json:
    """Return the message of a stream, with the results of its tools."""
    parts: list[Json] = []
    for part in message.sendable["parts"]:
        if part.get("state") == "input-available":
            parts.append({**part, "state": "output-available", "output": {"c": len(parts)}})
        else:
            parts.append(part)
    return {**message.sendable, "parts": parts}


@pytest.mark.parametrize("whole", [True, False])
async def test_tools_and_their_results_are_stored_step_by_step_in_one_message(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, *, whole: bool
) -> None:
    async def go_on(message: Json, **body: Any) -> Message:
        if whole:
            return await say(client, service, user("?", "u1"), message, **body)
        return await alone(client, service, message, **body)

    first = await say(client, service, user("?", "u1"), model="tools")
    assert first.reason == "tool-calls"
    one = answered(first)
    second = await go_on(one, model="tools", messageId=first.id)
    assert second.id == first.id
    assert [message["role"] for message in sent(upstream)] == ["user", "assistant", "tool", "tool"]
    assert sent(upstream)[1]["tool_calls"][0]["id"] == "call_w1"
    # The provider has used the same ids again: in the message they are others.
    again = answered(second)
    calls = [part["toolCallId"] for part in again["parts"] if "toolCallId" in part]
    assert calls == ["call_w1~2", "call_t2~2"]
    third = await go_on({**again, "parts": [*one["parts"], *again["parts"]]}, messageId=first.id)
    assert (third.id, third.reason) == (first.id, "stop")
    told = [message["role"] for message in sent(upstream)]
    assert told == ["user", *["assistant", "tool", "tool"] * 2]
    messages = await tree(client, service)
    roles = [message["role"] for message in messages]
    assert roles == [*told, "assistant"]
    assert [one["parentId"] for one in messages[1:]] == [one["id"] for one in messages[:-1]]
    assert messages[-1]["callerId"] == f"{first.id}/2"
    last = [{"type": "step-start"}, {"type": "text", "text": third.text(), "state": "done"}]
    done = {**again, "parts": [*one["parts"], *again["parts"], *last]}
    if whole:
        await say(client, service, user("?", "u1"), done, user("!", "u2"))
    else:
        await alone(client, service, user("!", "u2"))
    assert shape(await tree(client, service))[len(messages) :] == [
        ("user", "!", len(messages) - 1),
        ("assistant", third.text(), len(messages)),
    ]


async def test_a_stopped_answer_is_stored_as_far_as_it_came(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with chat(client, service.url, chat_id=CHAT, model="hang-mid") as stream:
        await stream.until("text-delta")
        await stop(client, service.url, CHAT)
        await stream.rest()
    messages = await tree(client, service)
    assert messages[-1]["status"] == "stopped"
    assert ANSWER.startswith(messages[-1]["content"])


async def test_a_chat_that_is_not_to_be_kept_is_answered_and_resumed_all_the_same(
    service: Service, client: aiohttp.ClientSession
) -> None:
    message = await say(client, service, user("one", "u1"), store=False)
    assert "saved" not in message.metadata
    async with client.get(f"{service.url}/ai/conversations") as response:
        assert (await response.json())["conversations"] == []


async def test_a_page_that_may_not_use_conversations_is_answered_and_nothing_is_stored(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    key = "sk-caller-0123456789"
    headers = {"Origin": "https://app.example"}
    async with Service(
        upstream_url=upstream.url,
        api_keys=key,
        continue_doors="ai-sdk",
        database_url=str(tmp_path / "chat.db"),
    ) as service:
        async with chat(client, service.url, key=key, headers=headers, model=SHORT) as stream:
            message = await stream.rest()
        assert message.reason == "stop"
        auth = {"Authorization": f"Bearer {key}"}
        async with client.get(f"{service.url}/ai/conversations", headers=auth) as response:
            assert (await response.json())["conversations"] == []
        body = {"id": "c", "message": user()}
        url = f"{service.url}/api/chat"
        async with client.post(url, json=body, headers={**auth, **headers}) as response:
            assert response.status == 403
            assert "STREAM_SERVE_CORS_ORIGINS" in await response.text()


async def test_the_newest_message_alone_needs_the_chats_id(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with client.post(f"{service.url}/api/chat", json={"message": user()}) as response:
        assert response.status == 422
        assert (await response.text()).startswith("id: should be the chat's id")


ODD_IDS = ["", "x" * 2000, "你好 👩‍👩‍👧", "a/b/1", "\x00\x1a\n", " "]


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_an_id_of_any_text_names_a_message_and_what_goes_on_with_it(
    service: Service, client: aiohttp.ClientSession, odd: str
) -> None:
    tool: Json = {"state": "output-available", "input": {}, "output": 1, "toolCallId": odd or "c"}
    parts: list[Json] = [{"type": "step-start"}, {"type": "tool-f", **tool}]
    asked: list[Json] = [
        user("?", odd and f"{odd}u"),
        {"id": odd, "role": "assistant", "parts": parts},
    ]
    first = await say(client, service, *asked)
    again = {**asked[1], "parts": [*parts, *first.parts]}
    await say(client, service, asked[0], again, user("!", odd and f"{odd}2"))
    text = first.text()
    said = [("user", "?"), ("assistant", ""), ("tool", "1"), ("assistant", text), ("user", "!")]
    messages = shape(await tree(client, service))
    assert [one[:2] for one in messages if one[2] is not None or one[0] == "user"] == [
        *said,
        ("assistant", text),
    ]


async def test_the_newest_message_alone_may_have_no_id_unless_the_answer_goes_on_with_it(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    text = (await alone(client, service, user("yes", ""))).text()
    await alone(client, service, user("yes", ""))
    assert [one["content"] for one in sent(upstream)] == ["yes", text, "yes"]
    tool: Json = {"state": "output-available", "input": {}, "output": 1, "toolCallId": "c"}
    message: Json = {"role": "assistant", "parts": [{"type": "tool-f", **tool}]}
    body: Json = {"id": CHAT, "message": message}
    async with client.post(f"{service.url}/api/chat", json=body) as response:
        assert (response.status, (await response.text())[:10]) == (422, "message.id")


async def test_an_id_of_any_length_names_a_chat_and_a_message(
    service: Service, client: aiohttp.ClientSession
) -> None:
    long = "x" * 2000
    for said in ("one", "two"):
        async with chat(
            client, service.url, chat_id=long, messages=None, message=user(said, long + said)
        ) as stream:
            await stream.rest()
    async with client.get(f"{service.url}/ai/conversations") as response:
        assert len((await response.json())["conversations"]) == 1


async def test_steps_with_nothing_in_them_are_not_stored(
    service: Service, client: aiohttp.ClientSession
) -> None:
    tool: Json = {"state": "output-available", "input": {}, "output": 1, "toolCallId": "c"}
    parts: list[Json] = [{"type": "step-start"}] * 20_000
    message = {"id": "a", "role": "assistant", "parts": [*parts, {"type": "tool-f", **tool}]}
    answer = await say(client, service, user("?", "u1"), message)
    assert (answer.id, answer.metadata["saved"]) == ("a", True)
    messages = await tree(client, service)
    assert [one["callerId"] for one in messages] == ["u1", "a", "a/tool/c", "a/1"]
