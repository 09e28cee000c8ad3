"""The ids of runs: what one may be, said once for the body, the header, the path and the core.

An id is always matched whole. A pattern that is only searched for would accept a slash or a line end
around the right characters, and an id names logs and stands in a header.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

_ID: Final = re.compile("[A-Za-z0-9_-]{16,128}")
_WRONG: Final = "should have 16 to 128 letters, digits, - or _"


def fits(text: str) -> bool:
    """Say whether a run can have this id. Costs the same for a text of any length."""
    return _ID.fullmatch(text) is not None


def check(text: str) -> str:
    """Return an id that a run can have. Raises `ValueError`, without the text, for any other."""
    if not fits(text):
        raise ValueError(_WRONG)
    return text


SCHEMA: Final = {"type": "string", "pattern": f"^{_ID.pattern}$"}
"""The JSON schema of an id. There a pattern is searched for, so it has its anchors."""

RunId = Annotated[str, AfterValidator(check), WithJsonSchema(SCHEMA)]
"""The type of a field that has a run's id."""

RunIdInPath = Annotated[str, WithJsonSchema(SCHEMA)]
"""The type of a path's part. It is not checked there: no run has a wrong id, so that the core says."""
