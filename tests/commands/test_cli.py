"""What the commands refuse before they ask anybody."""

from __future__ import annotations

from typing import Any

import pytest

from stream_serve import logging
from stream_serve.commands import cli


def test_chat_refuses_an_option_that_the_provider_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def configure(*_: Any) -> None:
        """Leave the logs of the tests alone."""

    monkeypatch.setattr(logging, "configure", configure)
    for name, value in (("URL", "http://127.0.0.1:9"), ("KIND", "openai")):
        monkeypatch.setenv(f"STREAM_SERVE_UPSTREAM_{name}", value)
    monkeypatch.setenv("STREAM_SERVE_MODEL", "m")
    with pytest.raises(SystemExit) as caught:
        cli.chat("hi", thinking=True)
    assert caught.value.code == 2
    assert "--thinking: this provider cannot be told whether to think" in capsys.readouterr().err
