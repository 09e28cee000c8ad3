"""What people write for the place of their conversations."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs

import pytest

from stream_serve.conversations.sql.urls import database_url, read_address
from stream_serve.errors import SettingsError

CANARY = "canary-0451"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("chat.db", "sqlite:///chat.db"),
        ("/var/lib/chat 1.db", "sqlite:////var/lib/chat 1.db"),
        ("sqlite:///data/chat.db", "sqlite:///data/chat.db"),
        ("sqlite:////data/chat.db", "sqlite:////data/chat.db"),
        ("sqlite+aiosqlite:////data/chat.db", "sqlite:////data/chat.db"),
        ("~/chat.db", f"sqlite:///{Path.home()}/chat.db"),
        ("postgres://u:p@h:1/n", "postgresql+asyncpg://u:p@h:1/n"),
        ("postgresql://u:p%40@h/n", "postgresql+asyncpg://u:p%40@h/n"),
        ("postgresql+asyncpg://h/n", "postgresql+asyncpg://h/n"),
        ("postgres://u@h/n?sslmode=require", "postgresql+asyncpg://u@h/n?ssl=require"),
        ("postgresql://u@/n?host=/run/pg", "postgresql+asyncpg://u@/n?host=%2Frun%2Fpg"),
    ],
)
def test_an_address_is_understood_as_people_write_it(written: str, meant: str) -> None:
    url = database_url(written)
    url = url.difference_update_query(["dsn"])
    assert url.render_as_string(hide_password=False) == meant


def driver(query: str) -> dict[str, list[str]]:
    """What the driver is told beside the address."""
    dsn = str(database_url(f"postgresql://u@h/n?{query}").query["dsn"])
    return parse_qs(dsn.partition("?")[2])


def test_the_parameters_of_managed_databases_are_understood(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    query = (
        f"sslmode=verify-full&sslrootcert={tmp_path}/ca.pem&channel_binding=require&connect_timeout=10"
        "&application_name=chat&target_session_attrs=read-write&options=endpoint%3Done&pgbouncer=true"
        "&gssencmode=disable&keepalives_idle=30"
    )
    address = read_address(f"postgresql://u@h/n?{query}")
    assert (address.connect_timeout, address.warning) == (10.0, None)
    assert address.url.query["ssl"] == "verify-full"
    assert driver(query) == {
        "application_name": ["chat"],
        "options": ["endpoint=one"],
        "sslrootcert": [f"{tmp_path}/ca.pem"],
        "target_session_attrs": ["read-write"],
    }
    assert driver("") == {"application_name": ["stream-serve"]}


def test_the_certificates_of_the_system_are_no_file_of_that_name() -> None:
    address = read_address("postgresql://u@h/n?sslrootcert=system&sslmode=verify-full")
    assert address.system_certificates
    assert "ssl" not in address.url.query
    assert "sslrootcert" not in str(address.url.query["dsn"])


def test_channel_binding_that_cannot_be_had_is_said_and_does_not_keep_from_starting() -> None:
    for query, said in (("sslmode=require", True), ("sslmode=verify-full", False)):
        address = read_address(f"postgresql://u@h/n?{query}&channel_binding=require")
        assert (address.warning is not None) is said


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("schema=chat&sslpassword=x", "schema, sslpassword"),
        ("sslmode=on", "sslmode has to be one of disable"),
        ("channel_binding=maybe", "channel_binding has to be one of"),
        ("gssencmode=require", "gssencmode has to be one of"),
        ("target_session_attrs=best", "target_session_attrs has to be one of any"),
        ("sslrootcert=/nowhere/ca.pem", "sslrootcert names cannot be read"),
        ("connect_timeout=soon", "connect_timeout has to be a number"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_its_name(query: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        database_url(f"postgresql://u@h/n?{query}")


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
