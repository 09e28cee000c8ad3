"""What goes wrong with a job, in its own process: one more branch of the tree in `stream_serve.errors`.

StreamServeError
└── JobError
    ├── Stopped       somebody has asked the job to stop
    ├── JobTaken      another worker has opened the job since, and writes it now
    └── JobEnded      its stream has ended, or was removed

Besides, what a stream itself refuses (`streams.errors`), and a service that stays away.
"""

from __future__ import annotations

from stream_serve.errors import StreamServeError


class JobError(StreamServeError):
    """A job cannot go on as it is."""

    code = "job"


class Stopped(JobError):
    """Somebody has asked the job to stop."""

    code = "stopped"


class JobTaken(JobError):
    """Another worker has opened the job since: nothing that this one writes is kept."""

    code = "job_taken"


class JobEnded(JobError):
    """The job's stream has ended, or was removed: nothing can be written to it."""

    code = "job_ended"
