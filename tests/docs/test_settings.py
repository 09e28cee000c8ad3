"""The table of settings has every setting, with its default."""

from __future__ import annotations

import re

import pytest
from pydantic_core import PydanticUndefined

from stream_serve.settings import Settings
from support.pages import pair, read


@pytest.mark.parametrize("page", pair("settings"))
def test_the_table_of_settings_has_every_setting_and_its_default(page: str) -> None:
    rows = dict(re.findall(r"^\| `[^|]*?([A-Z_]{4,})` \|(.*?)\|", read(page), re.MULTILINE))
    for name, field in Settings.model_fields.items():
        variable = f"STREAM_SERVE_{name.upper()}"
        if variable not in rows:
            variable = name.upper()
        shown = rows.pop(variable).strip("` ")
        default = field.default
        if default in (None, (), PydanticUndefined):
            expected = "qwen-plus" if name == "model" else ""
        elif isinstance(default, float):
            expected = f"{default:g}"
        else:
            expected = str(default).lower() if isinstance(default, bool) else str(default)
        assert shown == expected, variable
    assert rows == {}, "the table has settings that do not exist"
