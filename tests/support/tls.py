"""A certificate authority for localhost, made on the spot."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import trustme

if TYPE_CHECKING:
    from pathlib import Path

ENCRYPTED_KEY: Final = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjwvYg3r1tcwAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEPKHFBmTe5nlROMO+TrENLkEgZAs
RxRyojF00qHk4BwXYYJRZadP7jTPTkAohNhFzoX8DSjoT+0ne17mpiiUqMOOyQSV
ARC03mdP1eFnPgoPOZytBw38f4OEpdKIdHhE7a4Q61EekX93imj7s7eqAFA0bB/Z
EblWDcoLagTH2sV5GU1C6Y35a/ahuZhZhMWIzXXeqVKlNVPges9WIKx1HZ4js+s=
-----END ENCRYPTED PRIVATE KEY-----
"""
"""A key that nothing is encrypted with, under the passphrase `secret`."""


class Authority:
    """Certifies localhost; nobody trusts it who was not told to."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def server(self, *, ask: bool = False) -> ssl.SSLContext:
        """Return a server's context; it may ask for a client certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if ask:
            context.verify_mode = ssl.CERT_REQUIRED
            self._authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
        certificate = self._authority.issue_cert("localhost")
        certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
        return context

    def write(self, folder: Path) -> str:
        """Write the authority's certificate, and give the file's path."""
        path = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(path))
        return str(path)

    def write_client(self, folder: Path, name: str, *, separate: bool) -> tuple[str, str]:
        """Write a client's certificate and key; return the files, of which the second may be empty."""
        certified = self._authority.issue_cert(name)
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        if not separate:
            certified.private_key_and_cert_chain_pem.write_to_path(str(certificate))
            return str(certificate), ""
        certificate.write_bytes(b"".join(pem.bytes() for pem in certified.cert_chain_pems))
        certified.private_key_pem.write_to_path(str(key))
        return str(certificate), str(key)
