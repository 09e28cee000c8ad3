"""The page on providers: its example is a right file, its tables are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_serve.producers.openai.kinds import KINDS
from stream_serve.settings import Settings, tables
from support.pages import blocks, pair, read, rows

pytestmark = pytest.mark.parametrize("page", pair("providers"))

TRAITS = [name for name in tables.TRAITS if name != "require_finish"]


def test_the_example_is_a_right_file(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    (example,) = blocks(page, "toml")
    Path("stream-serve.toml").write_text(example, encoding="utf-8")
    catalog = Settings.load().catalog
    assert catalog is not None
    assert [one.name for one in catalog.models] == ["qwen-plus", "small"]


def test_the_table_of_kinds_is_what_each_kind_is_sent(page: str) -> None:
    shown = {row[0].strip("`"): row[1:] for row in rows(page, columns=len(TRAITS) + 3)}
    assert list(shown) == list(KINDS)
    for name, (key, *traits, tried) in shown.items():
        kind = KINDS[name]
        assert (
            key.strip("`").lower().partition(":")[0]
            == {
                "bearer": "authorization",
                "api-key": "api-key",
            }[kind.auth]
        )
        expected = [getattr(kind.traits, trait) for trait in TRAITS]
        assert [trait.strip("`") for trait in traits] == [
            str(value).lower() if value is not None else "none" for value in expected
        ]
        assert kind.traits.require_finish
        assert tried


def test_every_key_of_the_file_is_on_the_page(page: str) -> None:
    text = read(page)
    for table in (tables.Root, tables.Provider, tables.Model, tables.Target, tables.Timeouts):
        for key in table.model_fields:
            assert f"`{key}" in text or f"[[{key}]]" in text or f" {key} " in text, key
