"""Every error that stream-serve raises, as one tree.

    StreamServeError
    ├── SettingsError              refused at start: a setting is wrong or unsafe
    ├── RequestError               the caller's doing; `status` and `code` say how
    │   ├── BadRequest             400  not JSON, or a credential in the URL
    │   ├── Unauthorized           401  no key, or a wrong one
    │   ├── ForeignOrigin          403  another site's page, not allowed here
    │   ├── RunNotFound            404  unknown, forgotten, or somebody else's
    │   ├── RunConflict            409  the id belongs to a run of another request
    │   ├── StoppedEarly           409  a stop came before the start
    │   ├── CursorBeyondLog        409  the cursor is ahead of the run
    │   ├── BodyTooLarge           413
    │   ├── NotJSON                415
    │   ├── ForeignHost            421  a Host header that is not this service's
    │   ├── InvalidFields          422  the fields are named in `errors`
    │   ├── TooManyRuns            429  the key has as many runs as it may have
    │   ├── HeadTooLarge           431  the request line and the headers
    │   ├── Full                   503  the process has as many runs as it may have
    │   ├── Draining               503  the process is about to end
    │   └── RunUnreachable         503  the process that has the run does not answer
    ├── RunFailure                 how a run ended badly; `code` goes out in the `error` event
    │   ├── UpstreamError          the provider's doing
    │   │   ├── UpstreamUnreachable    no connection
    │   │   ├── UpstreamAuth           the provider refused our key
    │   │   ├── UpstreamRejected       the provider refused the request
    │   │   ├── UpstreamRateLimited    the provider wants us to wait, or the quota is used up
    │   │   ├── UpstreamFailed         the provider reported a failure of its own
    │   │   ├── UpstreamProtocol       the answer is not a stream of chat completion chunks
    │   │   ├── UpstreamDisconnected   the connection broke
    │   │   ├── UpstreamIncomplete     the stream ended, and nothing said that it was complete
    │   │   ├── UpstreamTimeout        silence: before the first token, or between two
    │   │   └── UpstreamTooLarge       more text than a run may have
    │   ├── RunTimeout             the run took longer than a run may take
    │   ├── RunInterrupted         the process ended before the run did
    │   ├── EventsLost             events of the run are gone; what was read is not the whole
    │   └── InternalError          a defect of ours; the log has the traceback
    ├── LogError                   the event log, and what lies between the processes
    │   ├── LogExists              a log of this name is there already
    │   ├── LogForbidden           no log of this name may be made now
    │   ├── LogNotFound            no log of this name, or it was dropped
    │   ├── LogLost                frames that were written are gone
    │   ├── LogUnavailable         what keeps the logs is slow, away or full
    │   └── PeerUnreachable        the process that is asked does not answer
    └── HistoryError               the conversations
        ├── HistoryUnavailable     the database is slow or away
        ├── HistorySchemaError     the schema is not the one that this version needs
        ├── ConversationNotFound   unknown, deleted, or somebody else's
        ├── MessageNotFound        no such message in the conversation
        └── BadCursor              the cursor is not one that a page gave

Foreign errors are mapped once, at the adapter that met them (`upstream/`), and turned into HTTP or
SSE once, in `web/`.
"""

from __future__ import annotations

from typing import ClassVar


class StreamServeError(Exception):
    """The base of all errors of this package."""


class SettingsError(StreamServeError):
    """A setting is wrong or unsafe; the message says what to do."""


class RequestError(StreamServeError):
    """The request cannot be served as it is.

    `status` is the HTTP status, `code` a stable name for programs, `title` a short sentence that is
    the same for every error of the class, and the message says what to do about this one.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    title: ClassVar[str] = "The request cannot be understood"

    def __init__(
        self,
        message: str,
        *,
        errors: tuple[tuple[str, str], ...] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.errors = errors
        self.headers = headers


class BadRequest(RequestError):
    """400: the request cannot be understood."""


class Unauthorized(RequestError):
    """401: an API key is needed, and there is none or a wrong one."""

    status = 401
    code = "unauthorized"
    title = "An API key is needed"


class ForeignOrigin(RequestError):
    """403: a page of another site asks for what only this site's pages may ask."""

    status = 403
    code = "foreign_origin"
    title = "This page's origin is not allowed here"


class RunNotFound(RequestError):
    """404: there is no such run for this caller."""

    status = 404
    code = "run_not_found"
    title = "No such run"


class RunConflict(RequestError):
    """409: the id was used for a run of another request."""

    status = 409
    code = "run_conflict"
    title = "This run id was used for another request"


class StoppedEarly(RequestError):
    """409: the run was stopped before it was started."""

    status = 409
    code = "stopped_before_start"
    title = "This run was stopped before it started"


class CursorBeyondLog(RequestError):
    """409: the cursor is ahead of the run's events."""

    status = 409
    code = "cursor_beyond_log"
    title = "The cursor is ahead of the run"


class BodyTooLarge(RequestError):
    """413: the body is larger than `STREAM_SERVE_MAX_BODY_BYTES`."""

    status = 413
    code = "body_too_large"
    title = "The request body is too large"


class NotJSON(RequestError):
    """415: the body is not declared as JSON."""

    status = 415
    code = "not_json"
    title = "The request body must be JSON"


class ForeignHost(RequestError):
    """421: the Host header names another host (DNS rebinding)."""

    status = 421
    code = "foreign_host"
    title = "This service does not answer for that host"


class InvalidFields(RequestError):
    """422: fields are missing or wrong; `errors` has (field, what is wrong) for each."""

    status = 422
    code = "invalid_fields"
    title = "Some fields are missing or wrong"


class TooManyRuns(RequestError):
    """429: the key has as many runs at once as it may have."""

    status = 429
    code = "too_many_runs"
    title = "Too many runs at once"


class HeadTooLarge(RequestError):
    """431: the request line and the headers are larger than `STREAM_SERVE_MAX_HEAD_BYTES`."""

    status = 431
    code = "head_too_large"
    title = "The request head is too large"


class Full(RequestError):
    """503: the process has as many runs at once as it may have."""

    status = 503
    code = "full"
    title = "The service is full"


class Draining(RequestError):
    """503: the process is about to end and takes no new runs."""

    status = 503
    code = "draining"
    title = "The service is shutting down"


class RunUnreachable(RequestError):
    """503: another process has the run, and does not answer."""

    status = 503
    code = "run_unreachable"
    title = "The process that has this run does not answer"


class RunFailure(StreamServeError):
    """What a run's `error` event is made of: why it did not end well.

    `code` is a stable name for programs, `retryable` says whether the same request may succeed
    later, `retry_after` after how many seconds where that is known. `provider_code` and
    `request_id` are the provider's own words.
    """

    code: ClassVar[str] = "internal_error"
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
        provider_code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable
        self.retry_after = retry_after
        self.provider_code = provider_code
        self.request_id = request_id


class UpstreamError(RunFailure):
    """The provider could not be asked, or did not answer well."""

    code = "upstream_error"


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider could be made."""

    code = "upstream_unreachable"
    retryable = True


class UpstreamAuth(UpstreamError):
    """The provider refused our key."""

    code = "upstream_auth"


class UpstreamRejected(UpstreamError):
    """The provider refused the request, and would refuse it again."""

    code = "upstream_rejected"


class UpstreamRateLimited(UpstreamError):
    """The provider wants us to wait, or the quota is used up."""

    code = "upstream_rate_limited"
    retryable = True


class UpstreamFailed(UpstreamError):
    """The provider reported a failure of its own."""

    retryable = True


class UpstreamProtocol(UpstreamError):
    """The provider's answer is not a stream of chat completion chunks."""

    code = "upstream_protocol"


class UpstreamDisconnected(UpstreamError):
    """The connection to the provider broke."""

    code = "upstream_disconnected"
    retryable = True


class UpstreamIncomplete(UpstreamError):
    """The stream ended, and no finish_reason said that the answer was complete."""

    code = "upstream_incomplete"
    retryable = True


class UpstreamTimeout(UpstreamError):
    """The provider was silent for too long."""

    code = "upstream_timeout"
    retryable = True


class UpstreamTooLarge(UpstreamError):
    """The provider sent more than a run may have."""

    code = "upstream_too_large"


class RunTimeout(RunFailure):
    """The run took longer than a run may take."""

    code = "run_timeout"


class RunInterrupted(RunFailure):
    """The process ended before the run did."""

    code = "run_interrupted"
    retryable = True


class EventsLost(RunFailure):
    """Events of the run are gone before this reader had them."""

    code = "events_lost"
    retryable = True


class InternalError(RunFailure):
    """A defect of ours."""


class LogError(StreamServeError):
    """The event log cannot do what was asked."""


class LogExists(LogError):
    """A log of this name is there already."""


class LogForbidden(LogError):
    """No log of this name may be made now."""


class LogNotFound(LogError):
    """There is no log of this name, or it was dropped."""


class LogLost(LogError):
    """Frames that were written are gone: what was read is not the whole."""


class LogUnavailable(LogError):
    """What keeps the logs, and lies between the processes, is slow, away or full."""


class PeerUnreachable(LogError):
    """The process that is asked is gone, or does not answer."""


class HistoryError(StreamServeError):
    """The conversations cannot do what was asked."""


class HistoryUnavailable(HistoryError):
    """The database is slow or away."""


class HistorySchemaError(HistoryError):
    """The schema is not the one that this version needs; the message says what to do."""


class ConversationNotFound(HistoryError):
    """There is no such conversation for this owner."""


class MessageNotFound(HistoryError):
    """There is no such message in the conversation."""


class BadCursor(HistoryError):
    """The cursor is not one that a page gave."""
