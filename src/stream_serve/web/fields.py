"""Fields that several bodies and paths share."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from stream_serve.runs import names
from stream_serve.runs.spec import OnDisconnect
from stream_serve.web.body import invalid

_RUN_ID: Final = {"type": "string", "pattern": f"^{names.PATTERN}$"}
# A JSON Schema pattern matches anywhere in a text, so that it needs both anchors.

RunId = Annotated[str, AfterValidator(names.check), WithJsonSchema(_RUN_ID)]
"""The id of a run in a body."""

RunIdInPath = Annotated[str, WithJsonSchema(_RUN_ID)]
"""The id of a run in a path. It is not checked here: for an invalid id there is just no run."""


def disconnect_of(value: object, default: OnDisconnect, *, name: str) -> OnDisconnect:
    """Return what becomes of a run that nobody reads any more, as the field `name` says.

    Raises `InvalidFields`.
    """
    if value is None:
        return default
    for one in (OnDisconnect.STOP, OnDisconnect.CONTINUE):
        if value == one.value:
            return one
    raise invalid(name, "should be stop or continue")
