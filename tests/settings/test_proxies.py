"""The variables that say through which proxies programs reach others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stream_serve.settings import Settings

if TYPE_CHECKING:
    import pytest


def test_proxies_are_read_in_small_letters_and_capitals_and_from_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings.proxies() == {}
    Path(".env").write_text("HTTPS_PROXY=file\nall_proxy=file\n", encoding="utf-8")
    assert Settings.proxies() == {"https_proxy": "file", "all_proxy": "file"}
    monkeypatch.setenv("HTTPS_PROXY", "capitals")
    monkeypatch.setenv("HTTP_PROXY", "capitals")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "capitals")
    monkeypatch.setenv("http_proxy", "small")
    assert Settings.proxies() == {
        "https_proxy": "capitals",
        "all_proxy": "file",
        "http_proxy": "small",
        "no_proxy": "capitals",
    }
    monkeypatch.delenv("http_proxy")
    assert Settings.proxies()["http_proxy"] == "capitals"
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert "http_proxy" not in Settings.proxies(), "a caller's header sets it under CGI"
