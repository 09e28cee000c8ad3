"""What goes wrong with a stream: the branch `StreamError` of the tree in `stream_serve.errors`.

StreamError
├── StreamNotFound         unknown, expired, deleted, or somebody else's
├── StreamGone             deleted, but forks still need its data, so that its name stays taken
├── StreamConflict         it exists otherwise: another type, lifetime, source, or writer's order
├── StreamClosed           it is closed, and nothing can be appended; `tail` is its end
├── StaleProducer          a newer epoch of this producer has written; `epoch` is that one
├── ProducerGap            appends of this producer are missing; `expected` is the next number
├── StreamsFull            the stream, or its owner, has as much as it may have
├── TooManyAppends         the owner's appends that are on their way have as many bytes as they may have
├── BodyTooSlow            nothing more has come of an append for too long
├── StreamUnreadable       what is kept of it is damaged, or of a newer version
└── StreamsUnavailable     what keeps the streams is slow, away or full
"""

from __future__ import annotations

from stream_serve.errors import StreamError


class StreamNotFound(StreamError):
    """There is no such stream for this owner."""

    code = "stream_not_found"


class StreamGone(StreamError):
    """The stream was deleted; its name stays taken until its forks are deleted, too."""

    code = "stream_gone"


class StreamConflict(StreamError):
    """The stream is not as the request supposes."""

    code = "stream_conflict"


class StreamClosed(StreamError):
    """The stream is closed; `tail` is its end."""

    code = "stream_closed"

    def __init__(self, message: str, *, tail: int = 0) -> None:
        super().__init__(message)
        self.tail = tail


class StaleProducer(StreamError):
    """Another instance of the producer has begun a newer epoch, which is `epoch`."""

    code = "stale_producer"

    def __init__(self, message: str, *, epoch: int = 0) -> None:
        super().__init__(message)
        self.epoch = epoch


class ProducerGap(StreamError):
    """Earlier appends of the producer have not come: the next one is number `expected`."""

    code = "producer_gap"

    def __init__(self, message: str, *, expected: int = 0, received: int = 0) -> None:
        super().__init__(message)
        self.expected = expected
        self.received = received


class StreamsFull(StreamError):
    """The stream, or all of the owner's streams together, have as much as they may have."""

    code = "streams_full"


class TooManyAppends(StreamError):
    """The appends of the owner that are on their way have as many bytes as they may have."""

    code = "too_many_appends"
    retryable = True
    retry_after = 1.0


class BodyTooSlow(StreamError):
    """Nothing more has come of an append for as long as it may be silent."""

    code = "body_too_slow"
    retryable = True


class StreamUnreadable(StreamError):
    """What is kept of the stream cannot be read; other streams can."""

    code = "stream_unreadable"


class StreamsUnavailable(StreamError):
    """What keeps the streams is slow, away or full."""

    code = "streams_unavailable"
    retryable = True
    retry_after = 2.0
