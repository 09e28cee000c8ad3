"""Every error that stream-serve raises, as one tree.

    StreamServeError
    ├── SettingsError              refused at start: a setting is wrong or unsafe
    ├── RequestError               the caller's doing
    │   ├── BadRequest             not JSON, or a credential in the URL
    │   ├── Unauthorized           no key, or a wrong one
    │   ├── ForeignOrigin          another site's page, not allowed here
    │   ├── RunNotFound            unknown, forgotten, or somebody else's
    │   ├── RunConflict            the id belongs to a run of another request
    │   ├── StoppedEarly           a stop came before the start
    │   ├── CursorBeyondLog        the cursor is ahead of the run
    │   ├── BodyTooLarge           the body has more bytes than it may have
    │   ├── NotJSON                the body is not declared as JSON
    │   ├── ForeignHost            a Host header that is not this service's
    │   ├── InvalidFields          the fields are named in `fields`
    │   ├── ResponseNotFound       unknown, forgotten, deleted, or somebody else's
    │   ├── ItemNotFound           so is an item that the input refers to
    │   ├── UnknownModel           no model of that name; or none is named, and none is the default
    │   ├── HeadTooLarge           the request line and the headers have more than a head may have
    │   ├── TryLater               nothing is wrong with the request: the same may be served in a moment
    │   │   ├── ModelsUnavailable      the provider cannot be asked which models it has
    │   │   ├── TooManyRuns            the key has as many runs as it may have
    │   │   ├── TooManyReaders         so it has of live readers, of runs and streams
    │   │   ├── Full                   the process has as many runs as it may have
    │   │   ├── Draining               the process is about to end
    │   │   ├── NotStarted             so is the application, or it has not begun
    │   │   └── RunUnreachable         the process that has the run does not answer
    │   └── StreamError            a stream's: `streams.errors` has this branch
    ├── RunFailure                 how a run ended badly; `code` goes out in the `error` event
    │   ├── UpstreamError          the provider's doing
    │   │   ├── UpstreamUnreachable    no connection
    │   │   ├── UpstreamAuth           the provider refused our key
    │   │   ├── UpstreamRejected       the provider refused the request
    │   │   ├── UpstreamContextExceeded    it refused the request for its length
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
    │   ├── StreamMoved            the reader is to go on at another process; the run goes on
    │   └── InternalError          a defect of ours; the log has the traceback
    ├── LogError                   the event log, and what lies between the processes
    │   ├── LogExists              a log of this name is there already
    │   ├── LogForbidden           no log of this name may be made now
    │   ├── LogNotFound            no log of this name, or it was dropped
    │   ├── LogLost                frames that were written are gone
    │   ├── LogUnavailable         what keeps the logs is slow, away or full
    │   └── PeerUnreachable        the process that is asked does not answer
    ├── ServiceUnreachable         a client cannot reach the service, or loses it again and again
    ├── ServiceProtocol            what answers a client is not a service like this one
    └── HistoryError               the conversations
        ├── HistoryUnavailable     the database is slow or away
        ├── HistorySchemaError     the schema is not the one that this version needs
        ├── ConversationNotFound   unknown, deleted, or somebody else's
        ├── MessageNotFound        no such message in the conversation
        ├── ConversationFull       the conversation has as much as it may have
        ├── StorageFull            so has the owner, in all conversations
        └── BadCursor              the cursor is not one that a page gave

Foreign errors are mapped once, at the adapter that met them. What is HTTP about an error (its status, its
headers) is made in `web/`; which setting sets a parameter is said by `settings.explain`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class StreamServeError(Exception):
    """The base of all errors of this package.

    `code` is a stable name for programs, `retryable` whether the same may succeed later, `retry_after`
    after how many seconds. The message says what is wrong and what to do, `parameters` what may be set
    otherwise, and `for_operator` what only logs and commands may show: where a server is, what it said.
    """

    code: str = "internal_error"
    retryable: bool = False
    retry_after: float | None = None

    def __init__(
        self,
        message: str = "",
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
        parameters: Sequence[str] = (),
        for_operator: str = "",
    ) -> None:
        super().__init__(message)
        if retryable is not None:
            self.retryable = retryable
        if retry_after is not None:
            self.retry_after = retry_after
        self.parameters = parameters
        self.for_operator = for_operator


class SettingsError(StreamServeError):
    """A setting is wrong or unsafe; the message says what to do."""


class RequestError(StreamServeError):
    """The request cannot be served as it is."""

    code = "bad_request"


class BadRequest(RequestError):
    """The request cannot be understood."""


class Unauthorized(RequestError):
    """An API key is needed, and there is none or a wrong one."""

    code = "unauthorized"


class ForeignOrigin(RequestError):
    """A page of another site asks for what only this site's pages may ask."""

    code = "foreign_origin"


class RunNotFound(RequestError):
    """There is no such run for this caller."""

    code = "run_not_found"


class RunConflict(RequestError):
    """The id was used for a run of another request."""

    code = "run_conflict"


class StoppedEarly(RequestError):
    """The run was stopped before it was started."""

    code = "stopped_before_start"


class CursorBeyondLog(RequestError):
    """The cursor is ahead of the run's events."""

    code = "cursor_beyond_log"


class BodyTooLarge(RequestError):
    """The body is larger than a body may be."""

    code = "body_too_large"


class NotJSON(RequestError):
    """The body is not declared as JSON."""

    code = "not_json"


class ForeignHost(RequestError):
    """The Host header names another host (DNS rebinding)."""

    code = "foreign_host"


class InvalidFields(RequestError):
    """Fields are missing or wrong; `fields` has (field, what is wrong) for each.

    `code` is another one than usual where an API has its own word for what is wrong.
    """

    code = "invalid_fields"

    def __init__(
        self, message: str, *, fields: Sequence[tuple[str, str]] = (), code: str | None = None
    ) -> None:
        super().__init__(message)
        self.fields = fields
        if code is not None:
            self.code = code


class ResponseNotFound(RequestError):
    """There is no such response for this caller."""

    code = "response_not_found"


class ItemNotFound(RequestError):
    """There is no such item, which the input refers to, for this caller."""

    code = "item_not_found"


class UnknownModel(RequestError):
    """No model of that name may be asked for; or none is named, and none is the default."""

    code = "unknown_model"


class HeadTooLarge(RequestError):
    """The request line and the headers are larger than a head may be."""

    code = "head_too_large"


class TryLater(RequestError):
    """Nothing is wrong with the request: the same may be served in a moment."""

    code = "try_later"
    retryable = True
    retry_after = 2.0


class ModelsUnavailable(TryLater):
    """No model is named, and the provider cannot be asked which it has."""

    code = "models_unavailable"


class TooManyRuns(TryLater):
    """The key has as many runs at once as it may have."""

    code = "too_many_runs"


class TooManyReaders(TryLater):
    """The key has as many live readers at once, of runs and streams, as it may have."""

    code = "too_many_readers"


class Full(TryLater):
    """The process has as many runs at once as it may have."""

    code = "full"


class Draining(TryLater):
    """The process is about to end and takes no new runs."""

    code = "draining"
    retry_after = 5.0


class NotStarted(TryLater):
    """The surrounding application has not started the streams that it mounts, or has ended them."""

    code = "not_started"


class RunUnreachable(TryLater):
    """Another process has the run, and does not answer."""

    code = "run_unreachable"


class RunFailure(StreamServeError):
    """What a run's `error` event is made of: why it did not end well.

    `provider_code` and `request_id` are the provider's own words.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
        parameters: Sequence[str] = (),
        provider_code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(
            message, retryable=retryable, retry_after=retry_after, parameters=parameters
        )
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


class UpstreamContextExceeded(UpstreamError):
    """The request is longer than the model's context; the provider has sent nothing of an answer."""

    code = "upstream_context_exceeded"


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


class StreamMoved(RunFailure):
    """The reader is to go on at another process; the run itself goes on."""

    code = "stream_moved"
    retryable = True


class InternalError(RunFailure):
    """A defect of ours."""


class StreamError(RequestError):
    """A stream cannot do what was asked."""

    code = "stream"


class LogError(StreamServeError):
    """The event log cannot do what was asked."""

    code = "log"


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

    code = "log_unavailable"
    retryable = True
    retry_after = 2.0


class PeerUnreachable(LogError):
    """The process that is asked is gone, or does not answer."""


class ServiceUnreachable(StreamServeError):
    """A client gets no connection to the service, or none that lasts."""

    code = "service_unreachable"
    retryable = True


class ServiceProtocol(StreamServeError):
    """What answers a client does not speak as the service does."""

    code = "service_protocol"


class HistoryError(StreamServeError):
    """The conversations cannot do what was asked."""

    code = "history"


class HistoryUnavailable(HistoryError):
    """The database is slow or away."""

    code = "history_unavailable"
    retryable = True
    retry_after = 5.0


class HistorySchemaError(HistoryError):
    """The schema is not the one that this version needs; the message says what to do."""

    code = "history_schema"
    retry_after = 5.0


class ConversationNotFound(HistoryError):
    """There is no such conversation for this owner."""

    code = "conversation_not_found"


class MessageNotFound(HistoryError):
    """There is no such message in the conversation."""

    code = "message_not_found"


class ConversationFull(HistoryError):
    """The conversation has as many messages or bytes as a conversation may have."""

    code = "conversation_full"


class StorageFull(HistoryError):
    """The owner has as many conversations, or as many bytes in them, as an owner may have."""

    code = "storage_full"


class BadCursor(HistoryError):
    """The cursor is not one that a page gave."""

    code = "bad_cursor"
