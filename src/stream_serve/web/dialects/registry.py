"""The dialects in which a run can be read, whichever it was started in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_serve.web.body import invalid
from stream_serve.web.dialects.ag_ui import AgUi
from stream_serve.web.dialects.chat import ChatCompletions
from stream_serve.web.dialects.completions import Completions
from stream_serve.web.dialects.responses.translation import Responses
from stream_serve.web.dialects.ui_messages import UIMessages

if TYPE_CHECKING:
    from stream_serve.web.dialects.base import Dialect

NATIVE: Final = "native"
_ALL: Final[tuple[Dialect, ...]] = (
    ChatCompletions(),
    Completions(),
    Responses(),
    UIMessages(),
    AgUi(),
)
_DIALECTS: Final = {one.name: one for one in _ALL}


def dialect_of(name: str | None) -> Dialect | None:
    """Return the dialect of this name; None for the native one, or for no name.

    Raises `InvalidFields`.
    """
    if name in {None, "", NATIVE}:
        return None
    found = _DIALECTS.get(str(name))
    if found is None:
        raise invalid("dialect", f"may be one of {', '.join(names())}")
    return found


def names() -> list[str]:
    """Return the names of all dialects."""
    return [NATIVE, *_DIALECTS]
