"""Databases for tests of the conversations: a SQLite file, or one of a real PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import insert

from stream_serve.conversations.base import Answer, NewAnswer, NewMessage, Status
from stream_serve.conversations.sql.database import Database
from stream_serve.conversations.sql.history import SQLHistory
from stream_serve.conversations.sql.migrate import migrate
from stream_serve.conversations.sql.schema import messages
from support.postgres import Postgres, shared_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Connection

    from stream_serve.conversations.base import History, Message, Turn


T = TypeVar("T")


async def transact(url: str, work: Callable[[Connection], T]) -> T:
    """Do something in a database as somebody else, in a transaction."""
    database = Database(url, timeout=20)
    try:
        return await database.run(work, write=True)
    finally:
        await database.close()


class Place:
    """An empty database with the schema; `server` is the PostgreSQL that it is in, if it is."""

    def __init__(self, url: str, server: Postgres | None = None) -> None:
        self.url = url
        self.server = server
        self._opened: list[SQLHistory] = []

    async def history(
        self, *, lease: float = 1000.0, timeout: float = 20.0, **options: Any
    ) -> SQLHistory:
        """Open the conversations in it, as one more process would."""
        history = SQLHistory(self.url, lease=lease, timeout=timeout, **options)
        self._opened.append(history)
        await history.open()
        return history

    async def lengthen(self, turn: Turn, count: int) -> None:
        """Hang that many messages on a turn's answer, one on another, as only a long talk would."""
        rows = [
            {
                "id": f"message-{number}",
                "conversation_id": turn.conversation_id,
                "parent_id": f"message-{number - 1}" if number else turn.answer_id,
                "role": "assistant" if number % 2 else "user",
                "status": Status.COMPLETE.value,
                "content": str(number),
                "search": str(number),
                "size": len(str(number)),
                "created_at": float(number),
            }
            for number in range(count)
        ]
        await transact(self.url, lambda connection: connection.execute(insert(messages), rows))

    async def execute(self, statement: str, *, before: str | None = None) -> list[Any]:
        """Run a statement as somebody else, another one before it; return its rows."""

        def work(connection: Connection) -> list[Any]:
            if before is not None:
                connection.exec_driver_sql(before)
            result = connection.exec_driver_sql(statement)
            return list(result.all()) if result.returns_rows else []

        return await transact(self.url, work)

    async def close(self) -> None:
        """Close what was opened, and drop the database."""
        for history in self._opened:
            await history.close()
        if self.server is not None:
            self.server.drop(self.url)


def sqlite_place(folder: Path) -> Place:
    return Place(f"sqlite:///{folder / 'history' / 'chat.db'}")


async def postgres_place() -> Place:
    server = shared_server()
    template = await asyncio.to_thread(_postgres_template)
    return Place(server.database(template), server)


@cache
def _postgres_template() -> str:
    """Name a database with the schema: to copy it takes a fraction of what a migration takes."""
    url = shared_server().database()
    asyncio.run(migrate(url))
    return url.rpartition("/")[2]


async def place_of(kind: str, folder: Path) -> Place:
    """Make an empty database of a kind: `sqlite` or `postgresql`."""
    return sqlite_place(folder) if kind == "sqlite" else await postgres_place()


async def ask(
    history: History,
    conversation_id: str | None = None,
    content: str | list[dict[str, object]] = "why?",
    *,
    owner: str = "",
    parent_id: str | None = None,
    at_root: bool = False,
    run_id: str | None = None,
) -> Turn:
    """Ask, with whatever a test does not care about."""
    return await history.ask(
        owner,
        conversation_id,
        [NewMessage(role="user", content=content)],
        new_answer(run_id),
        parent_id=parent_id,
        at_root=at_root,
    )


def new_answer(run_id: str | None = None, **more: Any) -> NewAnswer:
    """What begins an answer."""
    return NewAnswer(run_id=run_id or secrets.token_urlsafe(16), model="some-model", **more)


async def all_messages(history: History, owner: str, conversation_id: str) -> list[Message]:
    """Read the whole tree, in pages."""
    found: list[Message] = []
    after = None
    while True:
        page = await history.messages(owner, conversation_id, limit=100, after=after)
        found += page.messages
        after = page.next_cursor
        if after is None:
            return found


def ended(content: str = "because", status: Status = Status.COMPLETE) -> Answer:
    """An answer that ended."""
    return Answer(status=status, content=content)


async def talk(
    history: History,
    conversation_id: str | None = None,
    content: str | list[dict[str, object]] = "why?",
    owner: str = "",
) -> Turn:
    """Ask, and have it answered."""
    turn = await ask(history, conversation_id, content, owner=owner)
    await history.finish(turn, ended())
    return turn
