"""The path of a SQLite file in its simple forms, without importing SQLAlchemy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_PLAIN: Final = re.compile(r"(?:sqlite:///)?(?!file:)(/?[\w~][\w ~./-]*)")


def plain_file(text: str) -> Path | None:
    """Return the path in a simple address, such as `data/chat.db` or `sqlite:///data/chat.db`.

    None for every other address, which `urls.database_url` parses or rejects.
    """
    found = _PLAIN.fullmatch(text)
    return None if found is None else Path(found[1]).expanduser()
