"""Conversations that are kept: what is stored, who may see it, and what happens when that fails."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER, THOUGHT, ScriptedUpstream
from support.client import Json, ask, show, stop, text
from support.process import serving
from support.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

KEYS = ("key-of-anna-0123456789", "key-of-bert-9876543210")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "conversations.db"


@pytest.fixture
async def service(upstream: ScriptedUpstream, database: Path) -> AsyncIterator[Service]:
    async with Service(
        upstream_url=upstream.url, database_url=f"sqlite:///{database}", save_interval=0.05
    ) as running:
        yield running


async def call(
    client: aiohttp.ClientSession, method: str, url: str, *, key: str | None = None, **options: Any
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    async with client.request(method, url, headers=headers, **options) as response:
        body = await response.read()
        return response.status, json.loads(body) if body else None


async def say(client: aiohttp.ClientSession, service: Service, **body: Any) -> list[Json]:
    async with ask(client, service.url, **body) as stream:
        return await stream.rest()


async def detail(client: aiohttp.ClientSession, service: Service, conversation: str) -> Any:
    status, body = await call(client, "GET", f"{service.url}/ai/conversations/{conversation}")
    assert status == 200, body
    return body


async def test_without_a_conversation_nothing_is_stored(
    service: Service, client: aiohttp.ClientSession, database: Path
) -> None:
    events = await say(client, service)
    assert "saved" not in events[-1]
    assert "conversationId" not in events[0]
    assert not database.exists()


async def test_a_conversation_is_made_and_gone_on_with_and_its_history_goes_to_the_provider(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    first = await say(client, service, message="one", conversationId="new", model="thinking")
    assert first[-1]["saved"] is True
    conversation = first[0]["conversationId"]
    await say(client, service, message="two", conversationId=conversation, systemPrompt="be brief")
    assert upstream.requests[-1].body["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": "two"},
    ]
    kept = await detail(client, service, conversation)
    assert kept["conversation"]["title"] == "one"
    assert kept["conversation"]["liveRunId"] is None
    assert [m["content"] for m in kept["messages"]] == ["one", ANSWER, "two", ANSWER]
    answer = kept["messages"][1]
    assert answer["id"] == first[0]["messageId"]
    assert answer["parentId"] == first[0]["userMessageId"]
    assert answer["status"] == "complete"
    assert answer["reasoning"] == THOUGHT
    assert answer["model"] == "thinking"
    assert answer["runId"] == first[0]["runId"]
    assert answer["usage"] == first[-1]["usage"]
    assert answer["firstTokenMs"] > 0


@pytest.mark.parametrize(
    ("model", "status", "error"),
    [
        ("hang-mid", "stopped", None),
        ("error-mid", "failed", "upstream_error"),
        ("unauthorized", "failed", "upstream_auth"),
        ("answer?finish=abort", "failed", "upstream_error"),
        ("error-choice", "failed", "upstream_error"),
        ("error-shape?shape=detail", "failed", "upstream_error"),
        ("done-cut", "failed", "upstream_incomplete"),
        ("answer?finish=eos", "complete", None),
    ],
)
async def test_an_answer_is_stored_however_it_ends(
    service: Service, client: aiohttp.ClientSession, model: str, status: str, error: str | None
) -> None:
    async with ask(client, service.url, conversationId="new", model=model) as stream:
        events: list[Json] = []
        while not events or events[-1]["type"] not in {"end", "error"}:
            event = await stream.next()
            assert event is not None
            events.append(event)
            if model == "hang-mid" and len(events) == 4:
                await stop(client, service.url, stream.run_id)
    assert events[-1]["saved"] is True
    kept = (await detail(client, service, events[0]["conversationId"]))["messages"]
    assert [m["role"] for m in kept] == ["user", "assistant"]
    assert (kept[1]["status"], kept[1]["error"]) == (status, error)
    assert kept[1]["content"] == text(events)


async def test_the_question_is_stored_before_the_provider_is_asked_and_the_live_run_is_shown(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with ask(client, service.url, conversationId="new", model="hang-mid") as stream:
        start = await stream.next()
        assert start is not None
        kept = await detail(client, service, start["conversationId"])
        assert kept["conversation"]["liveRunId"] == stream.run_id
        assert kept["messages"][1]["status"] == "generating"
        await stream.until("chunk")
        async with asyncio.timeout(20):
            while not kept["messages"][1]["content"]:
                kept = await detail(client, service, start["conversationId"])
        assert ANSWER.startswith(kept["messages"][1]["content"])


async def test_editing_and_regenerating_make_siblings_and_overwrite_nothing(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    first = (await say(client, service, message="one", conversationId="new"))[0]
    conversation = first["conversationId"]
    again = (
        await say(
            client,
            service,
            message=None,
            conversationId=conversation,
            regenerate=first["messageId"],
        )
    )[0]
    assert upstream.requests[-1].body["messages"][1:] == [{"role": "user", "content": "one"}]
    edited = (
        await say(client, service, message="uno", conversationId=conversation, parentId=None)
    )[0]
    assert upstream.requests[-1].body["messages"][1:] == [{"role": "user", "content": "uno"}]
    branch = (
        await say(
            client,
            service,
            message="two",
            conversationId=conversation,
            parentId=first["messageId"],
        )
    )[0]
    kept = {m["id"]: m for m in (await detail(client, service, conversation))["messages"]}
    assert kept[again["messageId"]]["parentId"] == first["userMessageId"]
    assert kept[edited["userMessageId"]]["parentId"] is None
    assert kept[branch["userMessageId"]]["parentId"] == first["messageId"]
    assert len(kept) == 7
    assert {m["content"] for m in kept.values() if m["role"] == "user"} == {"one", "uno", "two"}


async def test_the_history_is_cut_to_the_budget_by_whole_messages_and_keeps_the_system_prompt(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: Path
) -> None:
    async with Service(
        upstream_url=upstream.url, database_url=str(database), history_tokens=60
    ) as service:
        conversation = "new"
        for number in range(6):
            events = await say(
                client,
                service,
                message=f"question {number} " + "x" * 80,
                conversationId=conversation,
                model="echo",
            )
            conversation = events[0]["conversationId"]
    sent = upstream.requests[-1].body["messages"]
    assert sent[0]["role"] == "system"
    assert sent[-1]["content"].startswith("question 5")
    assert 2 <= len(sent) < 6
    assert all(message["content"].endswith("x" * 80) for message in sent[1:])


async def test_an_answer_whose_conversation_was_deleted_is_not_called_saved(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(client, service.url, conversationId="new", model="hang-mid") as stream:
        conversation = (await stream.until("start"))["conversationId"]
        await stream.until("chunk")
        status, _ = await call(client, "DELETE", f"{service.url}/ai/conversations/{conversation}")
        assert status == 204
        await stop(client, service.url, stream.run_id)
        assert (await stream.rest())[-1]["saved"] is False


async def test_conversations_are_listed_searched_renamed_exported_and_deleted(
    service: Service, client: aiohttp.ClientSession
) -> None:
    base = f"{service.url}/ai/conversations"
    ids: list[str] = []
    for message in ("apples", "香蕉好吃吗", "cherries 100%"):
        events = await say(client, service, message=message, conversationId="new")
        ids.append(events[0]["conversationId"])
    status, made = await call(client, "POST", base, json={"title": "an empty one"})
    assert (status, made["title"]) == (201, "an empty one")
    _, page = await call(client, "GET", f"{base}?limit=2")
    assert [c["id"] for c in page["conversations"]] == [made["id"], ids[2]]
    _, rest = await call(client, "GET", f"{base}?limit=2&cursor={page['nextCursor']}")
    assert [c["id"] for c in rest["conversations"]] == [ids[1], ids[0]]
    assert rest["nextCursor"] is None
    for query, found in (("香蕉", [ids[1]]), ("CHERRIES 100%25", [ids[2]]), ("zebra", [])):
        _, page = await call(client, "GET", f"{base}?q={query}")
        assert [c["id"] for c in page["conversations"]] == found
        assert page["indexing"] is False
    _, renamed = await call(client, "PATCH", f"{base}/{ids[0]}", json={"title": "Obst"})
    assert renamed["title"] == "Obst"
    _, exported = await call(client, "GET", f"{base}/{ids[0]}/export")
    assert exported == await detail(client, service, ids[0])
    async with client.get(f"{base}/{ids[0]}/export?format=markdown") as response:
        assert response.headers["Content-Disposition"].startswith("attachment")
        markdown = await response.text()
    assert markdown.startswith("# Obst\n")
    assert "apples" in markdown
    assert ANSWER in markdown
    assert (await call(client, "DELETE", f"{base}/{ids[0]}"))[0] == 204
    for method in ("GET", "DELETE"):
        status, problem = await call(client, method, f"{base}/{ids[0]}")
        assert (status, problem["code"]) == (404, "conversation_not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"message": "a", "conversationId": "unknown"}, 404, "conversation_not_found"),
        ({"messages": [{"role": "user", "content": "a"}], "conversationId": "new"}, 422, None),
        ({"message": "a", "parentId": "x"}, 422, None),
        ({"regenerate": "x"}, 422, None),
        ({"conversationId": "new", "regenerate": "x"}, 422, None),
    ],
)
async def test_what_does_not_go_together_is_refused_and_asks_nobody(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    body: dict[str, Any],
    status: int,
    code: str | None,
) -> None:
    got, problem = await call(client, "POST", f"{service.url}/ai/chat/stream-sse", json=body)
    assert (got, problem["code"]) == (status, code or "invalid_fields")
    assert upstream.requests == []
    assert service.runs.running == 0


async def test_a_parent_of_another_conversation_is_unknown(
    service: Service, client: aiohttp.ClientSession
) -> None:
    first = (await say(client, service, conversationId="new"))[0]
    second = (await say(client, service, conversationId="new"))[0]
    status, problem = await call(
        client,
        "POST",
        f"{service.url}/ai/chat/stream-sse",
        json={
            "message": "a",
            "conversationId": first["conversationId"],
            "parentId": second["messageId"],
        },
    )
    assert (status, problem["code"]) == (404, "message_not_found")


async def test_somebody_elses_conversation_does_not_exist_on_any_route(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: Path
) -> None:
    async with Service(
        upstream_url=upstream.url, database_url=str(database), api_keys=",".join(KEYS)
    ) as service:
        async with ask(client, service.url, key=KEYS[0], conversationId="new") as stream:
            conversation = (await stream.rest())[0]["conversationId"]
        base = f"{service.url}/ai/conversations"
        _, page = await call(client, "GET", base, key=KEYS[1])
        assert page["conversations"] == []
        for which in (conversation, "unknown"):
            answers = [
                await call(client, "GET", f"{base}/{which}", key=KEYS[1]),
                await call(client, "PATCH", f"{base}/{which}", key=KEYS[1], json={"title": "x"}),
                await call(client, "DELETE", f"{base}/{which}", key=KEYS[1]),
                await call(client, "GET", f"{base}/{which}/export", key=KEYS[1]),
                await call(
                    client,
                    "POST",
                    f"{service.url}/ai/chat/stream-sse",
                    key=KEYS[1],
                    json={"message": "a", "conversationId": which},
                ),
            ]
            assert all(answer == answers[0] for answer in answers)
            assert answers[0][0] == 404
        assert (await call(client, "GET", f"{base}/{conversation}", key=KEYS[0]))[0] == 200


async def test_a_database_that_is_locked_does_not_hold_up_the_stream_and_storing_is_tried_again(
    service: Service, client: aiohttp.ClientSession, database: Path
) -> None:
    async with ask(
        client, service.url, conversationId="new", model="answer?tokens=60&interval=0.01"
    ) as stream:
        start = await stream.next()
        assert start is not None
        lock = sqlite3.connect(database, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        events = await stream.rest()
        assert events[-1]["finishReason"] == "stop"
        assert events[-1]["saved"] is False
        lock.execute("ROLLBACK")
        lock.close()
    kept = await detail(client, service, start["conversationId"])
    async with asyncio.timeout(30):
        while kept["messages"][1]["status"] != "complete":
            kept = await detail(client, service, start["conversationId"])
    assert kept["messages"][1]["content"] == text(events)


async def test_a_message_that_cannot_be_read_holds_up_no_other_conversation(
    service: Service, client: aiohttp.ClientSession, database: Path
) -> None:
    broken, other = [
        (await say(client, service, conversationId="new"))[0]["conversationId"] for _ in range(2)
    ]
    url = f"{service.url}/ai/conversations"
    with closing(sqlite3.connect(database, isolation_level=None)) as by_hand:
        by_hand.execute("UPDATE messages SET feedback = 'odd' WHERE conversation_id = ?", [broken])
        assert (await call(client, "GET", f"{url}/{broken}"))[0] == 500
        by_hand.execute("UPDATE conversations SET title = 'by hand' WHERE id = ?", [other])
    assert (await detail(client, service, other))["conversation"]["title"] == "by hand"
    assert (await call(client, "PATCH", f"{url}/{other}", json={"title": "by page"}))[0] == 200


async def test_a_database_that_is_away_refuses_the_question_and_asks_nobody(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    async with Service(
        upstream_url=upstream.url, database_url=f"sqlite:///{tmp_path}/file/x.db"
    ) as service:
        async with client.post(
            f"{service.url}/ai/chat/stream-sse", json={"message": "a", "conversationId": "new"}
        ) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            assert (await response.json(content_type=None))["code"] == "history_unavailable"
        assert upstream.requests == []
        assert text(await say(client, service)) == ANSWER, "everything else goes on"


async def test_after_a_crash_the_answer_is_found_interrupted_with_the_text_that_was_stored(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: Path
) -> None:
    settings = {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "hang-mid",
        "STREAM_SERVE_DATABASE_URL": f"sqlite:///{database}",
        "STREAM_SERVE_SAVE_INTERVAL": "0.05",
        "STREAM_SERVE_LEASE": "1",
    }
    async with (
        serving(**settings) as server,
        ask(client, server.url, conversationId="new") as stream,
    ):
        start = await stream.next()
        assert start is not None
        said: str = (await stream.until("chunk"))["content"]
        url = f"{server.url}/ai/conversations/{start['conversationId']}"
        content = ""
        async with asyncio.timeout(20):
            while not content:
                content = (await call(client, "GET", url))[1]["messages"][1]["content"]
        server.process.kill()
        await server.process.wait()
    async with serving(**settings) as server:
        url = f"{server.url}/ai/conversations/{start['conversationId']}"
        kept = (await call(client, "GET", url))[1]
        async with asyncio.timeout(20):
            while kept["messages"][1]["status"] == "generating":
                kept = (await call(client, "GET", url))[1]
        # The conversation is read before its messages: the lease may have run out between the two.
        kept = (await call(client, "GET", url))[1]
    assert kept["messages"][1]["status"] == "interrupted"
    assert kept["messages"][1]["content"].startswith(said)
    assert kept["conversation"]["liveRunId"] is None


async def test_a_kill_in_the_middle_of_saving_leaves_a_whole_message_and_no_half_one(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: Path
) -> None:
    settings = {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "answer?tokens=40&interval=0.01",
        "STREAM_SERVE_DATABASE_URL": f"sqlite:///{database}",
        "STREAM_SERVE_SAVE_INTERVAL": "0.05",
        "STREAM_SERVE_LEASE": "1",
    }
    async with serving(**settings) as server:
        async with ask(client, server.url, conversationId="new") as stream:
            start = await stream.next()
            assert start is not None
            await stream.until("chunk")
            lock = sqlite3.connect(database, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
            # The answer ends; storing it waits for the lock, and the terminal event for that.
            async with asyncio.timeout(20):
                while (await show(client, server.url, stream.run_id))["state"] != "completed":
                    pass
            server.process.kill()
            await server.process.wait()
        lock.execute("ROLLBACK")
        lock.close()
    async with serving(**settings) as server:
        url = f"{server.url}/ai/conversations/{start['conversationId']}"
        kept = (await call(client, "GET", url))[1]
        async with asyncio.timeout(20):
            while kept["messages"][1]["status"] == "generating":
                kept = (await call(client, "GET", url))[1]
        question, answer = kept["messages"]
        assert question["status"] == "complete"
        assert answer["status"] == "interrupted"
        assert ANSWER.startswith(answer["content"])
        events = []
        async with ask(client, server.url, conversationId=start["conversationId"]) as stream:
            events = await stream.rest()
        assert events[-1]["saved"] is True, "the database is whole"


async def test_a_shutdown_stores_what_was_running_as_interrupted(
    upstream: ScriptedUpstream, client: aiohttp.ClientSession, database: Path
) -> None:
    settings = {
        "STREAM_SERVE_UPSTREAM_URL": upstream.url,
        "STREAM_SERVE_MODEL": "hang-mid",
        "STREAM_SERVE_GRACE_TIMEOUT": "2",
        "STREAM_SERVE_DATABASE_URL": f"sqlite:///{database}",
    }
    async with serving(**settings) as server:
        async with ask(client, server.url, conversationId="new") as stream:
            events = [await stream.next(), await stream.next()]
            server.process.terminate()
            rest = await stream.rest()
        assert await server.finish() == 0
    assert (rest[-1]["code"], rest[-1]["saved"]) == ("run_interrupted", True)
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT status FROM messages WHERE role = 'assistant'").fetchall()
    connection.close()
    assert rows == [("interrupted",)]
    assert events[1] is not None


async def test_a_run_in_a_conversation_is_resumed_like_any_other(
    service: Service, client: aiohttp.ClientSession
) -> None:
    async with ask(
        client,
        service.url,
        conversationId="new",
        model="answer?interval=0.001",
        onDisconnect="continue",
    ) as stream:
        start = await stream.next()
        assert start is not None
        stream.drop()
    kept = await detail(client, service, start["conversationId"])
    live = kept["conversation"]["liveRunId"]
    assert live in {stream.run_id, None}
    async with client.get(f"{service.url}/ai/runs/{stream.run_id}/events") as response:
        raw = await response.read()
    assert raw.count(b'"saved":true') == 1
    assert (await show(client, service.url, stream.run_id))["state"] == "completed"
