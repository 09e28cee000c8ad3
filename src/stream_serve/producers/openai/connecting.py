"""Errors of a connection that came before the head of a response, in words for who configures it."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import Final

from stream_serve.errors import (
    UpstreamDisconnected,
    UpstreamError,
    UpstreamProtocol,
    UpstreamUnreachable,
)
from stream_serve.producers import http1

_DESCRIPTOR_ERRNOS: Final = {errno.EMFILE, errno.ENFILE}


def connection_error(error: Exception, host: str) -> UpstreamError:
    """Map an error that came before the head of the response; `host` is for the operator alone."""
    found = _connection_error(error)
    found.for_operator = host
    return found


def _connection_error(error: Exception) -> UpstreamError:  # noqa: PLR0911 - a table
    match error:
        case http1.ProxyError():
            return UpstreamUnreachable(
                f"no connection through the proxy: {error}", retryable=error.retryable
            )
        case ssl.SSLCertVerificationError():
            return UpstreamUnreachable(
                "no secure connection to the provider: its TLS certificate is not trusted "
                f"({http1.distrust(error)}); a company's own authority has to be named as a file",
                retryable=False,
            )
        case ssl.SSLError():
            reason = (error.reason or "").replace("_", " ").lower() or "no reason was given"
            return UpstreamUnreachable(
                f"no secure connection to the provider: the TLS handshake was not accepted ({reason})",
                retryable=False,
            )
        case socket.gaierror():
            return UpstreamUnreachable("no connection to the provider: its name cannot be resolved")
        case TimeoutError():
            return UpstreamUnreachable(
                "no connection to the provider in time",
                parameters=["OpenAIProvider.connect_timeout"],
            )
        case OSError() if error.errno in _DESCRIPTOR_ERRNOS:
            return UpstreamUnreachable(
                "this process has no file descriptor left for a connection to the provider: raise "
                "its limit (ulimit -n)"
            )
        case OSError():
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            return UpstreamUnreachable(f"no connection to the provider: {reason}")
        case http1.ProtocolError():
            return UpstreamProtocol(
                "the provider does not answer with HTTP", parameters=["Endpoint.url"]
            )
        case _:
            return UpstreamDisconnected("the provider closed the connection before it answered")
