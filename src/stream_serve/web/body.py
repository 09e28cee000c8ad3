"""JSON bodies: read up to a limit, and validated into a model or a clear error.

A body is small, but each of its values can be wrong, and an error costs a hundred times as much as a
value. So the number of errors is bounded before they are made: only some of the unknown fields of an
object are validated, lists have `max_length` and `fail_fast`, and the values of free-form JSON in a body
are counted (`check_values`). For the same reason an `OpenBody` ignores only some unknown fields.
"""

from __future__ import annotations

import math
import re
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar, cast

import msgspec
from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from starlette.requests import ClientDisconnect

from stream_serve.errors import BadRequest, BodyTooLarge, InvalidFields, NotJSON
from stream_serve.settings.words import words
from stream_serve.web import syntax
from stream_serve.web.nearest import nearest, plain
from stream_serve.web.security import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ModelWrapValidatorHandler
    from pydantic_core import ErrorDetails
    from starlette.requests import Request

_MAX_NAME: Final = 100
_MAX_ERRORS: Final = 20
_MAX_UNKNOWN: Final = 10
_MAX_IGNORED: Final = 50
_MAX_VALUES: Final = 50_000
_VALUE_BYTES: Final = 8
"""A body may have a value for every so many of its bytes; short messages of any door have fewer."""
_MAX_BITS: Final = 64
_MAX_LEVELS: Final = 200
"""Free-form JSON that is nested deeper is refused: it is passed on by recursion."""
_LONG_NUMBER: Final = re.compile(rb"\d{20}")
"""What stands in every integer of more than `_MAX_BITS` bits."""


class Body(BaseModel):
    """A JSON body: names in camel case, no unknown fields, no conversion between types.

    `synonyms` are names of other APIs for fields of this body, without `_` and in lower case.
    `cache_strings` keeps the parser from caching short texts of requests; it caches only names.
    """

    synonyms: ClassVar[Mapping[str, str]] = {}

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        cache_strings="keys",
    )

    @classmethod
    def meant(cls, name: str) -> str | None:
        """Return the field that a caller probably meant by an unknown one; None if none is close."""
        return cls.synonyms.get(plain(name[:_MAX_NAME])) or nearest(name, names_of(cls))

    @model_validator(mode="before")
    @classmethod
    def _leave_out_unknown(cls, data: object) -> object:
        """Drop all but ten of the unknown fields, because each one costs an error."""
        if not isinstance(data, dict) or len(cast("dict[str, object]", data)) <= _MAX_UNKNOWN:
            return cast("object", data)
        fields = cast("dict[str, object]", data)
        known = names_of(cls)
        unknown = set(islice((name for name in fields if name not in known), _MAX_UNKNOWN))
        return {name: value for name, value in fields.items() if name in known or name in unknown}


class OpenBody(Body):
    """A body that ignores fields which it does not know, but not the near miss of one that it knows.

    A synonym is a near miss, too. More than fifty unknown fields are refused like those of a `Body`.
    """

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})
    _ignored: tuple[str, ...] = PrivateAttr(())

    @property
    def ignored(self) -> tuple[str, ...]:
        """The names of the fields that were ignored."""
        return self._ignored

    @model_validator(mode="wrap")
    @classmethod
    def _ignore_unknown(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Leave out the unknown fields that may be ignored; the others become errors."""
        fields = cast("dict[str, object]", data) if isinstance(data, dict) else {}
        known = names_of(cls)
        unknown = list(islice((name for name in fields if name not in known), _MAX_IGNORED + 1))
        if not unknown or len(unknown) > _MAX_IGNORED:
            return handler(data)
        ignored = tuple(name for name in unknown if cls.meant(name) is None)
        body = handler({name: value for name, value in fields.items() if name not in ignored})
        body._ignored = ignored
        return body


@cache
def names_of(model: type[Body]) -> frozenset[str]:
    """Return the names of a body's fields, as callers write them."""
    return frozenset(field.alias or name for name, field in model.model_fields.items())


class ValueBudget:
    """The number of values of free-form JSON that all parts of a body of so many bytes may still have."""

    def __init__(self, size: int = 0) -> None:
        self._most = self._left = max(_MAX_VALUES, size // _VALUE_BYTES)

    def spend(self, values: int) -> None:
        """Take so many of them. Raises `ValueError` when there are not as many left."""
        self._left -= values
        if self._left < 0:
            raise ValueError(
                f"a body of this size may have at most {self._most} values in its contents: "
                f"{_MAX_VALUES}, or one for every {_VALUE_BYTES} bytes"
            )


def check_values(value: object, context: object, *, levels: int = _MAX_LEVELS) -> None:
    """Check free-form JSON: the range of its numbers, the number of its values, and its levels.

    `context` is the context of the validation, which is the `ValueBudget` of the whole body. Raises
    `ValueError`.
    """
    budget = context if isinstance(context, ValueBudget) else ValueBudget()
    parts: list[object] = [value]
    for _ in range(levels + 1):
        containers: list[dict[str, object] | list[object]] = []
        for part in parts:
            kind = type(part)
            if kind is str:
                continue
            if kind is dict or kind is list:
                if part:
                    containers.append(cast("dict[str, object] | list[object]", part))
            elif isinstance(part, float) and not math.isfinite(part):
                raise ValueError("should have only finite numbers")
            elif isinstance(part, int) and part.bit_length() > _MAX_BITS:
                raise ValueError(f"should have only integers of at most {_MAX_BITS} bits")
        if not containers:
            return
        parts = []
        for one in containers:
            budget.spend(len(one))
            parts += one.values() if isinstance(one, dict) else one
    raise ValueError(f"may be nested {levels} levels deep")


def _is_within(raw: bytes) -> bool:
    """Return whether the bytes of JSON alone show that `check_values` takes it, as most bodies' do.

    A value takes at least two bytes, and a level a bracket. msgspec takes only finite numbers.
    """
    return (
        len(raw) < 2 * _MAX_VALUES
        and raw.count(b"{") + raw.count(b"[") <= _MAX_LEVELS
        and _LONG_NUMBER.search(raw) is None
    )


def check_size(value: object, most: int) -> None:
    """Check that free-form JSON has at most `most` bytes. Raises `ValueError`."""
    if len(msgspec.json.encode(value)) > most:
        raise ValueError(f"may have at most {most} bytes")


_Body = TypeVar("_Body", bound=Body)


async def read_json(request: Request, model: type[_Body], *, max_bytes: int) -> _Body:
    """Read the body of a request and return it as `model`. Raises as `read_bytes` and `validated` do."""
    return validated(await read_bytes(request, max_bytes=max_bytes), model)


async def read_bytes(request: Request, *, max_bytes: int) -> bytes:
    """Read the body of a request, which says that it is JSON.

    Raises `NotJSON` for another media type, `BodyTooLarge` before more than `max_bytes` are in memory,
    and Starlette's `ClientDisconnect` if the client disconnects meanwhile.
    """
    _check_type(request)
    return await _read(request, max_bytes)


def validated(raw: bytes, model: type[_Body]) -> _Body:
    """Return a body as `model`.

    Raises `BadRequest` for a body that is not JSON, `InvalidFields` with the path of each wrong field.
    """
    try:
        return model.model_validate_json(raw, context=ValueBudget(len(raw)))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        raise BadRequest(syntax.explain(raw, str(details[0].get("ctx", {}).get("error", ""))))
    raise InvalidFields(
        "; ".join(f"{field_name(d['loc'])}: {_message(model, d)}" for d in details[:3]),
        fields=tuple((field_name(d["loc"]), _message(model, d)) for d in details[:_MAX_ERRORS]),
    )


async def read_object(request: Request, *, max_bytes: int) -> dict[str, Any]:
    """Read the body of a request, which is a JSON object of a format that is not ours, and return it.

    Its values are bounded in number and in depth. Raises as `read_json` does, and `BadRequest` if it is
    no object.
    """
    _check_type(request)
    raw = await _read(request, max_bytes)
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if not _is_within(raw):
        try:
            check_values(value, ValueBudget(len(raw)))
        except ValueError as error:
            raise BadRequest(f"the body cannot be taken: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body should be a JSON object")
    return cast("dict[str, Any]", value)


def _message(model: type[Body], detail: ErrorDetails) -> str:
    """Return what is wrong, in our words."""
    if detail["type"] != "extra_forbidden":
        return words(detail["type"], detail.get("ctx", {}))
    if len(detail["loc"]) != 1:
        return "there is no such field"
    meant = model.meant(str(detail["loc"][-1]))
    if meant is not None:
        return f"there is no such field: did you mean {meant}?"
    if issubclass(model, OpenBody):
        return f"there is no such field, and at most {_MAX_IGNORED} of those are ignored"
    return "there is no such field"


def invalid(name: str, message: str) -> InvalidFields:
    """Return the error for one field, header or query parameter."""
    return InvalidFields(f"{name}: {message}", fields=((name, message),))


def field_name(loc: tuple[int | str, ...]) -> str:
    """Return the path of a field in JavaScript's notation, such as `messages[2].content`."""
    name = ""
    for part in loc:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name[:_MAX_NAME] or "body"


def _check_type(request: Request) -> None:
    headers = fields_of(request.scope)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise NotJSON("send the body as JSON, with the header 'Content-Type: application/json'")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise NotJSON("send the body as it is, without a Content-Encoding")


async def _read(request: Request, max_bytes: int) -> bytes:
    # The server keeps the connection open and discards the rest of the body. Closing it while the
    # client is still sending would reset it, and a client that reads only afterwards (such as a proxy)
    # would lose the response (RFC 9112, 9.6).
    declared = fields_of(request.scope).get("content-length", "0")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    pieces: list[bytes] = []
    size = 0
    while True:  # `request.stream`, a generator, costs more than a short body
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        pieces.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _too_large(max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body may have at most {max_bytes} bytes (STREAM_SERVE_MAX_BODY_BYTES)"
    )
