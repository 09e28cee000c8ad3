"""What people write for the place of their conversations."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_serve.conversations.sql.urls import database_url
from stream_serve.errors import SettingsError

CANARY = "canary-0451"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("chat.db", "sqlite+aiosqlite:///chat.db"),
        ("/var/lib/chat 1.db", "sqlite+aiosqlite:////var/lib/chat 1.db"),
        ("sqlite:///data/chat.db", "sqlite+aiosqlite:///data/chat.db"),
        ("sqlite:////data/chat.db", "sqlite+aiosqlite:////data/chat.db"),
        ("sqlite+aiosqlite:////data/chat.db", "sqlite+aiosqlite:////data/chat.db"),
        ("~/chat.db", f"sqlite+aiosqlite:///{Path.home()}/chat.db"),
        ("postgres://u:p@h:1/n", "postgresql+asyncpg://u:p@h:1/n"),
        ("postgresql://u:p%40@h/n", "postgresql+asyncpg://u:p%40@h/n"),
        ("postgresql+asyncpg://h/n", "postgresql+asyncpg://h/n"),
        ("postgres://u@h/n?sslmode=require", "postgresql+asyncpg://u@h/n?ssl=require"),
        ("postgresql://u@/n?host=/run/pg", "postgresql+asyncpg://u@/n?host=%2Frun%2Fpg"),
    ],
)
def test_an_address_is_understood_as_people_write_it(written: str, meant: str) -> None:
    assert database_url(written).render_as_string(hide_password=False) == meant


@pytest.mark.parametrize(
    "written",
    [
        *("", "  ", "sqlite://", "sqlite:///", "sqlite:///:memory:", ":memory:", "file:chat.db"),
        *("sqlite:///chat.db?mode=ro", "chat\x00.db", "mysql://h/n", "http://h/", "://"),
        f"postgresql+psycopg://u:{CANARY}@h/n",
        f"postgresql://u:{CANARY}@h:port/n",
        f"postgresql://u:x@{CANARY}:{CANARY}@h:/n",
        f"postgresql://u:{CANARY}@h/n?channel_binding={CANARY}",
        f"postgresql://u:p@h/n?{CANARY}=1",
        f"postgres ql://u:{CANARY}@h/n",
    ],
)
def test_another_address_is_refused_without_a_word_of_it(written: str) -> None:
    with pytest.raises(SettingsError) as refused:
        database_url(written)
    assert CANARY not in str(refused.value)
    assert CANARY not in repr(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_url_that_is_printed_hides_its_password() -> None:
    url = database_url(f"postgresql://u:{CANARY}@h/n")
    assert CANARY not in f"{url} {url!r}"
