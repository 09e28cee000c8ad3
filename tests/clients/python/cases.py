"""What the programs here have in common: each runs cases of one client, as its tests ask.

How it works: a line of JSON on standard input names a case, and has its words; a line on standard output
has what the client saw, or what it raised. Whatever a client prints itself goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]

QUESTION = [{"role": "user", "content": "Hello"}]


def serve(*cases: Callable[..., Any]) -> None:
    """Run the cases that standard input asks for, until it ends."""
    known = {case.__name__: case for case in cases}
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked: Json = json.loads(line)
        try:
            found: Any = {"saw": known[asked.pop("case")](**asked)}
        except Exception as error:  # noqa: BLE001 - what a client raises is what its test asks for
            found = {"raised": raised(error)}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


def raised(error: BaseException) -> Json:
    """Return what a client's exception says."""
    names = ("status_code", "code", "param", "type", "request_id", "body")
    told = {name: getattr(error, name) for name in names if hasattr(error, name)}
    return {"name": type(error).__name__, "message": str(error), **told}
