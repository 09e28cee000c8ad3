"""The example and the schema that are shipped are those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from stream_serve.settings import Settings, tables
from stream_serve.settings.schema import schema
from support.pages import ROOT

if TYPE_CHECKING:
    import pytest

EXAMPLE = (ROOT / "stream-serve.example.toml").read_text(encoding="utf-8")


def load(text: str) -> Settings:
    Path("stream-serve.toml").write_text(text, encoding="utf-8")
    return Settings.load()


def test_the_example_is_a_right_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    catalog = load(EXAMPLE).catalog
    assert catalog is not None
    assert [(one.name, one.kind) for one in catalog.providers] == [
        ("bailian", "dashscope"),
        ("here", "vllm"),
    ]
    assert catalog.default == "qwen-plus"


def test_what_the_example_has_in_comments_is_right_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DASHSCOPE_API_KEY", "AZURE_OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-1")
    for name in ("company-ca.pem", "client.pem", "client.key", "llm-key"):
        Path(name).write_text("sk-2\n", encoding="utf-8")
    text = re.sub(r"^# (?=\[\[|\w+ = )", "", EXAMPLE, flags=re.MULTILINE)
    catalog = load(text.replace("/run/secrets/", "")).catalog
    assert catalog is not None
    assert [one.name for one in catalog.providers] == ["bailian", "here", "azure", "company"]
    assert set(catalog.providers[3].traits) == {*tables.TRAITS} - {"continuous_usage"}


def test_the_schema_that_is_shipped_is_that_of_the_code() -> None:
    shipped = (ROOT / "docs" / "stream-serve.schema.json").read_text(encoding="utf-8")
    assert shipped == schema(), "run scripts/schema"


def test_the_schema_has_every_key_with_what_it_is() -> None:
    made = json.loads(schema())
    for table in ("Provider", "Model", "Target", "Timeouts"):
        found = made["$defs"][table]
        assert set(found["properties"]) == set(getattr(tables, table).model_fields)
        assert found["additionalProperties"] is False
    provider = made["$defs"]["Provider"]["properties"]
    assert [name for name, one in provider.items() if not one.get("description")] == ["timeouts"]
    assert "dashscope" in json.dumps(provider["kind"])
