"""About how many tokens a message is to a model, counted for limits: so all of it counts.

How it works: texts are counted as `events.usage` does. A picture has the same tokens whatever its data
is. The data of anything else, such as a sound or a document, counts by its length, since nobody here
looks into it. What is left of a part, its names and addresses, is counted as the JSON that goes out.
"""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Final, cast

from stream_serve.events import usage
from stream_serve.producers.provider import is_picture, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_serve.producers.provider import ChatRequest

PICTURE: Final = 1_000
"""About how many tokens a model reads a picture as."""

DATA: Final = 200
"""How many characters of other data, in base64, count as a token."""

CHARACTERS: Final = 8
"""How many characters are read for each token that may be sent: more than any text has."""

_SHORTEST: Final = 1_000
"""What has fewer characters counts as a text, whatever it is."""

_BASE64: Final = f"{string.ascii_letters}{string.digits}+/-_=\r\n".encode()
_HEAD: Final = 200


def of_message(message: dict[str, object]) -> int:
    """Return the tokens of a message in OpenAI's format."""
    beside = [message.get("name"), message.get("tool_call_id"), message.get("tool_calls")]
    named = [one if isinstance(one, str) else _json(one) for one in beside if one]
    content = message.get("content")
    said = of_content(cast("str | list[dict[str, object]]", content)) if content else 0
    return said + sum(map(usage.count_of, named))


def of_options(request: ChatRequest) -> int:
    """Return the tokens of what goes with messages: the tools, the answer's form, what is passed on."""
    options = request.options
    beside = [options.get("tools"), options.get("response_format"), request.extra]
    return sum(usage.count_of(_json(one)) for one in beside if one)


def of_content(content: str | Sequence[dict[str, object]]) -> int:
    """Return the tokens of a message's content."""
    if isinstance(content, str):
        return usage.count_of(content)
    return usage.count_of(text_of(content)) + sum(map(_beside_text, content))


def _beside_text(part: dict[str, object]) -> int:
    """Return the tokens of a part without those of its text."""
    if part.keys() == {"type", "text"} and part["type"] == "text":
        return 0
    data: list[str] = []
    rest = _apart({name: value for name, value in part.items() if name != "text"}, data)
    held = sum(map(len, data)) // DATA
    if is_picture(part):
        held = max(1, len(data)) * PICTURE
    return usage.count_of(_json(rest)) + held


def _apart(value: object, data: list[str]) -> object:
    """Return a value without the data in it, which is added to `data`."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {name: _apart(one, data) for name, one in fields.items()}
    if isinstance(value, list):
        return [_apart(one, data) for one in cast("list[object]", value)]
    if isinstance(value, str) and _is_data(value):
        data.append(value)
        return ""
    return value


def _is_data(value: str) -> bool:
    """Return whether a text is base64, alone or in a `data:` URL (RFC 2397)."""
    if len(value) < _SHORTEST or not value.isascii():
        return False
    head = value[:_HEAD].find(",") + 1 if value.startswith("data:") else 0
    return not value[head:].encode().translate(None, _BASE64)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
