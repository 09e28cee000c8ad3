"""The ids of runs, and the names of their logs: an owner and an id.

An id is always matched whole. A pattern that is only searched for would accept a slash or a line end
around the right characters, and an id names logs and stands in a header.
"""

from __future__ import annotations

import re
from typing import Final

from stream_serve.errors import RunNotFound

PATTERN: Final = "[A-Za-z0-9_-]{16,128}"
RULE: Final = "should have 16 to 128 letters, digits, - or _"
_ID: Final = re.compile(PATTERN)
_OWNER: Final = re.compile(r"[A-Za-z0-9._~@:+=-]{1,128}")
OWNER_RULE: Final = "should have 1 to 128 letters, digits or any of . _ ~ @ : + = -"


def fits(text: str) -> bool:
    """Return whether a run can have this id. Costs the same for a text of any length."""
    return _ID.fullmatch(text) is not None


def check(text: str) -> str:
    """Return an id that a run can have. Raises `ValueError`, without the text, for any other."""
    if not fits(text):
        raise ValueError(RULE)
    return text


def is_owner(text: str) -> bool:
    """Return whether an owner can have this name."""
    return _OWNER.fullmatch(text) is not None


def name_of(owner: str | None, run_id: str) -> str:
    """Return the name of a run's log: two owners may choose the same id.

    An owner has 1 to 128 letters, digits, or any of `. _ ~ @ : + = -`; None is everybody's. Neither
    part can have a slash, so that two runs never share a name. Raises `ValueError` for any other.
    """
    if not fits(run_id):
        raise ValueError(f"run_id: {RULE}")
    if owner is None:
        return run_id
    if not is_owner(owner):
        raise ValueError(f"owner: {OWNER_RULE}")
    return f"{owner}/{run_id}"


def parts_of(name: str) -> tuple[str | None, str]:
    """Return the owner and the run's id of a log's name. Raises `ValueError` for a name that
    `name_of` does not return."""
    owner, run_id = split(name)
    if name_of(owner, run_id) != name:
        raise ValueError("name: is not the name of a run's log")
    return owner, run_id


def split(name: str) -> tuple[str | None, str]:
    """Return what `parts_of` does, at once, for a name that `name_of` has returned."""
    owner, slash, run_id = name.rpartition("/")
    return owner if slash else None, run_id


def name_for(owner: str | None, run_id: str) -> str:
    """Return the name of the log of a run that somebody asks for, by whatever id.

    Raises `RunNotFound` for an id that no run can have: then nobody has to be asked.
    """
    if not fits(run_id):
        raise not_found()
    return name_of(owner, run_id)


def not_found() -> RunNotFound:
    """Return the error for a run that is unknown here and everywhere, or somebody else's."""
    return RunNotFound("there is no run with this id, or it was forgotten some time after its end")
