"""A provider's error responses, mapped to our errors.

The sources are OpenAI's error object (`{"error": {"message", "type", "param", "code"}}`) and the page
"Error codes" of Alibaba Cloud Model Studio; `reports` and `bodies` read the formats of others. Our
messages never contain the API key: the error for a key that was rejected repeats nothing of the
provider's text, and in all other texts `***` replaces the key (`redaction`).
"""

from __future__ import annotations

import math
import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

from stream_serve.errors import (
    UpstreamAuth,
    UpstreamContextExceeded,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRejected,
)
from stream_serve.events import plain
from stream_serve.producers.openai import bodies, redaction, reports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_READ: Final = 65_536
_MAX_TEXT: Final = 500
_MAX_WORD: Final = 100
_CODE: Final = re.compile(r"\w[\w .:/()#+@*-]{0,99}")
_REQUEST_ID: Final = re.compile(r"[\w.:/=+@-]{1,128}", re.ASCII)
_ID_HEADERS: Final = (
    *("x-request-id", "request-id", "x-dashscope-request-id", "apim-request-id", "x-ms-request-id"),
    *("x-amzn-requestid", "cf-ray"),
)
_MODEL: Final = re.compile("model|deployment|engine|模型", re.IGNORECASE)
_WRONG_PATH: Final = re.compile(
    r"(?:(?:error|http|status|the|requested|40[45])\b\W*)*"
    r"(?:(?:page|file|path|url|route|resource|endpoint)\b\W*(?:was )?)?"
    r"(?:not[ _]?found|method not allowed|invalid url.*|no route.*|cannot post.*|unknown path.*)"
    r"(?:\W*the (?:requested )?(?:page|url|resource).*)?\W*",
    re.IGNORECASE,
)
_QUOTA_CODES: Final = ("insufficient_quota", "AllocationQuota")
_RATE_CODES: Final = ("Throttling", "rate_limit", "limit_requests", "limit_burst_rate")
_KEY_CODES: Final = frozenset({"invalid_api_key", "InvalidApiKey", "authentication_error"})
_AUTH_CODES: Final = _KEY_CODES | {"access_denied"}
_ANY_REFUSAL: Final = ("invalid_request_error",)  # OpenAI's type of each error of a request
_REJECTED_CODES: Final = (
    "invalid_parameter",
    "invalid_request",
    "DataInspectionFailed",
    "data_inspection_failed",
    "model_not_found",
    "context_length_exceeded",
    "content_filter",
    "Arrearage",
)

_LENGTH_CODES: Final = ("context_length_exceeded", "exceed_context_size", "context_window")
_LENGTH_WORDS: Final = re.compile(
    r"context (?:length|window|size)|(?:prompt|input|messages?) (?:is|are|was) too long"
    r"|longer than the (?:model's )?(?:maximum )?context|range of input length|too many (?:input )?tokens"
    r"|maximum (?:input|prompt|number of tokens)",
    re.IGNORECASE,
)


class ErrorDetails(Struct, frozen=True):
    """An error in the provider's own words: its message, its code, and its request id.

    `status` is the HTTP status that it has in the place of a code, or beside it.
    """

    message: str = ""
    code: str | None = None
    request_id: str | None = None
    status: int | None = None


def read(error: object, *, request_id: str | None = None, key: str = "") -> ErrorDetails:
    """Return the details of an error object or text, in any server's format, with `key` removed.

    `request_id` is the one from the headers; one in the error object wins.
    """
    return _details(reports.read(error), request_id, key)


def read_body(body: bytes, *, request_id: str | None = None, key: str = "") -> ErrorDetails | None:
    """Return the details in the body of an error response; None if there is nothing to understand."""
    said = bodies.read(body)
    return None if said is None else _details(said, request_id, key)


def from_body(
    body: bytes, kind: str, *, request_id: str | None, key: str, key_name: str
) -> UpstreamError:
    """Return the error for a response with status 200 that is no stream but has the media type `kind`."""
    error = bodies.find(body)
    if error is not None:
        return from_error(_details(error, request_id, key), key_name=key_name)
    said = read_body(body, request_id=request_id, key=key) or ErrorDetails()
    return UpstreamProtocol(
        _sentence(
            f"the provider answered with {plain.line(kind, _MAX_WORD)} instead of a stream "
            "(text/event-stream): check its URL",
            said,
        ),
        parameters=["Endpoint.url"],
        request_id=said.request_id,
    )


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the id of the request that the headers of a response name, under any of its usual names."""
    return next((value for name in _ID_HEADERS if (value := headers.get(name))), None)


def from_status(
    status: int,
    details: ErrorDetails | None,
    *,
    headers: Mapping[str, str],
    key: str | None = None,
    key_name: str,
    url: str = "",
) -> UpstreamError:
    """Return the error for a response whose status is not 200.

    `headers` may have Retry-After and the request's id; `key_name` is what the key is called where it
    is set; `url` is what was asked, for the operator. Where `key` is known, a 403 has the provider's
    words, too.
    """
    request_id = _narrow(request_id_of(headers), _REQUEST_ID, key or "")
    said = details or ErrorDetails(request_id=request_id)
    wait = retry_after(headers.get("retry-after"))
    limited = _begins(said.code, _RATE_CODES + _QUOTA_CODES)
    refused = _begins(said.code, _REJECTED_CODES) and said.code not in _ANY_REFUSAL
    if status in {401, 403} and not limited and not refused:
        tells = status == 403 and key is not None and said.code not in _KEY_CODES
        words = redaction.hide_parts(said.message, key or "") if tells else ""
        return _auth(said, status, key_name, words)
    if status == 429 or limited:
        return _rate_limited(said, wait)
    if status in {404, 405} and _is_wrong_path(said):
        return _wrong_path(said, status, url)
    parameters: Sequence[str] = ()
    if status >= 500 or status == 408:
        kind: type[UpstreamError] = UpstreamFailed
        what = f"the provider failed with status {status}"
    elif status >= 400:
        kind = UpstreamRejected
        what = f"the provider refused the request with status {status}"
    else:
        kind = UpstreamProtocol
        hint = "redirects are not followed: " if 300 <= status < 400 else ""
        what = (
            f"the provider answered with status {status} instead of a stream; {hint}check its URL"
        )
        parameters = ["Endpoint.url"]
    return kind(
        _sentence(what, said),
        retry_after=wait,
        parameters=parameters,
        provider_code=said.code,
        request_id=said.request_id,
    )


def of_length(error: UpstreamError) -> UpstreamError:
    """Return a refusal as `UpstreamContextExceeded` if it is one of the request's length."""
    if type(error) is not UpstreamRejected:
        return error
    if not (_begins(error.provider_code, _LENGTH_CODES) or _LENGTH_WORDS.search(str(error))):
        return error
    return UpstreamContextExceeded(
        str(error), provider_code=error.provider_code, request_id=error.request_id
    )


def from_error(said: ErrorDetails, *, key_name: str) -> UpstreamError:
    """Return the error for an error object in a response with status 200, mostly in its stream."""
    code = said.code or ""
    if said.status is not None:
        return from_status(said.status, said, headers={}, key_name=key_name)
    if code in _AUTH_CODES:
        return _auth(said, None, key_name)
    if _begins(code, _RATE_CODES + _QUOTA_CODES):
        return _rate_limited(said, None)
    kind = UpstreamRejected if _begins(code, _REJECTED_CODES) else UpstreamFailed
    return kind(
        _sentence("the provider reported an error", said),
        provider_code=said.code,
        request_id=said.request_id,
    )


def from_ending(word: str, *, key: str = "", key_name: str) -> UpstreamError:
    """Return the error for a finish_reason that means a failure, such as `abort` or `error`.

    It is retryable unless the word is also a code for a request that would fail again.
    """
    code = _narrow(word, _CODE, key)
    said = f"it broke the answer off (finish_reason {shown(word, key)})"
    return from_error(ErrorDetails(said, code), key_name=key_name)


def shown(word: str | None, key: str) -> str | None:
    """Return a word of the provider's with the key removed; None for None."""
    return plain.cut(_words(word, key), _MAX_WORD) if word is not None else None


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3).

    None for a missing or invalid header; 0 for a date in the past.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        when = parsedate_to_datetime(value)
        return float(max(0, math.ceil(when.timestamp() - time.time())))
    except (ValueError, OverflowError):
        return None


def _wrong_path(said: ErrorDetails, status: int, url: str) -> UpstreamProtocol:
    what = (
        f"the provider has nothing there (status {status}): the path of its URL is wrong, often with "
        "/v1 missing at its end, or there twice"
    )
    error = UpstreamProtocol(
        _sentence(what, said),
        parameters=["Endpoint.url"],
        provider_code=said.code,
        request_id=said.request_id,
    )
    error.for_operator = _without_credentials(url)
    return error


def _is_wrong_path(said: ErrorDetails) -> bool:
    """Return whether a 404 or 405 is about the path: it has no code of its own, and names no model."""
    code = "" if said.code is None or said.status is not None else said.code
    known = code != "" and not (code.isdigit() or _WRONG_PATH.fullmatch(code))
    if _WRONG_PATH.fullmatch(said.message):
        return True
    return not known and _MODEL.search(said.message) is None


def _without_credentials(url: str) -> str:
    """Return a URL without its user, password, query and fragment, which can be secrets."""
    if not url:
        return ""
    parts = urlsplit(url)
    return plain.line(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", _MAX_TEXT)


def _auth(said: ErrorDetails, status: int | None, key_name: str, words: str = "") -> UpstreamAuth:
    with_status = f" (status {status})" if status else ""
    with_words = f". It says: {words}" if words else ""
    return UpstreamAuth(
        f"the provider refused the API key{with_status}: check the key, and that it belongs to the "
        f"region and server of the URL{with_words}",
        parameters=[key_name or "Endpoint.key"],
        provider_code=said.code,
        request_id=said.request_id,
    )


def _rate_limited(said: ErrorDetails, wait: float | None) -> UpstreamRateLimited:
    used_up = _begins(said.code, _QUOTA_CODES)
    what = "the provider's quota is used up" if used_up else "the provider limits the rate"
    return UpstreamRateLimited(
        _sentence(what, said),
        retryable=not used_up,
        retry_after=wait,
        provider_code=said.code,
        request_id=said.request_id,
    )


def _begins(code: str | None, words: tuple[str, ...]) -> bool:
    return code is not None and code.startswith(words)


def _sentence(what: str, said: ErrorDetails) -> str:
    return f"{what}: {said.message}" if said.message else what


def _details(said: reports.Report, request_id: str | None, key: str) -> ErrorDetails:
    """Return a report fit to be shown: each field within its domain, without the key."""
    message, code = said.message, _narrow(said.code, _CODE, key)
    if code is None and not message:
        message = said.code  # a sentence in the place of a code
    own_id = _narrow(said.request_id, _REQUEST_ID, key)
    return ErrorDetails(
        plain.cut(_words(message, key), _MAX_TEXT),
        code,
        own_id or _narrow(request_id, _REQUEST_ID, key),
        int(said.status) if said.status else None,
    )


def _narrow(word: str | None, domain: re.Pattern[str], key: str) -> str | None:
    """Return a code or an id; None for a text that is none."""
    word = _words(word or "", key)
    return word if domain.fullmatch(word) else None


def _words(text: str, key: str) -> str:
    """Return the provider's words as one line, without the key and without markup.

    The key comes last: what is taken out of a text can be what kept its parts asunder.
    """
    return redaction.hide(plain.line(bodies.without_page(text[:_MAX_READ])), key, limit=_MAX_TEXT)
