"""Our words for pydantic's errors, which are about wrong settings and about wrong fields of requests.

A kind of error that is not in the table is said in words that are always true; pydantic's own are never
shown. They name types of Python (`valid tuple`), and some repeat the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

OTHERWISE: Final = "should be of another form"
"""What is said of an error that is not in the table."""

_ERROR: Final = "value_error"
_WORDS: Final = {
    "missing": "is needed",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "dict_type": "should be an object",
    "extra_forbidden": "is not known here",
    "finite_number": "should be a finite number",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "greater_than": "should be more than {gt}",
    "greater_than_equal": "should be at least {ge}",
    "int_from_float": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_parsing_size": "should be a whole number with fewer digits",
    "int_type": "should be a whole number",
    "less_than_equal": "should be at most {le}",
    "list_type": "should be a list",
    "literal_error": "should be {expected}",
    "model_attributes_type": "should be an object",
    "model_type": "should be an object",
    "path_type": "should be the path of a file",
    "string_pattern_mismatch": "should have no control characters",
    "string_too_long": "should have at most {max_length} characters",
    "string_too_short": "should not be empty",
    "string_type": "should be text",
    "string_unicode": "should be UTF-8",
    "too_long": "should have at most {max_length} items",
    "too_short": "should not be empty",
    "tuple_type": "should be a list",
}


def words(kind: str, context: Mapping[str, object], ours: Mapping[str, str] | None = None) -> str:
    """Return what is wrong, to be read after a name: `should be a number`.

    `kind` and `context` are the `type` and the `ctx` of pydantic's error; `ours` wins over the table.
    What one of our own checks has raised is said in its words.
    """
    if kind == _ERROR:
        return str(context.get("error", OTHERWISE))
    said = ({**_WORDS, **(ours or {})}).get(kind, OTHERWISE)
    return said.format_map({name: _plain(value) for name, value in context.items()})


def _plain(value: object) -> object:
    return f"{value:.15g}" if isinstance(value, float) else value
