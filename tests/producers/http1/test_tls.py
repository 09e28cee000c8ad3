"""Whom a client trusts, and how it shows who it is."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from stream_serve.errors import SettingsError
from stream_serve.producers import http1
from support.http1 import OK, Server
from support.tls import ENCRYPTED_KEY, Authority

if TYPE_CHECKING:
    from pathlib import Path


async def ask(server: Server, **access: str) -> str:
    """Ask a server that answers everyone; return the name in the client's certificate."""
    sockets: list[socket.socket] = []
    client = http1.Client(server.url, {}, connect_timeout=5, access=http1.Access(**access))
    exchange: http1.HTTPExchange | None = None
    try:
        async with asyncio.timeout(10):
            exchange = await client.open(b"{}", sockets.append)
            _, writer = await server.connections.get()
            certificate = str(writer.get_extra_info("peercert"))
            writer.write(OK + b"Content-Length: 0\r\n\r\n")
            await exchange.read_head()
    finally:
        if exchange is not None:
            await exchange.close()
        await client.close()
        assert [sock.fileno() for sock in sockets] == [-1] * len(sockets)
    return certificate


@pytest.mark.both_loops
async def test_an_authority_of_ones_own_is_trusted_where_it_is_named(tmp_path: Path) -> None:
    authority = Authority()
    async with Server(authority.server()) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="certificate"):
            await ask(server)
        assert await ask(server, ca_file=authority.write(tmp_path)) == "None"


@pytest.mark.both_loops
@pytest.mark.parametrize("separate", [True, False])
async def test_a_client_certificate_is_shown_to_a_server_that_asks_for_one(
    tmp_path: Path, *, separate: bool
) -> None:
    authority = Authority()
    ca_file = authority.write(tmp_path)
    certificate, key = authority.write_client(tmp_path, "client.example", separate=separate)
    async with Server(authority.server(ask=True)) as server:
        shown = await ask(
            server, ca_file=ca_file, client_cert=certificate, **({"client_key": key} if key else {})
        )
        assert "client.example" in shown


@pytest.mark.both_loops
async def test_a_server_that_misses_a_client_certificate_says_so(tmp_path: Path) -> None:
    """In TLS 1.3 its word comes when the handshake is over for the client."""
    authority = Authority()
    context = authority.server(ask=True)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"https://localhost:{listening.getsockname()[1]}"

        def refuse() -> None:
            """Shake hands as a server that sends its alert, which asyncio's does not."""
            talk = context.wrap_socket(
                listening.accept()[0], server_side=True, do_handshake_on_connect=False
            )
            with pytest.raises(ssl.SSLError):
                talk.do_handshake()
            with socket.socket(fileno=talk.detach()) as sock:
                while sock.recv(65_536):
                    pass

        refusing = asyncio.ensure_future(asyncio.to_thread(refuse))
        access = http1.Access(ca_file=authority.write(tmp_path))
        exchange = await http1.Client(url, {}, connect_timeout=5, access=access).open(
            b"{}", lambda _: None
        )
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
            await exchange.read_head()
        await refusing
        await exchange.close()


def test_a_file_that_cannot_be_used_is_named_at_the_start(tmp_path: Path) -> None:
    authority = Authority()
    ca_file = authority.write(tmp_path)
    certificate, key = authority.write_client(tmp_path, "client.example", separate=True)
    _, other = Authority().write_client(tmp_path, "other", separate=True)
    encrypted, text, missing = (str(tmp_path / name) for name in ("enc.pem", "text", "missing"))
    (tmp_path / "enc.pem").write_text(ENCRYPTED_KEY)
    (tmp_path / "text").write_text("no certificate")
    for access, names, words in (
        (http1.Access(ca_file=missing), missing, "No such file"),
        (http1.Access(ca_file=str(tmp_path)), str(tmp_path), "directory"),
        (http1.Access(ca_file=text), text, "PEM"),
        (http1.Access(client_cert=missing), missing, "No such file"),
        (http1.Access(client_cert=certificate, client_key=missing), missing, "No such file"),
        (http1.Access(client_cert=text), text, "PEM"),
        (http1.Access(client_cert=certificate), certificate, "PEM"),
        (http1.Access(client_cert=certificate, client_key=text), text, "PEM"),
        (http1.Access(client_cert=certificate, client_key=encrypted), encrypted, "passphrase"),
        (http1.Access(client_cert=certificate, client_key=other), other, "not that of"),
        (http1.Access(client_key=key), key, "no certificate"),
    ):
        with pytest.raises(SettingsError, match=words) as refused:
            http1.check(access)
        assert names in str(refused.value)
    http1.check(http1.Access(ca_file=ca_file, client_cert=certificate, client_key=key))
