"""What is said of a connection that could not be made."""

from __future__ import annotations

import ssl

import pytest

from stream_serve.producers.openai.connecting import connection_error


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", "(sslv3 alert handshake failure)"),
        ("", "(no reason was given)"),
    ],
)
def test_a_tls_alert_is_said_in_words(reason: str, said: str) -> None:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    assert said in str(connection_error(error, "provider:443"))
