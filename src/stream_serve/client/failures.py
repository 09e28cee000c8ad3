"""What the service says of a failure, as an error of the one tree, told apart by its `code`."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec import Struct

from stream_serve.errors import (
    HistoryError,
    InvalidFields,
    LogUnavailable,
    RequestError,
    RunFailure,
    ServiceProtocol,
    StreamServeError,
)
from stream_serve.streams import errors as streams

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_serve.events.types import Error

E = TypeVar("E", bound=StreamServeError)

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises, whatever the bytes are."""

_MAY_PASS: Final = frozenset({408, 425, 429, 502, 503, 504})
"""The statuses after which the same may succeed later, where no code says it."""


class _Field(Struct):
    field: str = ""
    message: str = ""


class _Problem(Struct):
    code: str
    detail: str = ""
    title: str = ""
    errors: list[_Field] = []


def _family(kind: type[E]) -> Iterator[type[E]]:
    """Return a class and all below it, each before those below it."""
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


# A class below another that has the same code is the narrower of the two.
_FAILURES: Final = {kind.code: kind for kind in _family(RunFailure)}
_REFUSALS: Final[dict[str, type[StreamServeError]]] = {
    "internal_error": _FAILURES["internal_error"],
    LogUnavailable.code: LogUnavailable,
    **{kind.code: kind for kind in _family(HistoryError)},
    **{kind.code: kind for kind in _family(RequestError)},
    # By way of its own module, so that it is there whatever else is loaded.
    **{kind.code: kind for kind in _family(streams.StreamError)},
}


def of_event(event: Error) -> RunFailure:
    """Return what the last event of a run that failed says; a code that is not known here is kept."""
    failure = _FAILURES.get(event.code, RunFailure)(
        event.message,
        retryable=event.retryable,
        retry_after=event.retry_after,
        provider_code=event.provider_code,
        request_id=event.request_id,
    )
    failure.code = event.code
    return failure


def of_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, heard: bool = False
) -> StreamServeError:
    """Return what an answer without a stream says: the service's problem, or another server's words.

    Where the service was `heard` before, another server speaks only for as long as it is away.
    """
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except UNREADABLE:
        return _of_stranger(status, headers, heard=heard)
    kind = _REFUSALS.get(problem.code)
    error: StreamServeError = (kind or RequestError)(problem.detail or problem.title)
    error.code = problem.code
    if kind is None:
        error.retryable = status in _MAY_PASS
    if isinstance(error, InvalidFields):
        error.fields = [(one.field, one.message) for one in problem.errors]
    error.retry_after = retry_after(headers)
    return error


def _of_stranger(status: int, headers: Mapping[str, str], *, heard: bool) -> StreamServeError:
    """Return the error of a server in between, such as a proxy, which knows no codes."""
    if status < 300:
        kind = headers.get("content-type", "")[:100] or "nothing"
        error: StreamServeError = ServiceProtocol(f"the answer is not the service's, but {kind}")
    else:
        error = RequestError(f"status {status} from a server that is not stream-serve")
        error.code = f"http_{status}"
    error.retryable = heard or status in _MAY_PASS
    error.retry_after = retry_after(headers)
    return error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`, a number or a date (RFC 9110, 10.2.3); None without one."""
    word = headers.get("retry-after", "").strip()
    if word.isdecimal() and word.isascii():
        return float(word[:9])  # more is too long anyway
    try:
        moment = parsedate_to_datetime(word)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
