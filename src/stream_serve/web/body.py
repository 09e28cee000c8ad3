"""JSON bodies: read within a cap, and turned into a model or a clear error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from stream_serve.errors import BadRequest, BodyTooLarge, InvalidFields, NotJSON

if TYPE_CHECKING:
    from starlette.requests import Request

_MAX_NAME: Final = 100
_MAX_ERRORS: Final = 20


class Body(BaseModel):
    """A JSON body: names in camel case, nothing unknown, every field of its own type.

    The parser would keep the short texts of thousands of requests, to share them with later ones; it
    may keep names only.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        cache_strings="keys",
    )


_Body = TypeVar("_Body", bound=Body)


async def read_json(request: Request, model: type[_Body], *, max_bytes: int) -> _Body:
    """Read a request's body as `model`.

    Raises `NotJSON`, `BodyTooLarge` (before more than the cap is in memory), `BadRequest` for what
    is not JSON, `InvalidFields` with the path of each wrong field, and Starlette's
    `ClientDisconnect` when the client goes away meanwhile.
    """
    _check_type(request)
    raw = await _read(request, max_bytes)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        raise BadRequest(f"the body is not valid JSON: {details[0]['msg']}")
    raise InvalidFields(
        "; ".join(f"{field_name(detail['loc'])}: {detail['msg']}" for detail in details[:3]),
        errors=tuple((field_name(d["loc"]), d["msg"]) for d in details[:_MAX_ERRORS]),
    )


def invalid(name: str, message: str) -> InvalidFields:
    """Give the error for one field (or header, or parameter of the query)."""
    return InvalidFields(f"{name}: {message}", errors=((name, message),))


def field_name(loc: tuple[int | str, ...]) -> str:
    """Write the path of a field as JavaScript would: messages[2].content."""
    name = ""
    for part in loc:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name[:_MAX_NAME] or "body"


def _check_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise NotJSON("send the body as JSON, with the header 'Content-Type: application/json'")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise NotJSON("send the body as it is, without a Content-Encoding")


async def _read(request: Request, max_bytes: int) -> bytes:
    # The connection stays: what comes after the answer is thrown away. Closing it while the client
    # still sends would reset it, and take the answer from whoever reads only afterwards (a proxy).
    too_large = BodyTooLarge(
        f"the body may have at most {max_bytes} bytes (STREAM_SERVE_MAX_BODY_BYTES)"
    )
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)
