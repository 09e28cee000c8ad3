"""The TLS side of a client: whom it trusts, and how it shows who it is."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final, NoReturn

from stream_serve.errors import SettingsError

if TYPE_CHECKING:
    from stream_serve.producers.http1.base import Access

_STRICT: Final = ssl.VERIFY_X509_STRICT
_OF_ANOTHER: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH


def tls_context(access: Access) -> ssl.SSLContext:
    """Return a context that checks the server's certificate and offers HTTP/1.1 only (RFC 7301).

    Reads the files of `access`. Raises `SettingsError`, which names the file that cannot be used.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if access.ca_file is not None:
        _trust(context, access.ca_file)
    if access.client_cert is not None:
        _certify(context, access.client_cert, access.client_key)
    elif access.client_key is not None:
        raise SettingsError(
            f"{access.client_key} is the key of a client certificate, and there is no certificate"
        )
    return context


def distrust(error: ssl.SSLCertVerificationError) -> str:
    """Return why a certificate is not trusted, without the host, which OpenSSL names in some words."""
    return "it is for another host" if error.verify_code in _OF_ANOTHER else error.verify_message


def _trust(context: ssl.SSLContext, file: str) -> None:
    """Trust the authorities of a file, besides those of the system."""
    try:
        context.load_verify_locations(file)
    except ssl.SSLError:
        raise SettingsError(
            f"{file} has no certificate of an authority in it, or a broken one: it must be PEM"
        ) from None
    except OSError as error:
        raise _unreadable(file, error) from None
    # From Python 3.13 on, extensions are wanted that many companies' authorities do not have.
    context.verify_flags &= ~_STRICT


def _certify(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    """Show a client certificate to servers that ask for one."""
    for file in (certificate, key):
        if file is not None:
            _check_readable(file)
    where = certificate if key is None else key

    def refuse() -> NoReturn:
        # Without this, OpenSSL would ask on the terminal.
        raise SettingsError(f"the key in {where} is encrypted: store it without a passphrase")

    try:
        context.load_cert_chain(certificate, key, password=refuse)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(f"the key in {where} is not that of {certificate}") from None
        raise SettingsError(
            f"{certificate} has no certificate in it, or {where} no key: both must be PEM"
        ) from None


def _check_readable(file: str) -> None:
    try:
        with open(file, "rb"):  # noqa: PTH123 - it is only tried
            pass
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: str, error: OSError) -> SettingsError:
    return SettingsError(f"{file} cannot be read: {error.strerror or type(error).__name__}")
