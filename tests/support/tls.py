"""A certificate authority for localhost, made on the spot."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


class Authority:
    """Certifies localhost; nobody trusts it who was not told to."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def server(self) -> ssl.SSLContext:
        """Return a server's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = self._authority.issue_cert("localhost")
        certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
        return context

    def write(self, folder: Path) -> str:
        """Write the authority's certificate, and give the file's path."""
        path = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(path))
        return str(path)
