"""What the commands refuse before they ask anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream_serve import app, logging
from stream_serve.commands import cli
from stream_serve.producers.base import Patience
from stream_serve.producers.openai.endpoint import Endpoint, Traits
from stream_serve.producers.openai.provider import OpenAIProvider

if TYPE_CHECKING:
    from stream_serve.settings import Settings


def unthinking(_: Settings) -> OpenAIProvider:
    """A provider that cannot be told whether to think, where nobody listens."""
    return OpenAIProvider(
        Endpoint("http://127.0.0.1:9", "", "m", traits=Traits(thinking=None)),
        patience=Patience(60, 60),
        connect_timeout=5,
        max_event_bytes=100_000,
    )


def test_chat_refuses_an_option_that_the_provider_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def configure(*_: Any) -> None:
        """Leave the logs of the tests alone."""

    monkeypatch.setattr(app, "create_provider", unthinking)
    monkeypatch.setattr(logging, "configure", configure)
    with pytest.raises(SystemExit) as caught:
        cli.chat("hi", thinking=True)
    assert caught.value.code == 2
    assert "--thinking: this provider cannot be told whether to think" in capsys.readouterr().err
