"""SQLite files by their simple addresses, without importing SQLAlchemy."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from stream_serve.errors import HistoryUnavailable

_PLAIN: Final = re.compile(r"(?:sqlite:///)?(?!file:)(/?[\w~][\w ~./-]*)")


def plain_file(text: str) -> Path | None:
    """Return the path in a simple address, such as `data/chat.db` or `sqlite:///data/chat.db`.

    None for every other address, which `urls.database_url` parses or rejects.
    """
    found = _PLAIN.fullmatch(text)
    return None if found is None else Path(found[1]).expanduser()


def check_file(path: Path) -> str:
    """Return what is true of a SQLite file, without opening it.

    Raises `HistoryUnavailable` for one that the service could not write.
    """
    place = path if path.exists() else next(one for one in path.absolute().parents if one.exists())
    if not os.access(place, os.W_OK):
        raise HistoryUnavailable(
            "the database's file cannot be written: look at its owner and its permissions",
            for_operator=str(place),
        )
    return f"the file {path}" + ("" if path.exists() else ", which is made at its first use")
