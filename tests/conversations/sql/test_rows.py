"""Titles that are made of questions: the rule of the service and of the chat page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from stream_serve.conversations.sql.rows import title_of

ROOT: Final = Path(__file__).parent.parent.parent.parent
TITLES: Final = ROOT / "web" / "tests" / "support" / "titles.json"


@pytest.mark.parametrize(("words", "title"), json.loads(TITLES.read_text(encoding="utf-8")))
def test_the_service_makes_the_title_that_the_chat_page_shows(words: str, title: str) -> None:
    assert title_of(words) == title
